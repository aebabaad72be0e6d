"""What comes home, in a few zip files of limited size, and back out of them.

Texts travel as they are and networks as arrays of their weights with their configuration: float32
while something is still to be evaluated with them, float16 afterwards. Nothing is pickled.
"""

import io
import json
import os
import pathlib
import re
import zipfile

import numpy as np

from kerasood.files import atomic_path
from kerasood.networks.saving import load_network, save_network
from kerasood.networks.wide_resnet import WideResNet

NETWORK = ".keras"
PACKED_NETWORK = ".npz"
TEXTS = (".json", ".csv", ".md", ".txt")
MAX_FILES = 8
MAX_BYTES = 15 << 20
MAX_TOGETHER = 62 << 20
# A parcel that holds more than this was not packed here.
MAX_UNPACKED = 256 << 20
SAFE_PATH = re.compile(r"[\w=+-][\w.=+-]*(/[\w=+-][\w.=+-]*)*", re.ASCII)


def pack(files, folder, rounded=(), max_files=MAX_FILES, max_bytes=MAX_BYTES):
    """Writes parcels that hold some files of the current directory, and nothing else.

    Args:
        files: relative paths of texts and .keras files; those that do not exist are left out.
        folder: str or Path; parcels of earlier calls there are replaced.
        rounded: the .keras files among them whose weights become float16.
        max_files: int, parcels.
        max_bytes: int, of a parcel.

    Returns:
        list of Paths.

    Raises:
        ValueError: it takes more or larger parcels.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    members = [_packed(path, path in rounded) for path in dict.fromkeys(files) if _there(path)]
    parcels = {
        folder / f"home-{number}.zip": _zipped(parcel)
        for number, parcel in enumerate(_shared_out(members, max_files, max_bytes), start=1)
    }
    for path, content in parcels.items():
        if not path.exists() or path.read_bytes() != content:
            _write(path, content)
    for path in folder.glob("home-*.zip"):
        if path not in parcels:
            path.unlink()
    return list(parcels)


def unpack(folder):
    """Puts what parcels hold below the current directory, where it is not there already.

    Args:
        folder: str or Path with `home-*.zip` files, at any depth.

    Returns:
        list of the paths that were written.

    Raises:
        ValueError: a file there is no parcel, or a damaged or unsafe one: nothing of it is written.
    """
    written = []
    for parcel in sorted(pathlib.Path(folder).rglob("home-*.zip")):
        for name, content in _members(parcel):
            path = pathlib.Path(name.removesuffix(PACKED_NETWORK) + NETWORK
                                if name.endswith(PACKED_NETWORK) else name)
            if path.exists():
                continue
            if path.suffix == NETWORK:
                network, dtype = _unpacked(content)
                save_network(network, path)
                _write(_kept(path, dtype), content)
            else:
                _write(path, content)
            written.append(str(path))
    return written


def packed_network(network, dtype="float32"):
    """A WideResNet as bytes of an .npz file: its configuration and its weights."""
    config = {**network.get_config(), "dtype": "float32"}
    weights = {
        f"{index:04d}": np.asarray(array, dtype)
        for index, array in enumerate(network.get_weights())
    }
    content = io.BytesIO()
    np.savez_compressed(content, config=np.array(json.dumps(config)), **weights)
    return content.getvalue()


def network_of(content):
    """The WideResNet that `packed_network` packed, in float32.

    Raises:
        ValueError: the bytes are no such network.
    """
    return _unpacked(content)[0]


def _unpacked(content):
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            network = WideResNet.from_config(json.loads(str(stored["config"])))
            weights = [stored[name] for name in sorted(set(stored.files) - {"config"})]
            network.set_weights([array.astype("float32") for array in weights])
    except (OSError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Expected the weights of a WideResNet. Received: {error}") from error
    return network, weights[0].dtype.name


def _there(path):
    if not SAFE_PATH.fullmatch(path) or not path.endswith((NETWORK, *TEXTS)):
        raise ValueError(f"Expected a relative path of a text or network. Received: {path}")
    return os.path.isfile(path)


def _packed(path, rounded):
    if not path.endswith(NETWORK):
        return path, pathlib.Path(path).read_bytes()
    kept = _kept(pathlib.Path(path), "float16" if rounded else "float32")
    # Building a network takes seconds, and files are brought home often.
    if not kept.exists() or kept.stat().st_mtime < os.path.getmtime(path):
        _write(kept, packed_network(load_network(path), "float16" if rounded else "float32"))
    return path.removesuffix(NETWORK) + PACKED_NETWORK, kept.read_bytes()


def _kept(path, dtype):
    """Where a network stays beside its .keras file as it travels."""
    return path.with_suffix(f".{dtype}{PACKED_NETWORK}")


def _write(path, content):
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _shared_out(members, max_files, max_bytes):
    """Members in parcels, each into the first where it fits."""
    parcels, sizes = [], []
    for name, content in sorted(members, key=lambda member: -len(member[1])):
        size = _size(name, content)
        place = next((i for i, full in enumerate(sizes) if full + size <= max_bytes), None)
        if place is None:
            place = len(parcels)
            parcels.append([])
            sizes.append(0)
        parcels[place].append((name, content))
        sizes[place] += size
    if (
        len(parcels) > max_files
        or max(sizes, default=0) > max_bytes
        or sum(sizes) > MAX_TOGETHER
    ):
        raise ValueError(
            f"Expected at most {max_files} parcels of {max_bytes:,} bytes, {MAX_TOGETHER:,} "
            f"together. Received: {len(parcels)} of up to {max(sizes):,}, {sum(sizes):,} together"
        )
    return parcels


def _size(name, content):
    """Bytes that a member takes in a parcel; a little more, since each has one directory."""
    return len(_zipped([(name, content)]))


def _zipped(members):
    """Bytes of a zip file, the same for the same members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members:
            stored = name.endswith(PACKED_NETWORK)
            info = zipfile.ZipInfo(name)
            archive.writestr(info, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _members(parcel):
    """The members of a parcel after all were judged: [(name, bytes)]."""
    try:
        with zipfile.ZipFile(parcel) as archive:
            infos = archive.infolist()
            for info in infos:
                if not SAFE_PATH.fullmatch(info.filename) or not info.filename.endswith(
                    (PACKED_NETWORK, *TEXTS)
                ):
                    raise ValueError(
                        f"Expected safe names of texts and weights in {parcel}. "
                        f"Received: {info.filename!r}"
                    )
            if sum(info.file_size for info in infos) > MAX_UNPACKED:
                raise ValueError(f"Expected at most {MAX_UNPACKED:,} bytes in {parcel}. "
                                 "Received: more")
            return [(info.filename, archive.read(info)) for info in infos]
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"Expected a parcel in {parcel}. Received: {error}") from error
