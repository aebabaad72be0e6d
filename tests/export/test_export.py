import dataclasses
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tf_serving import raw_model
from tflite_scores import tflite_ops
from tiny_models import ood_model, random_images, small_network, wide_resnet

from kerasood import export
from kerasood.detectors import DETECTORS, Energy
from kerasood.detectors.saving import fitted_arrays
from kerasood.evaluation.outputs import collect
from kerasood.export.formats import tflite
from kerasood.extractor.build import build_extractor, head_of
from kerasood.serving import OODModel

pytestmark = pytest.mark.filterwarnings("ignore:The network computed in less than float32")
TFLITE = export.FORMATS["tflite"]
OUTPUTS = ["energy", "is_ood", "logits", "probabilities", "score"]
WRITTEN = ("saved_model", "tflite")
# tests/detectors/test_detectors_common.py converts the score of every detector.
EXPORTED = ("energy", "mahalanobis", "react")
MODELS = {
    **{f"cnn-{name}": (small_network, name) for name in EXPORTED},
    "wide_resnet-energy": (wide_resnet, "energy"),
    "bfloat16-energy": (lambda: small_network(policy="mixed_bfloat16"), "energy"),
}


@dataclasses.dataclass
class Case:
    """A model exported in both formats, and what it must answer."""

    network: keras.Model
    weights_before: list
    model: OODModel
    images: np.ndarray
    expected: dict
    result: export.Exported


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    build, detector = MODELS[request.param]
    network = build()
    weights_before = weight_bytes(network)
    model = ood_model(network, fitted(DETECTORS[detector](), network))
    images = random_images(model.image_shape)
    folder = tmp_path_factory.mktemp(request.param)
    metadata = {"class_names": list("abcdefghij")[: model.num_classes], "commit": "0123abc"}
    result = export.export_model(
        model,
        folder,
        images=images,
        metadata=metadata,
        model_name="tiny",
        formats=("saved_model", "tflite"),
    )
    expected = export.eager_outputs(model, images)
    return Case(network, weights_before, model, images, expected, result)


def fitted(detector, network):
    images = random_images(network.input_shape[1:], num_images=40)
    extractor = build_extractor(network)
    outputs = collect(extractor, [images])
    return detector.fit(outputs, outputs["logits"].argmax(axis=1), head_of(extractor))


only_cnn = pytest.mark.parametrize("case", ["cnn-energy"], indirect=True)
each_format = pytest.mark.parametrize("format_name", WRITTEN)


def weight_bytes(network):
    return [weight.tobytes() for weight in network.get_weights()]


def assert_same_answers(outputs, expected):
    for name in ("logits", "energy", "score", "probabilities"):
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(outputs["is_ood"], expected["is_ood"])


def test_the_test_models_prove_something(case):
    assert np.ptp(case.expected["energy"]) > 0.5
    assert case.expected["is_ood"].sum() == len(case.images) // 2


@each_format
def test_every_detector_answers_alike_everywhere(case, format_name):
    outputs = export.run_exported(case.result.paths[format_name], case.images)
    assert sorted(outputs) == OUTPUTS
    for name, output in outputs.items():
        assert np.all(np.isfinite(output))
        assert output.dtype == case.expected[name].dtype
    assert_same_answers(outputs, case.expected)


def test_graph_mode_answers_like_eager(case):
    assert_same_answers(tf.function(case.model)(tf.constant(case.images)), case.expected)


def test_the_network_stays_as_it_is(case):
    assert weight_bytes(case.network) == case.weights_before


def test_the_reports_tell_what_was_verified(case):
    assert case.result.reports.keys() == case.result.paths.keys() == {"saved_model", "tflite"}
    for report in case.result.reports.values():
        assert report.num_images == 12
        assert report.num_near_threshold == 0
        assert sorted(report.differences) == ["energy", "logits", "probabilities", "score"]
        for name, difference in report.differences.items():
            assert 0 <= difference.absolute < 1e-4 and 0 <= difference.relative < 1e-4, name
        assert str(report).startswith("12 images: the score within")


@only_cnn
@pytest.mark.parametrize("num_images", [0, 1, 7])
@each_format
def test_any_batch_size(case, format_name, num_images):
    outputs = export.run_exported(case.result.paths[format_name], case.images[:num_images])
    expected = {name: output[:num_images] for name, output in case.expected.items()}
    for name, output in outputs.items():
        assert (output.dtype, output.shape) == (expected[name].dtype, expected[name].shape)
    assert_same_answers(outputs, expected)


def test_tflite_holds_builtin_ops_only(case):
    ops = tflite_ops(case.result.paths["tflite"])
    assert {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "LESS_EQUAL"} <= ops
    assert not [name for name in ops if name.startswith("Flex") or "CUSTOM" in name]
    assert "MAXIMUM" not in ops, "the SavedModel's guard against empty batches got in"


def test_tflite_has_one_signature_and_none_on_files(case):
    signatures = tflite.open_tflite(case.result.paths["tflite"]).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["images"], "outputs": OUTPUTS}}


def test_a_flex_op_would_be_seen(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((None, 4))])
    def error_function(x):
        return tf.math.erf(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [error_function.get_concrete_function()], error_function
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    assert any(name.startswith("Flex") for name in tflite_ops(tmp_path / "flex.tflite"))


def test_every_weight_is_stored_once(case):
    weights = sum(weight.nbytes for weight in case.model.get_weights())
    stored = sum(path.stat().st_size for path in case.result.folder.glob("variables/*.data*"))
    # Folded batch normalisation leaves a few less.
    assert 0.98 * weights <= stored < 1.1 * weights + 2000
    learned = sum(array.nbytes for array in fitted_arrays(case.model.detector).values())
    assert case.result.paths["tflite"].stat().st_size < 1.1 * (weights + learned) + 20_000


def ops_by_function(folder):
    """A set of op names for each function of a SavedModel."""
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    functions = content.meta_graphs[0].graph_def.library.function
    return [{node.op for node in function.node_def} for function in functions]


def test_the_signatures_share_one_copy_of_the_network(case):
    assert sum("Conv2D" in ops for ops in ops_by_function(case.result.folder)) == 1


def test_the_energy_has_no_guard_against_infinities(case):
    """As `tf.reduce_logsumexp` has it; the ops that it is made of instead are there."""
    ops = set.union(*ops_by_function(case.result.folder))
    assert {"Exp", "Log"} <= ops and not {"IsFinite", "Bitcast"} & ops


def test_the_signature_is_described_alike(case):
    height, width, channels = case.model.image_shape
    expected = f"""signature serving_default
  input
    images        uint8    (N, {height}, {width}, {channels})
  outputs
    energy        float32  (N,)
    is_ood        bool     (N,)
    logits        float32  (N, {case.model.num_classes})
    probabilities float32  (N, {case.model.num_classes})
    score         float32  (N,)"""
    described = export.describe_signature(case.result.paths["saved_model"])
    assert described.startswith(f"{expected}\nsignature classify\n")
    assert export.describe_signature(case.result.paths["tflite"]) == expected


@only_cnn
def test_tf_serving_finds_folder_tag_signature_and_method(case):
    folder = case.result.folder
    assert (folder.parent.name, folder.name) == ("tiny", "1")
    assert (folder / "saved_model.pb").is_file()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
        signature = graph.signature_def["serving_default"]
        feeds = {signature.inputs["images"].name: case.images}
        score = session.run(signature.outputs["score"].name, feeds)
    assert signature.method_name == "tensorflow/serving/predict"
    assert list(signature.inputs) == ["images"]
    np.testing.assert_allclose(score, case.expected["score"], rtol=1e-4)


@pytest.mark.parametrize("case", ["wide_resnet-energy"], indirect=True)
def test_a_network_for_any_size_answers_only_its_own(case):
    """What it pools over may be of any size, so that the graph itself must look."""
    with raw_model(case.result.folder) as model:
        assert len(model.run({"images": case.images})["score"]) == 12
        for shape in ((2, 64, 64, 3), (2, 32, 40, 3), (2, 32, 32, 1), (2, 32, 32, 6)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
                model.run({"images": np.zeros(shape, np.uint8)})


@only_cnn
def test_tensorflow_loads_it_as_an_object_too(case):
    loaded = tf.saved_model.load(str(case.result.folder))
    assert_same_answers(
        loaded.signatures["serving_default"](images=tf.constant(case.images)), case.expected
    )


def test_metadata_travels_with_every_format(case):
    for path in case.result.paths.values():
        metadata = export.read_metadata(path)
        assert metadata["class_names"][:4] == ["a", "b", "c", "d"]
        assert metadata["commit"] == "0123abc"
        assert metadata["threshold"] == case.model.threshold
        assert metadata["image_shape"] == list(case.model.image_shape)
        assert DETECTORS[metadata["detector"]] is type(case.model.detector)
        assert metadata["exported_with"]["keras"] == keras.__version__


def test_only_the_model_says_its_threshold(tmp_path):
    model = ood_model(small_network(), Energy())
    with pytest.raises(ValueError, match="come from the model. Received: detector, threshold"):
        metadata = {"threshold": 1.0, "detector": "msp"}
        export.FORMATS["saved_model"].write(model, tmp_path / "x", metadata)


def test_metadata_beside_the_file_is_needed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected the metadata of .*model.tflite"):
        export.read_metadata(tmp_path / "model.tflite")


@only_cnn
@pytest.mark.parametrize("has_litert", [True, False])
def test_both_tflite_runtimes(case, monkeypatch, has_litert):
    if has_litert:
        runtime = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    else:
        runtime = tf.lite.Interpreter
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    path = case.result.paths["tflite"]
    assert type(tflite.open_tflite(path)) is runtime
    assert_same_answers(export.run_exported(path, case.images), case.expected)


def test_ops_beyond_tflite_are_named(tmp_path):
    images = keras.Input((8, 8, 3))
    features = keras.layers.Activation(keras.ops.erfinv)(keras.layers.Flatten()(images))
    network = keras.Model(images, keras.layers.Dense(2)(features))
    with pytest.raises(ValueError, match="builtin ops can express. Received: ops tf.Erfinv"):
        TFLITE.write(OODModel(network, Energy(), 0.0), tmp_path / "model.tflite", {})
    assert not list(tmp_path.iterdir())


@each_format
def test_export_needs_the_tensorflow_backend(tmp_path, monkeypatch, format_name):
    model = ood_model(small_network(), Energy())
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow to export. Received: .*'jax'"):
        export.FORMATS[format_name].write(model, tmp_path / "model.tflite", {})
