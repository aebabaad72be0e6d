import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood.data.source import ArraySource
from kerasood.evaluation.outputs import collect_source
from kerasood.evaluation.outputs_cache import OutputsCache
from kerasood.extractor.build import build_extractor
from kerasood.networks.fingerprint import model_hash, weights_hash
from kerasood.networks.wide_resnet import WideResNet

IMAGES, LABELS = random_images((8, 8, 3), 20), np.arange(20) % 4
SOURCE = ArraySource("set", IMAGES, LABELS)


class Counted:
    """An extractor that counts the images it computes."""

    def __init__(self, model):
        self.model = model
        self.num_images = 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict_on_batch(self, images):
        self.num_images += len(images)
        return self.model.predict_on_batch(images)


@pytest.fixture
def extractor():
    return Counted(build_extractor(small_network()))


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_computed_once_comes_from_disk(extractor, tmp_path):
    first = OutputsCache(tmp_path / "outputs").collect(extractor, SOURCE, 8)
    counts = []
    second = OutputsCache(tmp_path / "outputs").collect(extractor, SOURCE, 8, counts.append)
    assert extractor.num_images == sum(counts) == 20
    expected = collect_source(extractor, SOURCE, 8)
    for collected in (first, second):
        assert collected.sha256 == expected.sha256
        np.testing.assert_array_equal(collected.labels, LABELS)
        for name, values in expected.outputs.items():
            np.testing.assert_array_equal(collected.outputs[name], values)
    assert len(files(tmp_path)) == 1


def test_other_images_weights_or_standardisation_are_computed_anew(tmp_path):
    cache = OutputsCache(tmp_path)
    network = WideResNet(10, 1, 4, 0.0, image_size=8)
    other_mean = WideResNet(10, 1, 4, 0.0, image_size=8, mean=(1.0, 2.0, 3.0))
    other_mean.set_weights(network.get_weights())
    changed = IMAGES.copy()
    changed[7, 0, 0, 0] += 1
    cache.collect(build_extractor(network), SOURCE)
    cache.collect(build_extractor(other_mean), SOURCE)
    cache.collect(build_extractor(network), ArraySource("set", changed, LABELS))
    assert len(files(tmp_path)) == 3
    network.get_layer("logits").bias.assign(np.ones(4))
    OutputsCache(tmp_path).collect(build_extractor(network), SOURCE)
    assert len(files(tmp_path)) == 4


@pytest.mark.parametrize("name", ["{folder}/own.npz holdout", "../../own.npz kept", "x/" * 150])
def test_a_source_named_by_a_path_stays_in_the_folder_of_its_model(tmp_path, name):
    source = ArraySource(name.format(folder=tmp_path), IMAGES, LABELS)
    network = WideResNet(10, 1, 4, 0.0, image_size=8)
    first = OutputsCache(tmp_path / "a/b").collect(build_extractor(network), source)
    network.get_layer("logits").bias.assign(np.ones(4))
    second = OutputsCache(tmp_path / "a/b").collect(build_extractor(network), source)
    np.testing.assert_allclose(second.outputs["logits"] - first.outputs["logits"], 1, atol=1e-5)
    assert len(files(tmp_path)) == len({path.parent for path in files(tmp_path / "a/b")}) == 2


def test_a_damaged_file_is_computed_again(extractor, tmp_path, caplog):
    OutputsCache(tmp_path).collect(extractor, SOURCE)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    again = OutputsCache(tmp_path).collect(extractor, SOURCE)
    assert extractor.num_images == 40
    assert again.num_images == 20
    OutputsCache(tmp_path).collect(extractor, SOURCE)
    assert extractor.num_images == 40


@pytest.mark.parametrize("changed", ["outputs/logits", "labels", "facts", "moved"])
def test_other_outputs_under_the_name_of_these_are_computed_again(
    extractor, tmp_path, caplog, changed
):
    expected = OutputsCache(tmp_path).collect(extractor, SOURCE)
    (path,) = files(tmp_path)
    with np.load(path) as stored:
        arrays = dict(stored)
    if changed == "facts":
        arrays["facts"] = np.array(str(arrays["facts"]).replace("sha256", "sha"))
    elif changed != "moved":
        arrays[changed] = arrays[changed][::-1]
    np.savez(path, **arrays)
    if changed == "moved":  # what was stored for other images, under the name of these
        other = ArraySource("other", IMAGES[::-1].copy(), LABELS)
        OutputsCache(tmp_path / "other").collect(extractor, other)
        files(tmp_path / "other")[0].replace(path)
    num_images = extractor.num_images
    again = OutputsCache(tmp_path).collect(extractor, SOURCE)
    assert extractor.num_images == num_images + 20
    assert "is damaged and computed again" in caplog.text
    np.testing.assert_array_equal(again.outputs["logits"], expected.outputs["logits"])


def test_without_a_folder_nothing_is_kept(extractor, tmp_path):
    for _ in range(2):
        OutputsCache(None).collect(extractor, SOURCE)
    assert extractor.num_images == 40
    assert not files(tmp_path)


def test_images_without_labels(extractor, tmp_path):
    source = ArraySource("set", IMAGES)
    for _ in range(2):
        assert OutputsCache(tmp_path).collect(extractor, source).labels is None
    assert extractor.num_images == 20


def test_a_set_with_unreadable_files_is_read_again(extractor, tmp_path):
    source = ArraySource("set", IMAGES)
    source.skipped.append(("a.png", "truncated"))
    OutputsCache(tmp_path).collect(extractor, source)
    assert not files(tmp_path)


def test_hashes_tell_weights_and_structure_apart():
    network, same = small_network(), small_network()
    assert weights_hash(network) == weights_hash(same)
    head = same.layers[-1]
    head.bias.assign(head.bias + 1)
    assert weights_hash(network) != weights_hash(same)
    narrow, wide = (WideResNet(10, 1, 4, dropout, image_size=8) for dropout in (0.0, 0.5))
    wide.set_weights(narrow.get_weights())
    assert weights_hash(narrow) == weights_hash(wide)
    assert model_hash(narrow) != model_hash(wide)


class Own(keras.Model):
    """A model with code of its own and no configuration."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.head = keras.layers.Dense(4)

    def call(self, images):
        return self.head(self.scale * keras.ops.mean(images, axis=(1, 2)))


def test_models_without_a_configuration_are_not_cached(tmp_path):
    model = Own(1.0)
    model(IMAGES.astype("float32"))
    assert model_hash(model) is None
    extractor = build_extractor(model)
    for _ in range(2):
        assert OutputsCache(tmp_path).collect(extractor, SOURCE).num_images == 20
    assert not files(tmp_path)


class Described(Own):
    """The same, for which Keras writes a configuration that lacks the scale."""

    def __init__(self, scale=1.0, **kwargs):
        keras.Model.__init__(self, **kwargs)
        self.scale = scale
        self.head = keras.layers.Dense(4, kernel_initializer="ones")


def test_what_a_configuration_does_not_say_tells_models_apart():
    models = [Described(scale, name="own") for scale in (1.0, 1.0, 2.0)]
    for model in models:
        model(IMAGES.astype("float32"))
    assert models[0].to_json() == models[2].to_json()
    first, same, other = map(model_hash, models)
    assert first == same and first is not None and other not in (None, first)
    extractors = [build_extractor(models[row]) for row in (0, 2)]
    assert len({model_hash(extractor) for extractor in extractors} - {None}) == 2
