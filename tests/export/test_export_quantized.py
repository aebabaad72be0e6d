"""Quantised TFLite files: sound answers, a threshold of their own, decided exactly."""

import dataclasses
import importlib

import keras
import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export, thresholds
from kerasood.detectors import Energy, Mahalanobis, MaxLogit
from kerasood.evaluation.outputs import collect
from kerasood.export import ExportMismatch
from kerasood.export.formats import tflite
from kerasood.export.graph.quantization import float16_pieces
from kerasood.extractor.build import build_extractor, head_of
from kerasood.serving import OODModel

TFLITE = export.FORMATS["tflite"]
KINDS = export.QUANTIZATIONS[1:]
CALIBRATION = random_images((8, 8, 3), num_images=60)


@dataclasses.dataclass
class Case:
    model: OODModel
    images: np.ndarray
    expected: dict
    exported: export.Exported

    @property
    def path(self):
        return self.exported.paths["tflite"]


@pytest.fixture(scope="module", params=KINDS)
def case(request, tmp_path_factory):
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape)
    threshold = thresholds.calibrate(model.predict(CALIBRATION[:40])["score"], 0.8)
    model = OODModel(model.network, Energy(), threshold.value)
    exported = export.export_model(
        model,
        tmp_path_factory.mktemp(request.param),
        images=images,
        metadata={"calibration": {**threshold.to_json(), "calibrated_on": "60 images"}},
        formats=("tflite",),
        quantization=export.Quantization(request.param, CALIBRATION),
        calibration_images=CALIBRATION,
    )
    return Case(model, images, export.eager_outputs(model, images), exported)


def test_the_threshold_is_that_of_the_files_own_scores(case):
    outputs = export.run_exported(case.path, CALIBRATION)
    expected = thresholds.calibrate(outputs["score"], 0.8)
    metadata = export.read_metadata(case.path)
    assert metadata["threshold"] == expected.value != case.model.threshold
    assert metadata["calibration"]["calibrated_on"] == "60 images"
    assert export.read_calibration(case.path) == expected
    # k = ceil(61 * 0.8) = 49 of 60 images are accepted.
    assert outputs["is_ood"].sum() == 60 - 49
    np.testing.assert_array_equal(outputs["is_ood"], ~expected.accepts(outputs["score"]))


def test_outputs_stay_float_and_near(case):
    outputs = export.run_exported(case.path, case.images)
    assert outputs.keys() == case.expected.keys()
    for name, output in outputs.items():
        assert output.dtype == case.expected[name].dtype
    assert export.read_metadata(case.path)["quantization"] in KINDS
    report = case.exported.reports["tflite"]
    assert report.kind in str(report)
    limits = {"float16": 0.002, "dynamic": 0.05, "int8": 0.1}
    for name in ("logits", "energy", "score"):
        # The naive twin of the report's number.
        shift = np.mean(np.abs(outputs[name].astype("float64") - case.expected[name]))
        assert report.shifts[name] == pytest.approx(shift / case.expected[name].std(), rel=1e-3)
        assert 0 < report.shifts[name] < limits[report.kind]


def test_both_runtimes_answer_alike(case):
    pytest.importorskip("ai_edge_litert")
    assert tflite.tflite_runtimes() == ("litert", "tf.lite")
    first, second = (
        export.run_exported(case.path, case.images, name) for name in tflite.tflite_runtimes()
    )
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-3)


def test_the_cpus_delegate_takes_it(case):
    """XNNPACK's nodes stand beside the ops that they replace."""
    pytest.importorskip("ai_edge_litert")
    interpreter = tflite.open_tflite(case.path)
    interpreter.allocate_tensors()
    assert "DELEGATE" in {op["op_name"] for op in interpreter._get_ops_details()}


@pytest.mark.parametrize("case", ["int8"], indirect=True)
def test_int8_holds_an_integer_network_and_a_float_detector(case):
    interpreter = tflite.open_tflite(case.path)
    dtypes = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    inputs = {
        op["op_name"]: [dtypes[index] for index in op["inputs"] if index >= 0]
        for op in interpreter._get_ops_details()
    }
    assert inputs["CONV_2D"][:2] == [np.int8, np.int8]
    for name in ("FULLY_CONNECTED", "SOFTMAX", "EXP", "LOG", "LESS_EQUAL"):
        assert set(inputs[name]) == {np.float32}, name
    scores = export.run_exported(case.path, CALIBRATION)["score"]
    assert len(np.unique(scores)) == len(scores), "no ties"


def test_quantised_files_answer_again_as_they_did(case):
    report = export.replay(case.exported.folder)["tflite"]
    assert report.largest < 1e-5
    assert "of the stored answers" in str(report)


def exact_scores(num_images=64):
    """A model whose scores are exact in float16 weights, and images on both sides of it.

    Its logits are x / 2**21 and 0, and so its score is -x / 2**21, for the 24-bit number x that the
    three bytes of an image of one pixel make.
    """
    images = keras.Input((1, 1, 3), dtype="uint8")
    pixels = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
    network = keras.Model(images, keras.layers.Dense(2, use_bias=False)(pixels))
    kernel = np.zeros((3, 2))
    kernel[:, 0] = [2.0**-5, 2.0**-13, 2.0**-21]
    network.set_weights([kernel])
    middle = 0xA3D70B
    numbers = middle + np.arange(-num_images // 2, num_images // 2)
    pixels = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=-1)
    scores = -(numbers / 2.0**21)
    return network, pixels[:, None, None].astype("uint8"), scores, -middle / 2.0**21


def test_float16_decides_by_the_whole_threshold(tmp_path):
    network, images, scores, threshold = exact_scores()
    assert float(np.float32(threshold)) == threshold != float(np.float16(threshold))
    model = OODModel(network, MaxLogit(), threshold)
    quantization = export.Quantization("float16")
    path = TFLITE.write(model, tmp_path / "model.tflite", {}, quantization)
    outputs = export.run_exported(path, images)
    np.testing.assert_array_equal(outputs["score"], scores)
    np.testing.assert_array_equal(outputs["is_ood"], scores > threshold)
    assert 0 < outputs["is_ood"].sum() < len(images)


@pytest.mark.parametrize("threshold", [-5.123456954956055, 3e5, 2e-3, (-7.25, 0.1, 3e4), 0.0])
def test_float16_pieces_hold_the_threshold(threshold):
    scale, pieces = float16_pieces(threshold)
    for piece in pieces:
        np.testing.assert_array_equal(np.float16(piece), np.float64(piece))
    assert np.float16(scale) == scale
    wanted = np.float64(np.float32(threshold))
    # Of several, the small ones have the absolute resolution of the largest.
    atol = 2**-38 * np.max(wanted) if np.ndim(wanted) else 0
    np.testing.assert_allclose(np.sum(pieces, axis=0) / scale, wanted, rtol=2**-24, atol=atol)


def test_float16_with_a_threshold_per_class(tmp_path):
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape)
    scores = export.eager_outputs(model, images)["score"]
    per_class = OODModel(model.network, Energy(), np.quantile(scores, [0.2, 0.4, 0.6, 0.8]))
    path = TFLITE.write(
        per_class, tmp_path / "model.tflite", {}, export.Quantization("float16")
    )
    expected = export.eager_outputs(per_class, images)
    export.verify_quantized(path, images, expected, "float16")
    assert len(set(expected["logits"].argmax(axis=-1))) > 1


def test_a_broken_file_is_refused(case, monkeypatch):
    kind = case.exported.reports["tflite"].kind
    wrong = {**case.expected, "score": case.expected["score"][::-1]}
    with pytest.raises(ExportMismatch, match="score .* to correlate with Keras's by at least"):
        export.verify_quantized(case.path, case.images, wrong, kind)
    module = importlib.import_module("kerasood.export.checks.verify")
    answers = module._answers(case.path, case.images)
    for value in (np.nan, 1.0):
        dead = {**answers[0][1], "energy": np.full_like(case.expected["energy"], value)}
        monkeypatch.setattr(module, "_answers", lambda *_, dead=dead: [("dead", dead)])
        with pytest.raises(ExportMismatch, match="energy from .* Received: nan"):
            export.verify_quantized(case.path, case.images, case.expected, kind)


def correlated(values, correlation):
    """float32 values like `values` in mean and spread, that correlate with them by that much."""
    centred = values.astype("float64") - values.mean(dtype="float64")
    noise = np.random.default_rng(0).normal(size=values.shape)
    noise -= noise.mean()
    noise -= centred * np.sum(noise * centred) / np.sum(centred**2)
    noise *= centred.std() / noise.std()
    mixed = correlation * centred + np.sqrt(1 - correlation**2) * noise
    return (mixed + values.mean(dtype="float64")).astype("float32")


def test_least_correlation_with_keras(case):
    kind = case.exported.reports["tflite"].kind
    outputs = export.run_exported(case.path, case.images)
    least = {"float16": 0.99, "dynamic": 0.95, "int8": 0.8}[kind]
    for correlation, is_sound in ((least + 0.005, True), (least - 0.005, False)):
        expected = {**case.expected, "score": correlated(outputs["score"], correlation)}
        if is_sound:
            export.verify_quantized(case.path, case.images, expected, kind)
        else:
            with pytest.raises(ExportMismatch, match="score from .* to correlate"):
                export.verify_quantized(case.path, case.images, expected, kind)


def test_a_detector_that_learned_stays_near_in_int8(tmp_path):
    network = small_network()
    extractor = build_extractor(network)
    outputs = collect(extractor, [CALIBRATION])
    detector = Mahalanobis().fit(outputs, outputs["logits"].argmax(axis=1), head_of(extractor))
    model = ood_model(network, detector)
    images = random_images(model.image_shape)
    path = TFLITE.write(
        model, tmp_path / "model.tflite", {}, export.Quantization("int8", CALIBRATION)
    )
    report, _ = export.verify_quantized(
        path, images, export.eager_outputs(model, images), "int8"
    )
    assert report.shifts["score"] < 0.2
    assert export.read_metadata(path)["threshold"] == model.threshold


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("int16x8",), "float16, dynamic, int8. Received: 'int16x8'"),
        (("int8",), "representative training images .* Received: none"),
    ],
)
def test_quantizations_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        export.Quantization(*arguments)


def test_only_tflite_is_quantised(tmp_path):
    model = ood_model(small_network(), Energy())
    with pytest.raises(ValueError, match="can be quantised: tflite. Received: formats="):
        export.export_model(
            model,
            tmp_path,
            images=random_images(model.image_shape),
            formats=("saved_model",),
            quantization=export.Quantization("float16"),
        )
    assert not list(tmp_path.iterdir())
