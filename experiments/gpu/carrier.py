"""Carries large files in parts: compressed and cut here, checked and joined elsewhere.

    python -m experiments.gpu.carrier --split=data/cifar10.npz,data/svhn.npz --folder=parts
    python -m experiments.gpu.carrier --join --folder=parts --out=data

`parts/load-1`, `parts/load-2`... hold at most `--max_mib` each; each of them is one journey.
"""

import dataclasses
import hashlib
import lzma
import pathlib
import re

from kerasood.commands.common import console, run_command
from kerasood.config import option
from kerasood.files import atomic_path, read_json, write_json

# Images as bytes in the order red, green, blue: what is left of a pixel is its left neighbour.
FILTERS = [
    {"id": lzma.FILTER_DELTA, "dist": 3},
    {"id": lzma.FILTER_LZMA2, "preset": 1},
]
CHUNK = 1 << 20
SAFE_NAME = re.compile(r"\w[\w.=+-]*", re.ASCII)


@dataclasses.dataclass(frozen=True)
class CarryConfig:
    """What `python -m experiments.gpu.carrier` does."""

    split: tuple[str, ...] = option((), "Files to compress and cut, comma-separated.")
    join: bool = option(False, "Whether to check and join what lies below FOLDER.")
    folder: str = option("parts", "Folder of the parts.")
    out: str = option("data", "Folder that receives joined files.")
    max_mib: float = option(55.0, "Size of a load, MiB.")


def main(config):
    """Splits, joins, or says that neither was asked for."""
    if bool(config.split) == config.join:
        raise ValueError("Expected either --split=FILES or --join. Received: both or neither")
    if config.join:
        for path in join(config.folder, config.out):
            console.print(f"{path}: joined, sha256 as it was")
        return
    loads = split(config.split, config.folder, int(config.max_mib * 2**20))
    for load in loads:
        size = sum(path.stat().st_size for path in load.iterdir())
        console.print(f"{load}: {size / 2**20:.1f} MiB")


def split(files, folder, max_bytes):
    """Compresses files and cuts them into loads.

    Args:
        files: paths; their last parts must differ.
        folder: str or Path, new or empty.
        max_bytes: int, of a load's parts.

    Returns:
        list of the loads' folders.

    Raises:
        ValueError: names that are equal or strange, or a folder that holds something.
    """
    folder = pathlib.Path(folder)
    names = [pathlib.Path(file).name for file in files]
    if len(set(names)) < len(names) or not all(map(SAFE_NAME.fullmatch, names)):
        raise ValueError(f"Expected files of different plain names. Received: {', '.join(names)}")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"Expected a new or empty folder. Received: {folder}")
    loads = _Loads(folder, max_bytes)
    for file, name in zip(files, names, strict=True):
        digest, size, parts = hashlib.sha256(), 0, loads.begin(name)
        compressor = lzma.LZMACompressor(filters=FILTERS)
        with open(file, "rb") as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                loads.add(compressor.compress(chunk))
        loads.add(compressor.flush())
        # Beside the last part; the others are nothing without it.
        facts = {"bytes": size, "sha256": digest.hexdigest(), "parts": parts}
        write_json(loads.current / f"{name}.json", facts)
    return loads.folders


class _Loads:
    """Folders that are filled with parts of files, one after the other."""

    def __init__(self, folder, max_bytes):
        self.folders = []
        self._folder, self._max_bytes = folder, max_bytes
        self._free = 0
        self._name = self._parts = None

    @property
    def current(self):
        return self.folders[-1]

    def begin(self, name):
        """The list that will name the parts of a file."""
        self._name, self._parts = name, []
        return self._parts

    def add(self, content):
        while content:
            if not self._free:
                self.folders.append(self._folder / f"load-{len(self.folders) + 1}")
                self.current.mkdir(parents=True)
                self._free = self._max_bytes
            name = f"{self._name}.xz.{len(self.folders)}"
            if not self._parts or self._parts[-1] != name:
                self._parts.append(name)
            now, content = content[: self._free], content[self._free :]
            with open(self.current / name, "ab") as part:
                part.write(now)
            self._free -= len(now)


def join(folder, out):
    """Joins the files whose parts lie below a folder.

    Args:
        folder: str or Path.
        out: str or Path.

    Returns:
        list of the joined files' paths.

    Raises:
        ValueError: a part is missing or damaged; files before it are joined.
    """
    found = {path.name: path for path in pathlib.Path(folder).rglob("*") if path.is_file()}
    joined = []
    for name in sorted(found):
        if name.endswith(".json"):
            joined.append(_join(name.removesuffix(".json"), read_json(found[name]), found, out))
    if not joined:
        raise ValueError(f"Expected parts of files. Received: none below {folder}")
    return joined


def _join(name, facts, found, out):
    missing = [part for part in facts["parts"] if part not in found]
    if missing or not SAFE_NAME.fullmatch(name):
        raise ValueError(f"Expected all parts of {name}. Missing: {', '.join(missing)}")
    target = pathlib.Path(out, name)
    digest, size = hashlib.sha256(), 0
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        for content in _chunks(found[part] for part in facts["parts"]):
            # In pieces, so that no part becomes larger in memory than it says.
            while content or not (decompressor.needs_input or decompressor.eof):
                piece, content = _decompress(decompressor, content, name), b""
                digest.update(piece)
                size += len(piece)
                file.write(piece)
                if size > facts["bytes"]:
                    break
        if (size, digest.hexdigest()) != (facts["bytes"], facts["sha256"]):
            raise ValueError(
                f"Expected {facts['bytes']:,} bytes of sha256 {facts['sha256'][:12]} in {name}. "
                f"Received: {size:,} of {digest.hexdigest()[:12]}"
            )
    return target


def _chunks(paths):
    for path in paths:
        with open(path, "rb") as part:
            while chunk := part.read(CHUNK):
                yield chunk


def _decompress(decompressor, content, name):
    try:
        return decompressor.decompress(content, CHUNK)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"Expected the parts of {name} as they were cut. Received: {error}"
                         ) from error


if __name__ == "__main__":
    run_command(CarryConfig, main)
