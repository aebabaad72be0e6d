import pytest
import tensorflow as tf
from encoded_images import SIDE

from kerasood.export.graph.encoded import decode_images


@pytest.fixture(scope="module")
def graph():
    """The decoder at two sizes, traced once each."""
    spec = [tf.TensorSpec((None,), tf.string)]
    small = tf.function(lambda files: decode_images(files, SIDE), input_signature=spec)
    large = tf.function(lambda files: decode_images(files, 96), input_signature=spec)

    def run(files, side=SIDE):
        images, valid = (small if side == SIDE else large)(tf.constant(files, tf.string))
        return images.numpy(), valid.numpy()

    return run
