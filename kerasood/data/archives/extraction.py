"""Images out of .tar, .tar.gz and .zip archives that nobody here has packed."""
import contextlib
import dataclasses
import gzip
import pathlib
import re
import stat
import tarfile
import zipfile
import zlib

from kerasood.data.folders import is_visible_image, path_order
from kerasood.errors import InvalidInputError

MAX_BYTES = 4 << 30
MAX_MEMBERS = 200_000
MAX_READ = 16 << 20  # tarfile reads extended headers in one piece, however long they say they are
TAR_OVERHEAD = 4096  # bytes of headers and padding that a member may have
CHUNK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError,
    RuntimeError,  # encrypted or of an unknown compression
)


@dataclasses.dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "folder", or what else it is
    handle: object


def unpack_images(
    archive, folder, choose=None, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS
) -> list[str]:
    """Unpacks the images of an archive into a folder, after all of its members were judged.

    Hidden files and files of other kinds stay in the archive. Files are written with the rights
    of a new file, whatever the archive says.

    Args:
        archive: path of a .tar, .tar.gz or .zip file.
        folder: an empty folder.
        choose: takes the names of all images in order and returns those to unpack; None for all.
        max_bytes: what all members together may unpack to, bytes.
        max_members: how many members there may be.

    Returns:
        The names of the unpacked images relative to `folder`, in the order in which `image_paths`
        lists them.

    Raises:
        ValueError: the archive is damaged; or it holds a link, a device, a path that leaves the
            folder, a name twice, or more than allowed: then nothing was written.
    """
    with _readable(archive), _opened(archive, max_bytes + TAR_OVERHEAD * max_members) as reader:
        images = _judged(archive, reader.members(), max_bytes, max_members)
        names = sorted(images, key=path_order)
        chosen = set(names if choose is None else choose(names))
        for name, member in images.items():  # as they are packed: seeking back is slow in gzip
            if name in chosen:
                _write(reader, member, pathlib.Path(folder, name))
    return [name for name in names if name in chosen]


def _judged(archive, members, max_bytes, max_members):
    """Returns {name: member} of the visible images; raises at the first unsafe member."""
    images, num_bytes = {}, 0
    for count, member in enumerate(members, start=1):
        name = _safe_name(archive, member.name)
        if member.kind not in ("file", "folder"):
            raise InvalidInputError(
                f"{archive}: expected files and folders only. Received: {member.kind} {name!r}"
            )
        if member.size < 0:
            raise InvalidInputError(
                f"{archive}: expected sizes >= 0. Received: {member.size} of {name!r}"
            )
        num_bytes += member.size
        if num_bytes > max_bytes or count > max_members:
            raise InvalidInputError(
                f"{archive}: expected at most {max_members:,} members of {max_bytes:,} bytes "
                f"together. Received: {count:,} members of {num_bytes:,} bytes up to {name!r}"
            )
        if member.kind == "file" and is_visible_image(name):
            if name in images:
                raise InvalidInputError(
                    f"{archive}: expected every name once. Received: {name!r} twice"
                )
            images[name] = member
    return images


def _safe_name(archive, name):
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.search(r"\\|\0|^[A-Za-z]:", name):
        raise InvalidInputError(f"{archive}: expected paths within the archive. Received: {name!r}")
    return "/".join(parts)


def _write(reader, member, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with reader.open(member) as source, open(path, "xb") as target:
        while chunk := source.read(min(left, CHUNK_BYTES)):
            target.write(chunk)
            left -= len(chunk)
    if left:
        raise EOFError(f"{member.name} ends {left:,} bytes early")


@contextlib.contextmanager
def _readable(archive):
    try:
        yield
    except DAMAGE as error:
        raise InvalidInputError(
            f"{archive}: not a readable archive (truncated download?): {error}"
        ) from error


@contextlib.contextmanager
def _opened(path, max_stream):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _Zip(archive)
        return
    with open(path, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    with (gzip.open if packed else open)(path, "rb") as stream:
        with tarfile.open(fileobj=_Bounded(stream, max_stream), mode="r:") as archive:
            yield _Tar(archive)


class _Tar:
    def __init__(self, archive):
        self._archive = archive

    def members(self):
        for info in self._archive:
            plain = info.isreg() and not info.issparse()
            other = "link" if info.issym() or info.islnk() else "special file"
            kind = "folder" if info.isdir() else "file" if plain else other
            yield _Member(info.name, info.size, kind, info)

    def open(self, member):
        return self._archive.extractfile(member.handle)


class _Zip:
    def __init__(self, archive):
        self._archive = archive

    def members(self):
        for info in self._archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.is_dir() else "file"
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "special file"
            yield _Member(info.filename, info.file_size, kind, info)

    def open(self, member):
        return self._archive.open(member.handle)


class _Bounded:
    """A stream that refuses to be read too far or too much at once."""

    def __init__(self, stream, limit):
        self._stream, self._limit = stream, limit
        self.tell = stream.tell

    def read(self, count):
        if not 0 <= count <= MAX_READ:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        self._check(self._stream.tell() + count)
        return self._stream.read(count)

    def seek(self, position):
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position):
        if position > self._limit:
            raise tarfile.ReadError(f"it unpacks to more than {self._limit:,} bytes")
