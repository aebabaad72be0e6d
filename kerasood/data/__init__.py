"""Images in: the registry of data sets, their sources, and the tf.data pipelines over them."""
from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS, DatasetSpec, find, ood_names, overlap, role

__all__ = [
    "DATASETS",
    "DataOptions",
    "DatasetSpec",
    "availability",
    "available_splits",
    "find",
    "ood_names",
    "open_source",
    "overlap",
    "role",
]
