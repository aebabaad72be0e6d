"""Image files as a source: any size, any mode, damaged files named and left out."""
import os

import numpy as np

from kerasood.data.decoding import (
    PUBLISHED_SIZE,
    RULES,
    decode,
    decode_all,
    published_size,
    resizing_of,
)
from kerasood.data.source import ImageSource
from kerasood.errors import InvalidInputError, StorageError
from kerasood.logs import log
from kerasood.names import shown

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FILES_PER_READ = 256
NAMED_IN_WARNING = 3


class FilesSource(ImageSource):
    """Image files in a given order.

    Args:
        name: for messages.
        root: folder that the files are named relative to.
        files: list of paths (str).
        options: DataOptions.
        labels: int (N,) in [0, num_classes), or None.
        class_names: tuple of str, or None.
        num_classes: where the names are not known; by default as many as there are names.
        spec: DatasetSpec, or None for a user's own images.
    """

    def __init__(
        self, name, root, files, options, labels=None, class_names=None, num_classes=None, spec=None
    ):
        if labels is not None:
            num_classes = num_classes or len(class_names)
        super().__init__(
            name, len(files), options.image_size, num_classes, class_names, options.channels
        )
        self.root, self.files, self._known_labels = root, files, labels
        self._strict = options.strict
        self._resizing = resizing_of(options, spec)
        if options.image_size != PUBLISHED_SIZE:
            self.resized_from = published_size(self._resizing.published)

    def _identity(self):
        files = []
        for file in self.files:
            try:
                status = os.stat(file)
                changed = [status.st_size, status.st_mtime_ns]
            except OSError:  # a dangling link is left out when it is met
                changed = None
            files.append([os.path.relpath(file, self.root), changed])
        return [files, self._resizing, RULES]

    def _read(self, rows):
        rows = np.arange(len(self.files)) if rows is None else rows
        known = {file for file, _ in self.skipped}
        found = []
        step = self._images_per_read(FILES_PER_READ)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            files = [self.files[row] for row in part]
            results = decode_all(files, self.image_size, self._resizing)
            kept = [index for index, result in enumerate(results) if not isinstance(result, str)]
            damaged = zip(files, results, strict=True)
            found += [(shown(file), result) for file, result in damaged if isinstance(result, str)]
            if found and self._strict:
                raise InvalidInputError(f"{found[0][0]}: unreadable image. Received: {found[0][1]}")
            if kept:
                labels = None
                if self._known_labels is not None:
                    labels = self._known_labels[part[kept]]
                yield np.stack([results[index] for index in kept]), labels
        self._report([entry for entry in found if entry[0] not in known], len(rows))
        if len(found) == len(rows):
            raise InvalidInputError(
                f"{shown(self.root)}: none of its {len(found)} images is readable"
            )

    def _report(self, new, num_files):
        if not new:
            return
        self.skipped += new
        self.num_images = num_files - len(self.skipped)
        named = "; ".join(f"{file} ({reason})" for file, reason in new[:NAMED_IN_WARNING])
        more = len(new) - NAMED_IN_WARNING
        log.warning("%s: skipped %d unreadable of %d files: %s%s", self.name, len(new),
                        num_files, named, f"; and {more} more" if more > 0 else "")


def image_paths(folder):
    """Yields the paths (str) of the visible image files below a folder, in a fixed order.

    Raises:
        OSError: a folder cannot be listed; without its images the classes would be others.
    """
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if is_visible_image(file):
                yield os.path.join(parent, file)


def _refuse(error):
    raise StorageError(
        error.errno, f"{shown(error.filename)}: cannot be listed: {error.strerror}"
    ) from error


def is_visible_image(path: str) -> bool:
    """True for a relative path, its parts joined by slashes, of a visible image file."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    return path.lower().endswith(SUFFIXES) and not hidden


def check_first(root, file, options, spec):
    """Refuses a folder without images, and images of a size that must not be resized."""
    if file is None:
        expected = ", ".join(SUFFIXES)
        raise InvalidInputError(
            f"{shown(root)}: expected image files ({expected}). Received: none there"
        )
    # A wrong size is an error at once; damage is met later.
    decode(file, options.image_size, resizing_of(options, spec))
