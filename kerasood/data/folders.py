"""Folders of image files as a source: any size, any mode, damaged files named and left out."""
import os
import pathlib

import numpy as np

from kerasood.data.decoding import PUBLISHED_SIZE, RULES, decode, decode_all, published_size
from kerasood.data.registry import SHORT_SIDE
from kerasood.data.source import (
    OOD_SPLIT,
    SPLITS,
    ImageSource,
    checked_labels,
    choose_split,
    offered_splits,
    part_rows,
    rebatch,
)
from kerasood.errors import InvalidInputError
from kerasood.logs import log

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
FILES_PER_READ = 256
NAMED_IN_WARNING = 3


class FolderSource(ImageSource):
    """The images below a folder, in the order of their paths.

    Subfolders `train`, `validation` and `test` are splits. When every image of a split lies in a
    subfolder of its own class (at least two of them, one level deep), the sorted names of these
    subfolders are the classes. Labelled images without splits are divided for training, unless
    the folder holds a registered set. Of a set with `spec.first` only so many images are taken.

    Args:
        folder: path.
        split: see `choose_split`.
        image_size: side of the squares, pixels.
        strict: whether an unreadable file is an error; otherwise it is skipped, named and counted.
        spec: the registered set that the folder holds, or None for a user's own images.

    Raises:
        ValueError: for a folder without images, a missing split or too many classes.
    """

    def __init__(self, folder, split, image_size=32, strict=False, spec=None):
        folder = pathlib.Path(folder)
        self._root = _split_root(folder, split)
        self._strict = strict
        self._resizing = spec.resizing if spec else SHORT_SIDE
        self._files = first_by_name(image_paths(self._root), spec.first if spec else None)
        _check_first(self._root, next(iter(self._files), None), image_size, self._resizing)
        class_names = _class_names(folder)
        self._labels = _labels(self._root, self._files, class_names)
        num_classes = None
        if self._labels is None:
            class_names = None
        else:
            num_classes = (spec and spec.num_classes) or len(class_names)
            where = f"{self._root} (class folders)"
            self._labels = checked_labels(self._labels, len(self._files), num_classes, where)
        if self._root == folder:
            divisible = spec is None and self._labels is not None
            self._take(folder, choose_split(folder, split, (), divisible)[1])
        if image_size != PUBLISHED_SIZE:
            self.resized_from = published_size(self._resizing)
        name = spec.name if spec else folder.name
        super().__init__(name, len(self._files), image_size, num_classes, class_names)

    def _take(self, folder, part):
        if part is not None:
            rows = part_rows(self._labels, part, folder)
            self._files = [self._files[row] for row in rows]
            self._labels = self._labels[rows]

    def batches(self, batch_size):
        return rebatch(self._chunks(), batch_size)

    def _known_labels(self):
        return self._labels

    def _identity(self):
        files = []
        for file in self._files:
            status = os.stat(file)
            files.append([os.path.relpath(file, self._root), status.st_size, status.st_mtime_ns])
        return [files, self._resizing, RULES]

    def _chunks(self):
        known = {file for file, _ in self.skipped}
        found = []
        for first in range(0, len(self._files), FILES_PER_READ):
            files = self._files[first : first + FILES_PER_READ]
            results = decode_all(files, self.image_size, self._resizing)
            kept = [row for row, result in enumerate(results) if not isinstance(result, str)]
            damaged = zip(files, results, strict=True)
            found += [(file, result) for file, result in damaged if isinstance(result, str)]
            if found and self._strict:
                raise InvalidInputError(f"{found[0][0]}: unreadable image. Received: {found[0][1]}")
            if kept:
                labels = None
                if self._labels is not None:
                    labels = self._labels[first : first + FILES_PER_READ][kept]
                yield np.stack([results[row] for row in kept]), labels
        self._report([entry for entry in found if entry[0] not in known])
        if len(found) == len(self._files):
            raise InvalidInputError(f"{self._root}: none of its {len(found)} images is readable")

    def _report(self, new):
        if not new:
            return
        self.skipped += new
        self.num_images = len(self._files) - len(self.skipped)
        named = "; ".join(f"{file} ({reason})" for file, reason in new[:NAMED_IN_WARNING])
        more = len(new) - NAMED_IN_WARNING
        log.warning("%s: skipped %d unreadable of %d files: %s%s", self.name, len(new),
                        len(self._files), named, f"; and {more} more" if more > 0 else "")


def image_paths(folder):
    """Yields the paths (str) of the visible image files below a folder, in a fixed order."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if is_visible_image(file):
                yield os.path.join(parent, file)


def is_visible_image(path: str) -> bool:
    """Whether a relative path, its parts joined by slashes, is that of a visible image file."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    return path.lower().endswith(SUFFIXES) and not hidden


def path_order(path: str):
    """Key that sorts relative paths as `image_paths` lists them: the files before the folders."""
    *folders, file = path.split("/")
    return [*((1, folder) for folder in folders), (0, file)]


def first_by_name(paths, count: int | None) -> list[str]:
    """Returns the `count` paths whose file names come first, in the order given; None for all.

    The folders do not matter, so that images sorted into folders by class are not chosen by class.
    """
    paths = list(paths)
    if count is None:
        return paths
    chosen = set(sorted(paths, key=lambda path: (os.path.basename(path), path))[:count])
    return [path for path in paths if path in chosen]


def folder_splits(folder, spec=None) -> tuple[str, ...]:
    """Returns the splits that `FolderSource` offers for this folder."""
    named = _named_splits(folder)
    if named or spec:
        return offered_splits(named, divisible=False)
    return offered_splits((), FolderSource(folder, OOD_SPLIT).num_classes is not None)


def check_folder(folder, split, image_size, spec):
    """Raises the ValueError of `FolderSource` on a registered set's folder, without listing it."""
    root = _split_root(folder, split)
    if root == folder:
        choose_split(folder, split, (), divisible=False)
    _check_first(root, next(image_paths(root), None), image_size, spec.resizing)


def _check_first(root, file, image_size, resizing):
    if file is None:
        expected = ", ".join(SUFFIXES)
        raise InvalidInputError(f"{root}: expected image files ({expected}). Received: none there")
    decode(file, image_size, resizing)  # a wrong size is an error at once; damage is met later


def _split_root(folder, split):
    named = _named_splits(folder)
    return folder / choose_split(folder, split, named, False)[0] if named else folder


def _named_splits(folder):
    return tuple(split for split in SPLITS if (folder / split).is_dir())


def _class_names(folder):
    roots = [folder / split for split in _named_splits(folder)] or [folder]
    subfolders = [entry for root in roots for entry in _subfolders(root)]
    return tuple(sorted({path.name for path in subfolders if next(image_paths(path), None)}))


def _subfolders(folder):
    return [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]


def _labels(root, files, class_names):
    parents = [os.path.relpath(os.path.dirname(file), root) for file in files]
    if len(class_names) < 2 or not set(parents) <= set(class_names):
        return None
    index = {name: label for label, name in enumerate(class_names)}
    return np.array([index[name] for name in parents])

