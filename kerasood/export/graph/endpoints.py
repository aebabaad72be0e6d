"""Endpoints of a SavedModel: pixels or files in, all outputs or a short answer out."""

import tensorflow as tf

from kerasood.data.decoding import DEFAULT
from kerasood.export.graph.encoded import MAX_PIXELS, decode_images, to_grey
from kerasood.serving.checks import checked_names

SIGNATURE = "serving_default"
SHORT_SIGNATURE = "classify"
ENCODED_SIGNATURE = "serving_bytes"
SHORT_ENCODED_SIGNATURE = "classify_bytes"


def build_endpoints(ood_model, class_names=None, max_pixels=MAX_PIXELS):
    """The signatures of a model; those on encoded images need a network on fixed RGB squares.

    Args:
        ood_model: OODModel.
        class_names: K str for the output "label", or None for the numbers 0 to K - 1.
        max_pixels: int, pixels of the largest JPEG file that is decoded.

    Returns:
        dict of signature name to (function of one tensor, its tf.TensorSpec).

    Raises:
        ValueError: there are not K class names.
    """
    class_names = names_or_numbers(class_names, ood_model.num_classes)
    spec = tf.TensorSpec((None, *ood_model.image_shape), tf.uint8, name="images")
    # One function in the file, called by every signature, instead of one copy for each.
    answer = tf.function(answer_any_number(ood_model), input_signature=[spec])

    def shorten(images):
        return short_answer(answer(images), class_names)

    endpoints = {SIGNATURE: (answer, spec), SHORT_SIGNATURE: (shorten, spec)}
    height, width, channels = ood_model.image_shape
    preparation = channels, max_pixels, _resizing_of(ood_model)
    if height is not None and height == width and channels in (1, 3):
        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        endpoints[ENCODED_SIGNATURE] = (_on_files(answer, height, *preparation), encoded)
        endpoints[SHORT_ENCODED_SIGNATURE] = (_on_files(shorten, height, *preparation), encoded)
    return endpoints


def answer_any_number(ood_model):
    """The model on any number of images, none included.

    oneDNN's Conv2D gives an empty batch the shape of its input, and the next layer fails: so the
    model never sees one.
    """

    def serve(images):
        # Convolutions take other sizes, and multiples of the channels, without a word.
        images = tf.ensure_shape(images, (None, *ood_model.image_shape))
        num_images = tf.shape(images)[0]
        missing = tf.maximum(1 - num_images, 0)
        outputs = ood_model(tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]]))
        return {name: output[:num_images] for name, output in outputs.items()}

    return serve


def short_answer(outputs, class_names):
    """The answer for a client that asks for the class alone and whether to believe it.

    Args:
        outputs: dict of tensors, those of OODModel.
        class_names: K str.

    Returns:
        dict of "label" (N,) string and "probability" (N,) float32 of the most probable class,
        "score" (N,) float32 and "is_ood" (N,) bool.
    """
    classes = tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32)
    return {
        "label": tf.gather(tf.constant(class_names), classes),
        "probability": tf.reduce_max(outputs["probabilities"], axis=-1),
        "score": outputs["score"],
        "is_ood": outputs["is_ood"],
    }


def _resizing_of(ood_model):
    """The Resizing that the model's Preprocessing says photographs had in its training."""
    preprocessing = ood_model.preprocessing
    if preprocessing is None:
        return DEFAULT
    return DEFAULT._replace(method=preprocessing.resizing, antialias=preprocessing.antialias)


def _on_files(answer, image_size, channels, max_pixels, resizing):
    """`answer` on encoded images.

    Where a file is no image, "valid" is false, "is_ood" is true for clients that look no further,
    and everything else is 0 or empty. An error would fail all images of the batch, and a server
    that batches puts requests of several clients into one.
    """

    def serve(image_bytes):
        image_bytes = tf.ensure_shape(image_bytes, (None,))
        images, valid = decode_images(image_bytes, image_size, max_pixels, resizing)
        images = images if channels == 3 else to_grey(images)
        outputs = {name: _blanked(output, valid) for name, output in answer(images).items()}
        return {**outputs, "is_ood": outputs["is_ood"] | ~valid, "valid": valid}

    return serve


def _blanked(output, valid):
    """`output` where valid; elsewhere 0, false or empty."""
    valid = tf.reshape(valid, [-1] + [1] * (output.shape.rank - 1))
    return tf.where(valid, output, tf.zeros([], output.dtype))


def names_or_numbers(class_names, num_classes):
    """K class names, by default the numbers 0 to K - 1: list of str.

    Raises:
        InvalidInputError: there are not K of them, all different.
    """
    names = checked_names(class_names, num_classes)
    return list(map(str, range(num_classes)) if names is None else names)
