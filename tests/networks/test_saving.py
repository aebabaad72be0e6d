import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood.networks.saving import load_network, save_network
from kerasood.networks.wide_resnet import WideResNet

IMAGES = random_images((8, 8, 3))


def wide_resnet(policy="float32"):
    keras.utils.set_random_seed(0)
    return WideResNet(10, 1, 4, image_size=8, dtype=policy)


def sequential(policy="float32"):
    keras.utils.set_random_seed(0)
    policy = keras.dtype_policies.get(policy)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255, dtype=policy),
            keras.layers.Flatten(dtype=policy),
            keras.layers.Dense(5, activation="relu", dtype=policy),
            keras.layers.Dense(4, dtype="float32"),
        ]
    )


def functional(policy="float32"):
    return small_network(policy=policy)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.keras"


@pytest.mark.parametrize("make", [wide_resnet, sequential, functional])
def test_a_network_comes_back_with_its_class_and_its_logits(make, path):
    network = make()
    save_network(network, path)
    loaded = load_network(path)
    assert type(loaded) is type(network)
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))


@pytest.mark.parametrize("make", [wide_resnet, sequential, functional])
def test_a_network_of_mixed_precision_is_saved_in_float32(make, path):
    network = make("mixed_bfloat16")
    save_network(network, path)
    loaded = load_network(path)
    assert {layer.compute_dtype for layer in loaded._flatten_layers()} == {"float32"}
    same_weights = make("float32")
    same_weights.set_weights(network.get_weights())
    np.testing.assert_array_equal(loaded(IMAGES), same_weights(IMAGES))
    assert np.any(np.asarray(loaded(IMAGES)) != np.asarray(network(IMAGES)))


@pytest.mark.parametrize("make", [wide_resnet, functional])
def test_saving_leaves_a_network_of_mixed_precision_as_it_is(make, path):
    network = make("mixed_bfloat16")
    logits = np.asarray(network(IMAGES))
    save_network(network, path)
    assert "bfloat16" in {layer.compute_dtype for layer in network._flatten_layers()}
    np.testing.assert_array_equal(network(IMAGES), logits)


def test_the_optimizer_is_not_loaded(path):
    network = sequential()
    network.compile("sgd", "mse")
    save_network(network, path)
    assert not load_network(path).compiled


def test_a_lambda_layer_is_refused_and_not_run(path, tmp_path):
    trace = tmp_path / "ran"
    name = str(trace)
    leave_a_trace = keras.layers.Lambda(lambda images: (open(name, "w").close(), images)[1])
    keras.Sequential([keras.Input((4,)), leave_a_trace, keras.layers.Dense(3)]).save(path)
    trace.unlink()
    with pytest.raises(ValueError, match=f".keras or .h5 model in {path}. Received: .*Lambda"):
        load_network(path)
    assert not trace.exists()


def test_a_class_that_is_not_known_here_is_refused(path):
    class Stranger(keras.layers.Layer):
        def call(self, images):
            return images

    keras.Sequential([keras.Input((4,)), Stranger(), keras.layers.Dense(3)]).save(path)
    with pytest.raises(ValueError, match="Could not locate class 'Stranger'") as error:
        load_network(path)
    assert len(str(error.value)) < 500


def truncated(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [truncated, lambda content: b"", lambda content: b"not a model"],
    ids=["truncated", "empty", "text"],
)
def test_a_file_that_is_no_archive_is_refused(path, damage):
    save_network(sequential(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"model in {path}. Received: a file that is no zip"):
        load_network(path)


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_an_archive_without_one_of_its_parts_is_refused(path, tmp_path, missing):
    save_network(sequential(), path)
    partial = tmp_path / "partial.keras"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(partial, "w") as archive:
        for name in whole.namelist():
            if name != missing:
                archive.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match=f".keras or .h5 model in {partial}. Received: "):
        load_network(partial)


def test_an_archive_with_a_broken_byte_is_refused(path):
    save_network(sequential(), path)
    content = bytearray(path.read_bytes())
    content[content.index(b'"class_name"') + 20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f".keras or .h5 model in {path}. Received: "):
        load_network(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(ValueError, match=f"{path}. Received: File not found"):
        load_network(path)


def test_a_failed_save_leaves_the_earlier_file(path, monkeypatch):
    save_network(sequential(), path)
    before = path.read_bytes()

    def fail(self, temporary):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_network(sequential(), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["network.keras"]


def of_keras_2(path):
    """Marks a file as one of Keras 2, with a class that Keras 3 does not know."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"]["layers"][1]["class_name"] = "TFOpLambda"
            file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
        return
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["metadata.json"] = json.dumps({"keras_version": "2.15.0"})
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps({**config, "module": "keras.src.engine.functional"})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_of_keras_2_is_loaded_or_the_way_out_is_said(tmp_path, suffix):
    network, path = functional(), tmp_path / f"network{suffix}"
    network.save(path)
    np.testing.assert_allclose(load_network(path)(IMAGES), network(IMAGES), atol=1e-5)
    of_keras_2(path)
    with pytest.raises(ValueError, match=r"a file of Keras 2 .*read the weights by model.load_w"):
        load_network(path)


def test_a_damaged_h5_file_and_a_saved_model_are_refused(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"PK no HDF5")
    with pytest.raises(ValueError, match="a file that is no HDF5 file; it may be truncated"):
        load_network(tmp_path / "x.h5")
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    with pytest.raises(ValueError, match=r"a SavedModel, whose layers .*model.save\('model.keras'"):
        load_network(tmp_path / "exported")
