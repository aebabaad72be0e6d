"""Images in: the registry of data sets, and their sources."""
from kerasood.data.adapters import as_source
from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS, DatasetSpec, find, register
from kerasood.data.roles import ood_names, overlap, role
from kerasood.data.source import ImageSource

__all__ = [
    "DATASETS", "DataOptions", "DatasetSpec", "ImageSource", "as_source", "availability",
    "available_splits", "find", "ood_names", "open_source", "overlap", "register", "role",
]
