"""Sets prepared by tensorflow-datasets, read in their stored order without network or builder."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import urllib.parse

import numpy as np

from kerasood.data.decoding import PUBLISHED_SIZE, RULES, decode_all, published_size, resizing_of
from kerasood.data.division import OUTLIERS
from kerasood.data.labels import checked_labels
from kerasood.data.source import ImageSource
from kerasood.errors import InvalidInputError, StorageError

EXAMPLES_PER_READ = 256
INFO_FILE = "dataset_info.json"
PATIENCE = 30  # seconds for a server's first answer


class TfdsSource(ImageSource):
    """One split of a prepared TFDS directory. Pillow decodes and resizes, as for folders.

    Args:
        directory: the prepared version directory, see `prepared_directory`.
        split: `"test"`, `"outliers"`, or another stored split.
        options: DataOptions.
        spec: the registered set. Without `num_classes` stored labels are left out.
    """

    def __init__(self, directory, split, options, spec):
        self._builder = _tfds().builder_from_directory(directory)
        self._stored = stored_splits(directory, split, spec)
        self._split = "+".join(self._stored)
        self._resizing = resizing_of(options, spec)
        info = self._builder.info
        labelled = spec.num_classes is not None
        if options.image_size != PUBLISHED_SIZE:
            self.resized_from = published_size(spec.resizing)
        super().__init__(
            spec.name,
            info.splits[self._split].num_examples,
            options.image_size,
            spec.num_classes,
            tuple(info.features["label"].names) if labelled else None,
            options.channels,
        )

    def _identity(self):
        directory = pathlib.Path(self._builder.data_dir)
        shards = []
        for split in self._stored:
            for shard in self._builder.info.splits[split].filepaths:
                status = pathlib.Path(shard).stat()
                shards.append([shard.name, status.st_size, status.st_mtime_ns])
        info = (directory / INFO_FILE).read_text(encoding="utf-8")
        return [info, self._split, shards, self._resizing, RULES]

    def _chunks(self):
        for read in self._examples({"image"}):
            files = [example["image"] for example in read]
            images = decode_all(files, self.image_size, self._resizing)
            damaged = [result for result in images if isinstance(result, str)]
            if damaged:
                raise InvalidInputError(f"{self.name}: damaged TFDS record. Received: {damaged[0]}")
            yield np.stack(images), self._labels(read)

    def _all_labels(self):
        if self.num_classes is None:
            return None
        return np.concatenate([self._labels(read) for read in self._examples(set())])

    def _examples(self, images):
        """Yields lists of stored examples with their label, and their image's bytes if wanted."""
        tfds = _tfds()
        wanted = images | (set() if self.num_classes is None else {"label"})
        skipped = {"image": tfds.decode.SkipDecoding()} if images else {}
        dataset = self._builder.as_dataset(
            split=self._split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(wanted, decoders=skipped),
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        examples = iter(tfds.as_numpy(dataset))
        while read := list(itertools.islice(examples, EXAMPLES_PER_READ)):
            yield read

    def _labels(self, examples):
        if self.num_classes is None:
            return None
        labels = np.array([example["label"] for example in examples])
        return checked_labels(labels, len(examples), self.num_classes, self.name)


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
    if split == OUTLIERS:
        split = "train" if "train" in offered else "test"
    wanted = spec.tfds_test if split == "test" else (split,)
    found = tuple(name for name in wanted if name in _stored(directory))
    if not found or split not in offered:
        raise InvalidInputError(
            f"{directory}: no split {split!r}; splits there: {', '.join(offered)}"
        )
    return found


def _stored(directory):
    info = json.loads((pathlib.Path(directory) / INFO_FILE).read_text())
    return tuple(entry["name"] for entry in info["splits"])


def download_and_prepare(spec, root):
    """Has tensorflow-datasets download and prepare a set of its own.

    Args:
        spec: DatasetSpec with a `tfds_name`.
        root: directory to prepare it in; None for that of tensorflow-datasets.

    Returns:
        Path of the prepared directory.

    Raises:
        OSError: when that fails; says how else to get the set.
    """
    tfds = _tfds()
    try:
        builder = tfds.builder(spec.tfds_name, data_dir=root)
        _check_reachable(builder.url_infos or ())
        return _prepared(builder, tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise StorageError(
            f"{spec.name}: the download failed ({error}); {spec.how_to_get}"
        ) from error


def _check_reachable(urls):
    """Asks one URL of every server for an answer, any answer.

    Without a network tensorflow-datasets itself repeats its requests for minutes.
    """
    import requests  # what it downloads with: the same proxies and certificates

    for url in {urllib.parse.urlsplit(url).netloc: url for url in urls}.values():
        requests.head(url, timeout=PATIENCE)


def prepare(spec, archive):
    """Prepares a set from its archive on disk, beside the archive where that can be written.

    Args:
        spec: DatasetSpec of one of `kerasood.data.archives.builders.BUILDERS`.
        archive: Path of the file.

    Returns:
        Path of the prepared directory.

    Raises:
        OSError: when that fails, for instance because the checksum is wrong.
    """
    tfds = _tfds()
    from kerasood.data.archives.builders import BUILDERS

    root = archive.parent if os.access(archive.parent, os.W_OK) else default_root()
    try:
        config = tfds.download.DownloadConfig(
            try_download_gcs=False, manual_dir=os.fspath(archive.parent)
        )
        return _prepared(BUILDERS[spec.name](data_dir=root), config)
    except Exception as error:
        raise StorageError(
            f"{spec.name}: cannot be prepared: {error}; {spec.how_to_get}"
        ) from error


def _prepared(builder, config):
    directory = pathlib.Path(builder.data_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception:
        with contextlib.suppress(OSError):  # else an empty folder would pass for the user's images
            directory.parent.rmdir()
        raise
    return directory


def _tfds():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f"Expected tensorflow-datasets (and importlib_resources), which reads this set: {error}"
        ) from error
    return tensorflow_datasets
