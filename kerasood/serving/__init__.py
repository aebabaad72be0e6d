"""A network, its detector and its threshold as one model that answers for itself."""

from kerasood.serving.checks import check_images
from kerasood.serving.ood_model import OODModel, is_beyond, threshold_per_image
from kerasood.serving.recalibration import recalibrate

__all__ = [
    "OODModel", "check_images", "is_beyond", "recalibrate", "threshold_per_image",
]
