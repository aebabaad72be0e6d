"""Folders of image files, with their splits and classes."""
import os
import pathlib

from kerasood.data.division import OOD_SPLIT, SPLITS, choose_split, offered_splits
from kerasood.data.image_files import FilesSource, check_first, image_paths
from kerasood.data.labels import checked_labels, outputs_of
from kerasood.data.options import DEFAULTS
from kerasood.errors import InvalidInputError
from kerasood.logs import log
from kerasood.names import shown

FOLDER_NAMES = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
MAX_STRAY_SHARE = 0.1


class FolderSource(FilesSource):
    """The images below a folder, in the order of their paths.

    Subfolders `train`, `validation` (or `val`) and `test` are splits. When every image of a split
    lies in a subfolder of its own class (at least two of them, one level deep), the sorted names of
    these subfolders are the classes, or with `options.class_names` their places there are; a few
    images that lie beside the class folders are left out. Labelled images without splits are
    divided for training, unless the folder holds a registered set. Of a set with `spec.first` only
    so many images are taken.

    Args:
        folder: path.
        split: see `choose_split`.
        options: DataOptions.
        spec: the registered set that the folder holds, or None for a user's own images.

    Raises:
        InvalidInputError: a folder without images, a missing split, too many classes, or a class
            folder that `options.class_names` does not name.
    """

    def __init__(self, folder, split, options=DEFAULTS, spec=None):
        folder = pathlib.Path(folder)
        root = _split_root(folder, split)
        files = first_by_name(image_paths(root), spec.first if spec else None)
        check_first(root, next(iter(files), None), options, spec)
        found = _class_names(folder)
        files = _without_strays(root, files, found)
        labels, class_names = _labels(root, files, found, options.class_names)
        if labels is None:
            self.unlabelled = _unlabelled(root, files, found)
        else:
            num_classes = (spec and spec.num_classes) or len(class_names)
            labels = checked_labels(
                labels, len(files), num_classes, f"{shown(root)} (class folders)"
            )
        name = spec.name if spec else folder.resolve().name
        num_classes = spec.num_classes if spec and labels is not None else None
        super().__init__(name, root, files, options, labels, class_names, num_classes, spec)
        if root == folder:
            divisible = spec is None and labels is not None
            why = self.unlabelled if spec is None else None
            self._keep_part(choose_split(folder, split, (), divisible, why)[1], folder)


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
    named = tuple(_split_folders(folder))
    if named or spec:
        return offered_splits(named, divisible=False)
    return offered_splits((), FolderSource(folder, OOD_SPLIT).num_classes is not None)


def _split_root(folder, split):
    found = _split_folders(folder)
    return found[choose_split(folder, split, tuple(found), False)[0]] if found else folder


def _split_folders(folder):
    """{split: its folder} of a data set's folder, in the order of `SPLITS`."""
    found = {
        split: [folder / name for name in FOLDER_NAMES[split] if (folder / name).is_dir()]
        for split in SPLITS
    }
    for split, folders in found.items():
        if len(folders) > 1:
            raise InvalidInputError(
                f"{shown(folder)}: expected one folder of {split} images. Received: "
                f"{', '.join(path.name for path in folders)}"
            )
    return {split: folders[0] for split, folders in found.items() if folders}


def _class_names(folder):
    roots = list(_split_folders(folder).values()) or [folder]
    subfolders = [
        path for root in roots for path in root.iterdir() if path.is_dir() and path.name[0] != "."
    ]
    return tuple(sorted({path.name for path in subfolders if next(image_paths(path), None)}))


def _without_strays(root, files, class_names):
    strays = [file for file in files if os.path.dirname(file) == str(root)]
    if len(class_names) < 2 or not 0 < len(strays) <= MAX_STRAY_SHARE * len(files):
        return files
    log.warning("%s: left out %d images that lie beside the class folders: %s",
                shown(root), len(strays), shown(", ".join(map(os.path.basename, strays[:3]))))
    return [file for file in files if file not in set(strays)]


def _unlabelled(root, files, class_names):
    """Reason why these images have no labels, in words."""
    if len(class_names) < 2:
        return f"no labels: fewer than two class folders in {shown(root)}"
    strays = [
        file for file in files if os.path.relpath(os.path.dirname(file), root) not in class_names
    ]
    return f"no labels: {shown(strays[0])} lies in no class folder of {shown(root)}"


def _labels(root, files, class_names, outputs):
    """(labels, class names) of the files; (None, None) where they lie in no class folders."""
    folders = [os.path.relpath(os.path.dirname(file), root) for file in files]
    if len(class_names) < 2 or not set(folders) <= set(class_names):
        return None, None
    class_names = outputs or class_names
    return outputs_of(folders, class_names, "class folder"), class_names
