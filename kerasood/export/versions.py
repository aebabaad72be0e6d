"""Version folders, NAME/NUMBER/: a number is reserved first, and the folder appears at the end.

TF Serving polls NAME/ and refuses a version that is no SavedModel, so that files for devices alone
lie in NAME-lite/. Both count their versions together: a number means one export.
"""

import contextlib
import os
import pathlib
import re

from kerasood.errors import InvalidInputError, KerasoodError, StorageError
from kerasood.files import atomic_path, check_writable
from kerasood.names import short_name

try:
    import fcntl
except ImportError:  # no POSIX: two exports at a time may choose one number
    fcntl = None

LITE = "-lite"


class VersionExists(KerasoodError, FileExistsError):
    """A version that was asked for exists, or another export is writing it."""


def check_version(model_name, version):
    """Refuses a model name or version that cannot be served.

    Raises:
        InvalidInputError: it is one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", str(model_name), re.A):
        raise InvalidInputError(
            "Expected a model name of letters, digits, '_', '.' and '-'. "
            f"Received: model_name={model_name!r}"
        )
    is_number = isinstance(version, int) and not isinstance(version, bool) and version > 0
    if version is not None and not is_number:
        raise InvalidInputError(f"Expected an integer version > 0. Received: version={version!r}")


def name_of(dataset):
    """A name to serve what was trained on a data set by: its own, with _ for what URLs lack."""
    name = re.sub(r"[^\w.-]+", "_", short_name(dataset), flags=re.A)
    return name.strip("_.-") or "model"


def check_place(folder):
    """Refuses a model base path that cannot be written, without making it.

    Raises:
        StorageError: it is one.
    """
    folder = pathlib.Path(folder)
    check_writable(next(path for path in (folder, *folder.parents) if path.exists()))


@contextlib.contextmanager
def new_version(folder, model_name, version=None, is_served=True):
    """Reserves a version number and yields where to write.

    What is written appears under its number when the block succeeds. After an error nothing is
    left, not even folders that were made for it.

    Args:
        folder: str or Path of the model base path.
        model_name: str.
        version: int > 0, or None for one more than the largest that exists or is being written.
        is_served: bool, whether it holds a SavedModel; else it goes into NAME-lite/.

    Yields:
        (temporary folder to be made, final folder), Paths.

    Raises:
        VersionExists: the version exists, or another process is writing it.
        StorageError: the folder cannot be written.
    """
    model_folders = [pathlib.Path(folder) / name for name in (model_name, f"{model_name}{LITE}")]
    base = model_folders[0 if is_served else 1]
    created = [parent for parent in (base, *base.parents) if not parent.exists()]
    try:
        with contextlib.ExitStack() as held:
            number = held.enter_context(_reserved(model_folders, version))
            target = base / str(number)
            yield held.enter_context(atomic_path(target)), target
    except BaseException:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


@contextlib.contextmanager
def _reserved(model_folders, version):
    """Yields a number that no version of `model_folders` has and no other process holds."""
    lock = model_folders[0].parent / f".{model_folders[0].name}.versions"
    number = version or max(_existing(model_folders), default=0) + 1
    while True:
        path = lock.with_name(f"{lock.name}.{number}")
        file = _held(path, model_folders[0] / str(number))
        if file is not None and number not in _existing(model_folders):
            break
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()
        if version is not None:
            at = _existing(model_folders).get(number)
            raise VersionExists(
                "Expected a version that does not exist yet, or none for the next one. Received: "
                f"version={version}, which "
                + (f"is at {at}" if at else "another export is writing")
            )
        number += 1
    try:
        yield number
    finally:
        # Unlinked while it is held: whoever opened it before sees that it is gone.
        path.unlink(missing_ok=True)
        file.close()


def _held(path, target):
    """Opens and locks a file; None where another process has it. The lock ends with the process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "wb")
    except OSError as error:
        raise StorageError(error.errno, f"Cannot write {target}: {error.strerror}") from error
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_current = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        is_current = False
    if is_current:
        return file
    file.close()
    return None


def _existing(model_folders):
    return {
        int(path.name): path
        for base in model_folders
        for path in base.glob("*")
        if path.name.isdecimal() and path.name.isascii()
    }
