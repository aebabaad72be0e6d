"""ONNX and OpenVINO: the same answers; which formats can be had; what they cannot express."""

import importlib.util
import logging

import keras
import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network, wide_resnet

from kerasood import export
from kerasood.detectors import Energy, MaxLogit
from kerasood.export import formats
from kerasood.serving import OODModel

FURTHER = ("onnx", "openvino")


def needed(name):
    missing = export.FORMATS[name].missing
    if missing:
        pytest.skip(f"needs the extra {name}: no {', '.join(missing)}")


@pytest.fixture(scope="module", params=FURTHER)
def exported(request, tmp_path_factory):
    """(format, model, images, Exported) of a WRN-10-1."""
    needed(request.param)
    model = ood_model(wide_resnet(), Energy())
    images = random_images(model.image_shape)
    folder = tmp_path_factory.mktemp(request.param)
    result = export.export_model(model, folder, images=images, formats=(request.param,))
    return request.param, model, images, result


def test_the_same_answers_number_by_number(exported):
    name, model, images, result = exported
    outputs = export.run_exported(result.paths[name], images)
    expected = export.eager_outputs(model, images)
    assert outputs.keys() == expected.keys()
    for key, output in outputs.items():
        assert (output.dtype, output.shape) == (expected[key].dtype, expected[key].shape)
        np.testing.assert_allclose(output, expected[key], rtol=1e-4, atol=2e-5)
    assert 0 < outputs["is_ood"].sum() < len(images)


@pytest.mark.parametrize("num_images", [0, 1, 7])
def test_any_batch_size(exported, num_images):
    name, model, images, result = exported
    outputs = export.run_exported(result.paths[name], images[:num_images])
    expected = export.eager_outputs(model, images)
    for key, output in outputs.items():
        np.testing.assert_allclose(output, expected[key][:num_images], rtol=1e-4, atol=2e-5)


def test_its_report_metadata_and_golden_images(exported):
    name, model, _, result = exported
    path = result.paths[name]
    assert result.reports[name].largest < 1e-4
    assert export.read_metadata(path)["threshold"] == model.threshold
    assert export.replay(result.folder)[name].num_images == 12
    assert formats.artefacts(result.folder) == {name: path}


def test_the_file_says_its_names_and_any_batch_size(exported):
    """For hosts that are not our runners: one input `images`, outputs by name, no scalars."""
    name, model, _, result = exported
    described = {"onnx": describe_onnx, "openvino": describe_openvino}[name]
    inputs, outputs = described(result.paths[name])
    assert inputs == {"images": [None, *model.image_shape]}
    assert outputs == {
        "logits": [None, 10],
        "probabilities": [None, 10],
        "energy": [None],
        "score": [None],
        "is_ood": [None],
    }


def describe_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return (
        {
            spec.name: [size if isinstance(size, int) else None for size in spec.shape]
            for spec in specs
        }
        for specs in (session.get_inputs(), session.get_outputs())
    )


def describe_openvino(path):
    import openvino

    model = openvino.Core().read_model(str(path))
    return (
        {
            spec.get_any_name(): [
                None if size.is_dynamic else size.get_length()
                for size in spec.get_partial_shape()
            ]
            for spec in specs
        }
        for specs in (model.inputs, model.outputs)
    )


def test_weights_are_not_rounded(exported):
    name, model, _, result = exported
    # OpenVINO's graph and weights are two files.
    stored = sum(path.stat().st_size for path in result.folder.glob("model.*"))
    assert stored > sum(weight.nbytes for weight in model.get_weights())


def test_openvino_reads_the_savedmodel_folder_too(tmp_path):
    needed("openvino")
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape)
    folder = export.FORMATS["saved_model"].write(model, tmp_path / "1", {})
    expected = export.eager_outputs(model, images)
    for num_images in (0, 12):
        outputs = export.FORMATS["openvino"].run(folder, images[:num_images])
        for name, output in outputs.items():
            np.testing.assert_allclose(output, expected[name][:num_images], rtol=1e-4, atol=2e-5)


@keras.saving.register_keras_serializable("tests")
class ArgmaxLayer(keras.layers.Layer):
    """Adds to the first logit the number of the largest one, found with keras.ops.argmax."""

    def call(self, logits):
        number = keras.ops.cast(keras.ops.argmax(logits, axis=-1), "float32")[:, None]
        return keras.ops.concatenate([logits[:, :1] + number, logits[:, 1:]], axis=-1)


@pytest.mark.parametrize("name", ["tflite", *FURTHER])
def test_the_argmax_of_keras_does_not_get_through(name, tmp_path):
    needed(name)
    network = small_network()
    with_argmax = keras.Model(network.inputs, ArgmaxLayer()(network.outputs[0]))
    model = OODModel(_as_extractor(with_argmax), MaxLogit(), 0.0)
    images = random_images(model.image_shape)
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)
    with pytest.raises(ValueError, match="Expected a model that .* can express"):
        export.export_model(model, tmp_path, images=images, formats=(name,))
    assert not list(tmp_path.iterdir())
    # OpenVINO's failed conversions would silence everybody's warnings from here on.
    assert (root.level, list(root.filters), list(root.handlers)) == before


def _as_extractor(network):
    logits = network.outputs[0]
    return keras.Model(network.inputs, {"features": logits, "logits": logits})


@pytest.mark.parametrize("name", FURTHER)
def test_formats_need_the_tensorflow_backend(name, tmp_path, monkeypatch):
    needed(name)
    model = ood_model(small_network(), Energy())
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow to export"):
        export.FORMATS[name].write(model, tmp_path / "model.x", {})


def test_a_format_without_its_packages_is_refused(tmp_path, monkeypatch):
    without = dict.fromkeys(("tf2onnx", "openvino"))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in without else found(name)
    )
    assert export.available_formats() == ("saved_model", "tflite")
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape)
    for name in FURTHER:
        with pytest.raises(ValueError, match=rf"'kerasood\[{name}\]'.* Received: no "):
            export.export_model(model, tmp_path, images=images, formats=(name,))
    assert not list(tmp_path.iterdir())


def test_formats_are_told_by_their_files(tmp_path):
    for name in ("model.tflite", "model.onnx", "model.xml", "saved_model.pb"):
        (tmp_path / name).touch()
    for name in ("tflite", "onnx", "openvino"):
        kind = formats.FORMATS[name]
        assert formats.format_of(tmp_path / kind.file) is kind
    assert formats.format_of(tmp_path) is formats.FORMATS["saved_model"]
    assert list(formats.artefacts(tmp_path)) == list(formats.FORMATS)
    with pytest.raises(ValueError, match="Received: .*none.onnx"):
        formats.format_of(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06]),
        keras.layers.Activation("gelu"),
    ],
    ids=["normalization", "exact gelu"],
)
def test_layers_that_tf2onnx_lacks(layer, tmp_path):
    needed("onnx")
    model = OODModel(network_with(layer), Energy(), 0.0)
    images = random_images(model.image_shape)
    result = export.export_model(model, tmp_path, images=images, formats=("onnx",))
    assert result.reports["onnx"].largest < 1e-4


def test_a_grouped_convolution_is_refused_by_its_name(tmp_path):
    needed("onnx")
    grouped = keras.layers.Conv2D(6, 3, groups=3, name="of_three_groups")
    model = OODModel(network_with(grouped), Energy(), 0.0)
    with pytest.raises(export.Inexpressible, match="of_three_groups"):
        images = random_images(model.image_shape)
        export.export_model(model, tmp_path, images=images, formats=("onnx",))


def network_with(layer):
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = layer(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
