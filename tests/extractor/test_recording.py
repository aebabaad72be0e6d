"""What a model's call does while it is recorded: errors, threads, nested recordings."""

import threading

import numpy as np
import pytest
from classifiers import Subclassed, built, untouched
from keras import layers
from tiny_models import random_images

from kerasood.extractor import (
    build_extractor,
)
from kerasood.extractor.recording import recorded

IMAGES = random_images((8, 8, 3), 6)


class Failing(Subclassed):
    fails = False

    def call(self, images, training=None):
        logits = super().call(images, training)
        if self.fails:
            raise RuntimeError("out of luck")
        return logits


def test_a_model_that_cannot_be_run_is_refused():
    network = built(Failing())
    network.fails = True
    with pytest.raises(ValueError, match="which fails on them with a RuntimeError"):
        build_extractor(network)
    network.fails = False
    with pytest.raises(ValueError, match=r"images of shape \(7, 7, 3\). Received: model='mine'"):
        build_extractor(network, image_shape=(7, 7, 3))


def test_an_exception_leaves_nothing_behind():
    network = built(Failing())
    extractor = build_extractor(network)
    expected = extractor(IMAGES)["logits"]
    network.fails = True
    with pytest.raises(RuntimeError, match="out of luck"):
        extractor(IMAGES)
    assert untouched(network)
    network.fails = False
    np.testing.assert_array_equal(extractor(IMAGES)["logits"], expected)


def test_threads_do_not_see_each_other(network):
    extractor = build_extractor(network)
    batches = [IMAGES[i : i + 1] for i in range(4)]
    expected = [np.asarray(extractor(batch)["features"]) for batch in batches]
    wrong = []

    def work(number):
        for _ in range(6):
            network(batches[number - 1])
            received = np.asarray(extractor(batches[number])["features"])
            if not np.array_equal(received, expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert untouched(network)


def test_recordings_nest_and_restore_an_attribute_that_was_there():
    layer = layers.Dense(2)
    vectors = np.ones((1, 3), "float32")
    layer(vectors)
    own = layer.call
    object.__setattr__(layer, "call", own)
    with recorded([layer, layer]) as outer:
        with recorded([layer]) as inner:
            layer(vectors)
        layer(inputs=2 * vectors)
    layer(vectors)
    assert [np.asarray(call.inputs)[0, 0] for call in outer] == [1, 2]
    assert len(inner) == 1
    assert vars(layer)["call"] is own
