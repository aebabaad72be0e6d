"""A new threshold for a model that is in use, from new images, without touching its weights."""

import typing

from kerasood import thresholds
from kerasood.data.adapters import as_source
from kerasood.detectors.stepped import without_step
from kerasood.errors import InvalidInputError
from kerasood.serving.ood_model import OODModel


def recalibrate(
    ood_model: OODModel,
    images: typing.Any,
    tpr: float = 0.95,
    confidence: float = 0.95,
    guarantee: str = "average",
    per_class: bool | None = None,
    batch_size: int | None = None,
    step: bool = True,
) -> tuple[OODModel, typing.Any]:
    """Calibrates a model anew on in-distribution images as they arrive where it is in use.

    The old threshold has no say in the new one. The images must not have been chosen by the model:
    calibrated on those alone that it accepted, it would flag more and more.

    Args:
        ood_model: OODModel; it stays as it is.
        images: in-distribution images that the model was never trained on, as
            `kerasood.data.as_source` takes them: uint8 array (N, H, W, 3), pixels 0-255, a
            tf.data.Dataset, a PyDataset or an ImageSource.
        tpr, confidence, guarantee: see `thresholds.calibrate`.
        per_class: bool, whether each predicted class gets a threshold of its own; None: as it is in
            `ood_model`.
        batch_size: int, images in a forward pass; by default as `OODModel.predict`.
        step: bool, whether the detector keeps its step on the image, which TFLite lacks gradients
            for.

    Returns:
        (OODModel, Threshold or PerClassThreshold): a model of the same weights, shared with
        `ood_model`, and what its threshold promises.

    Raises:
        ValueError: dtype or shape is not what the network was trained on; too few images.
    """
    if not isinstance(ood_model, OODModel):
        raise InvalidInputError(
            "Expected an OODModel, which has the threshold to be renewed. "
            f"Received: {type(ood_model).__name__}"
        )
    if per_class is None:
        per_class = not isinstance(ood_model.threshold, float)
    promise = thresholds.Promise(tpr, confidence, guarantee, per_class)
    if not step:
        detector = without_step(ood_model.detector)
        ood_model = OODModel(
            ood_model.network, detector, ood_model.threshold, ood_model.name,
            class_names=ood_model.class_names,
        )
    images, _ = as_source(images).load()
    outputs = ood_model.predict(images, batch_size=batch_size)
    threshold = thresholds.calibrate_outputs(outputs["score"], outputs["logits"], promise)
    again = OODModel(
        ood_model.network,
        ood_model.detector,
        threshold,
        name=ood_model.name,
        class_names=ood_model.class_names,
    )
    return again, threshold
