"""Lists of image files: a text with one path a line, or a CSV table with labels."""
import csv
import pathlib

import numpy as np

from kerasood.data.division import choose_split, offered_splits
from kerasood.data.image_files import FilesSource, check_first
from kerasood.data.labels import checked_labels, outputs_of
from kerasood.data.options import DEFAULTS
from kerasood.errors import InvalidInputError
from kerasood.names import shown

LIST_SUFFIXES = (".csv", ".txt")
FILE_COLUMNS = ("file", "filename", "path", "image")
LABEL_COLUMNS = ("label", "class")


class ListSource(FilesSource):
    """The image files that a list names, in its order.

    A .txt file has one path a line. A .csv file has a header with `file` (or `filename`, `path`,
    `image`) and, if wanted, `label` (or `class`) and `split`. Paths are relative to the list's
    folder. Labels are numbers, or names: these are classes in sorted order, or in that of
    `options.class_names`.

    Args:
        path: the list.
        split: see `choose_split`.
        options: DataOptions.

    Raises:
        InvalidInputError: a list of another form, a missing split or an unknown class.
    """

    def __init__(self, path, split, options=DEFAULTS):
        path = pathlib.Path(path)
        rows = _read_rows(path)
        labelled = "label" in rows[0]
        chosen, part = choose_split(path, split, _splits(rows), labelled, self.unlabelled)
        labels, class_names, num_classes = _labels(path, rows, options.class_names)
        kept = [i for i, row in enumerate(rows) if chosen is None or row["split"] == chosen]
        files = [str(path.parent / rows[i]["file"]) for i in kept]
        check_first(path, files[0], options, None)
        labels = None if labels is None else labels[kept]
        super().__init__(path.stem, path.parent, files, options, labels, class_names, num_classes)
        self._keep_part(part, path)


def list_splits(path) -> tuple[str, ...]:
    """Returns the splits that `ListSource` offers for this list."""
    rows = _read_rows(pathlib.Path(path))
    return offered_splits(_splits(rows), "label" in rows[0])


def _read_rows(path):
    """[{"file", "label" and "split" if the list has them}] of a list."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            if path.suffix == ".txt":
                rows = [{"file": line.strip()} for line in stream if line.strip()]
            else:
                rows = [_row(path, row) for row in csv.DictReader(stream, skipinitialspace=True)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{shown(path)}: not a readable list: {error}") from error
    if not rows:
        raise InvalidInputError(f"{shown(path)}: expected paths of images. Received: none there")
    return rows


def _row(path, row):
    found = {}
    for kind, columns in (("file", FILE_COLUMNS), ("label", LABEL_COLUMNS), ("split", ("split",))):
        column = next((name for name in columns if name in row), None)
        if column is None and kind == "file":
            raise InvalidInputError(
                f"{shown(path)}: expected a column named {', '.join(FILE_COLUMNS)}. "
                f"Received: {shown(', '.join(map(str, row)))}"
            )
        if column is not None and not row[column]:
            raise InvalidInputError(
                f"{shown(path)}: expected a {column} in every row. Received: {shown(row)}"
            )
        if column is not None:
            found[kind] = row[column]
    return found


def _splits(rows):
    return tuple(dict.fromkeys(row["split"] for row in rows if "split" in row))


def _labels(path, rows, outputs):
    """(labels of all rows, class names, number of classes); (None, None, None) without labels."""
    if "label" not in rows[0]:
        return None, None, None
    names = [row["label"] for row in rows]
    if outputs is None and all(name.isdecimal() and len(name) < 10 for name in names):
        labels = checked_labels(np.array(list(map(int, names))), len(rows), None, shown(path))
        return labels, None, int(labels.max()) + 1
    class_names = tuple(outputs or sorted(set(names)))
    return outputs_of(names, class_names), class_names, len(class_names)
