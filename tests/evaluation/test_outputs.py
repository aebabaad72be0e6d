import gc
import tracemalloc
import weakref

import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood.data.built_in import GeneratedSource
from kerasood.data.source import ArraySource
from kerasood.evaluation.outputs import collect, collect_source
from kerasood.extractor.build import build_extractor

IMAGES = random_images((8, 8, 3), num_images=23)


@pytest.fixture(scope="module")
def extractor():
    return build_extractor(small_network())


def batches_of(images, batch_size):
    return (images[i : i + batch_size] for i in range(0, len(images), batch_size))


class Pooling(keras.layers.Layer):
    """Mean colours; a wished value where the first pixel is white."""

    def __init__(self, broken):
        super().__init__()
        self.broken = broken

    def call(self, images):
        pixels = keras.ops.cast(images, "float32")
        features = keras.ops.mean(pixels, axis=(1, 2))
        return keras.ops.where(pixels[:, 0, 0] == 255, self.broken, features)


def pooling_extractor(size, broken=0.0):
    images = keras.Input((size, size, 3), dtype="uint8")
    features = Pooling(broken)(images)
    return keras.Model(images, {"features": features, "logits": features[:, :2]})


class Recorder:
    """An extractor that remembers the sizes of its batches."""

    def __init__(self, extractor, jit_compile):
        self.extractor = extractor
        self.jit_compile = jit_compile
        self.sizes = []

    def predict_on_batch(self, images):
        self.sizes.append(len(images))
        return self.extractor.predict_on_batch(images)


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [45, 5]), (40, [40, 10])])
def test_a_model_is_given_as_many_as_fit_or_as_are_asked_for(batch_size, sizes):
    recorder = Recorder(pooling_extractor(224), jit_compile=False)
    photos = ArraySource("photos", np.zeros((50, 224, 224, 3), np.uint8))
    collect_source(recorder, photos, batch_size)
    assert recorder.sizes == sizes


@pytest.mark.parametrize("batch_size", [1, 10, 23, 100])
def test_outputs_are_those_of_one_forward_pass_in_order(extractor, batch_size):
    outputs = collect(extractor, batches_of(IMAGES, batch_size))
    expected = extractor.predict(IMAGES, verbose=0)
    assert set(outputs) == {"features", "logits"}
    for name, values in outputs.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5)
    assert outputs["logits"].std() > 0.1


def test_the_logits_are_those_of_the_model(extractor):
    logits = collect(build_extractor(small_network()), [IMAGES])["logits"]
    network = small_network().predict_on_batch(IMAGES)
    np.testing.assert_allclose(logits, network, rtol=1e-5, atol=1e-5)


def test_reduced_precision_comes_out_as_float32():
    outputs = collect(build_extractor(small_network(policy="mixed_bfloat16")), [IMAGES])
    assert {values.dtype for values in outputs.values()} == {np.dtype("float32")}


def test_progress_counts_images(extractor):
    counts = []
    collect(extractor, batches_of(IMAGES, 10), counts.append)
    assert counts == [10, 10, 3]


def test_images_are_not_kept_in_memory():
    """20,000 images of 32 x 32 are 61 MB, and their outputs 0.4 MB."""
    source = GeneratedSource("uniform_noise", num_images=20_000)
    extractor = pooling_extractor(32)
    references, most = [], 0

    def batches():
        nonlocal most
        for images, _ in source.batches(250):
            references.append(weakref.ref(images))
            most = max(most, sum(reference() is not None for reference in references))
            yield images

    collect(extractor, [np.zeros((250, 32, 32, 3), np.uint8)])
    gc.collect()
    tracemalloc.start()
    outputs = collect(extractor, batches())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outputs["features"].shape == (20_000, 3)
    assert peak < 20e6
    assert most <= 4


def test_float_images_are_refused(extractor):
    with pytest.raises(ValueError, match="Expected uint8 images.*Received: float32"):
        collect(extractor, [IMAGES.astype("float32") / 255])


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("image", [0, 9, 10, 22])
def test_an_output_that_is_no_number_names_its_image(broken, image):
    images = np.zeros((23, 8, 8, 3), np.uint8)
    images[image, 0, 0] = 255
    with pytest.raises(ValueError, match=f"Received: NaN or infinity for image {image}$"):
        collect(pooling_extractor(8, broken), batches_of(images, 10))


def test_no_images_are_refused(extractor):
    with pytest.raises(ValueError, match="at least one batch of images. Received: none"):
        collect(extractor, [])


@pytest.mark.parametrize(("jit_compile", "seen"), [(True, [10, 10, 10]), (False, [10, 10, 3])])
def test_where_every_shape_is_compiled_only_full_batches_are_seen(extractor, jit_compile, seen):
    recorder = Recorder(extractor, jit_compile)
    outputs = collect(recorder, batches_of(IMAGES, 10))
    assert recorder.sizes == seen
    for name, values in extractor.predict(IMAGES, verbose=0).items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5, atol=1e-5)
