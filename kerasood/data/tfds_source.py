"""Sets prepared by tensorflow-datasets, read in their stored order without network or builder."""
import itertools
import json
import os
import pathlib
import re

import numpy as np

from kerasood.data.base import ImageSource, checked_labels, rebatch
from kerasood.data.decoding import decode_all

EXAMPLES_PER_READ = 256
INFO_FILE = "dataset_info.json"


class TfdsSource(ImageSource):
    """One split of a prepared TFDS directory. Pillow decodes and resizes, as for folders.

    Args:
        directory: the prepared version directory, see `prepared_directory`.
        split: `"test"`, or another stored split.
        image_size: side of the squares, pixels.
        spec: the registered set.
    """

    def __init__(self, directory, split, image_size, spec):
        self._builder = _tfds().builder_from_directory(directory)
        self._split = "+".join(stored_splits(directory, split, spec))
        self._resizing = spec.resizing
        super().__init__(
            spec.name,
            self._builder.info.splits[self._split].num_examples,
            image_size,
            spec.num_classes,
            tuple(self._builder.info.features["label"].names),
        )

    def batches(self, batch_size):
        return rebatch(self._chunks(), batch_size)

    def _chunks(self):
        tfds = _tfds()
        dataset = self._builder.as_dataset(
            split=self._split,
            shuffle_files=False,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        examples = iter(tfds.as_numpy(dataset))
        while read := list(itertools.islice(examples, EXAMPLES_PER_READ)):
            files = [example["image"] for example in read]
            images = decode_all(files, self.image_size, self._resizing)
            damaged = [result for result in images if isinstance(result, str)]
            if damaged:
                raise ValueError(f"{self.name}: damaged TFDS record. Received: {damaged[0]}")
            labels = np.array([example["label"] for example in read])
            yield np.stack(images), checked_labels(labels, len(read), self.num_classes, self.name)


def prepared_directory(root, tfds_name: str):
    """Returns the newest prepared version of a set below `root`, or None. Imports nothing."""
    versions = [
        path.parent
        for path in pathlib.Path(root, tfds_name).glob(f"*/{INFO_FILE}")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
    ]
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def default_root() -> pathlib.Path:
    """Returns the directory that tensorflow-datasets itself uses."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def prepared_splits(directory, spec) -> tuple[str, ...]:
    """Returns the splits that `TfdsSource` offers for a prepared directory."""
    return ("test",) if len(spec.tfds_test) > 1 else _stored(directory)


def stored_splits(directory, split: str, spec) -> tuple[str, ...]:
    """Returns the stored splits that make up `split`; of `spec.tfds_test` those that are there.

    Raises:
        ValueError: when there is no such split.
    """
    offered = prepared_splits(directory, spec)
    wanted = spec.tfds_test if split == "test" else (split,)
    found = tuple(name for name in wanted if name in _stored(directory))
    if not found or split not in offered:
        raise ValueError(f"{directory}: no split {split!r}; splits there: {', '.join(offered)}")
    return found


def _stored(directory):
    info = json.loads((pathlib.Path(directory) / INFO_FILE).read_text())
    return tuple(entry["name"] for entry in info["splits"])


def download_and_prepare(spec, root):
    """Downloads and prepares a set; returns its prepared directory.

    Raises:
        OSError: when that fails; says how else to get the set.
    """
    tfds = _tfds()
    try:
        builder = tfds.builder(spec.tfds_name, data_dir=root)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        raise OSError(f"{spec.name}: the download failed ({error}); {spec.how_to_get}") from error
    return pathlib.Path(builder.data_dir)


def _tfds():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f"Expected tensorflow-datasets (and importlib_resources), which reads this set: {error}"
        ) from error
    return tensorflow_datasets
