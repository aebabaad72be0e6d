"""Any Keras classifier as a map from images to features and logits."""

from kerasood.extractor.build import (
    attached_extractor,
    build_extractor,
    build_full_extractor,
    head_layer,
    head_of,
    is_extractor,
    output_names,
)
from kerasood.extractor.input_gradient import with_float_input
from kerasood.extractor.preprocessing import (
    Preprocessing,
    options_for,
    preprocessing_of,
    with_preprocessing,
)

__all__ = [
    "Preprocessing", "attached_extractor", "build_extractor", "build_full_extractor", "head_layer",
    "head_of", "is_extractor", "options_for", "output_names", "preprocessing_of",
    "with_float_input",
    "with_preprocessing",
]
