import gzip
import io
import pathlib
import stat
import tarfile
import zipfile

import pytest

from kerasood.data.archives import extraction
from kerasood.data.archives.extraction import unpack_images
from kerasood.data.folders import image_paths

KINDS = ("tar", "tar.gz", "zip")


def write_archive(path, members):
    """members: list of (name, bytes), or for tar of TarInfo."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def found(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refused(path, folder, message, **limits):
    before = found(folder.parent)
    with pytest.raises(ValueError, match=message) as error:
        unpack_images(path, folder, **limits)
    assert found(folder.parent) == before
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_visible_images_in_the_order_of_their_paths(tmp_path, folder, kind):
    names = ["./b/z.JPG", "b/deep/c.png", "a.png", "b/a.jpeg", "c.jpg", "b-2/x.png"]
    others = ["notes.txt", "b/._z.jpg", "__MACOSX/b/._z.jpg", ".hidden/a.png", "b/.DS_Store"]
    members = [(name, name.encode()) for name in [*names, *others]]
    unpacked = unpack_images(write_archive(tmp_path / f"a.{kind}", members), folder)
    assert unpacked == ["a.png", "c.jpg", "b/a.jpeg", "b/z.JPG", "b/deep/c.png", "b-2/x.png"]
    assert unpacked == [
        pathlib.Path(path).relative_to(folder).as_posix() for path in image_paths(folder)
    ]
    assert (folder / "b/z.JPG").read_bytes() == b"./b/z.JPG"


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_chosen_are_unpacked(tmp_path, folder, kind):
    path = write_archive(tmp_path / f"a.{kind}", [(f"{i}.png", b"x") for i in (3, 1, 2)])
    assert unpack_images(path, folder, choose=lambda names: names[:2]) == ["1.png", "2.png"]
    assert found(folder) == ["1.png", "2.png"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["/tmp/evil.png", "../evil.png", "a/../../evil.png", "..", "a\\..\\evil.png", "C:/evil.png",
     "/etc/passwd"],
)
def test_paths_that_leave_the_folder(tmp_path, folder, kind, name):
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", b"good"), (name, b"bad")])
    refused(path, folder, "expected paths within the archive. Received")


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    ("type_", "said"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.BLKTYPE, "special file"),
        (tarfile.FIFOTYPE, "special file"),
    ],
)
def test_links_and_devices_in_tar(tmp_path, folder, kind, type_, said):
    info = tarfile.TarInfo("b")
    info.type, info.linkname = type_, "/etc"
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", b"good"), info, ("b/c.png", b"bad")])
    refused(path, folder, f"expected files and folders only. Received: {said} 'b'")


@pytest.mark.parametrize(("mode", "said"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "special file")])
def test_links_and_devices_in_zip(tmp_path, folder, mode, said):
    info = zipfile.ZipInfo("b.png")
    info.external_attr = (mode | 0o777) << 16
    path = write_archive(tmp_path / "a.zip", [("a.png", b"good"), (info, b"/etc/passwd")])
    refused(path, folder, f"Received: {said} 'b.png'")


def test_a_negative_size_ends_in_an_error_not_in_a_loop(tmp_path, folder):
    info = tarfile.TarInfo("a.png")
    info.size = -512
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refused(tmp_path / "a.tar", folder, "expected sizes >= 0|not a readable archive")


def test_a_sparse_file(tmp_path, folder):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    refused(tmp_path / "a.tar", folder, "Received: special file 'a.png'")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_twice(tmp_path, folder, kind):
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", b"one"), ("./a.png", b"two")])
    refused(path, folder, "expected every name once. Received: 'a.png' twice")


@pytest.mark.parametrize("kind", KINDS)
def test_bombs(tmp_path, folder, kind):
    zeros = bytes(1 << 20)
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", zeros), ("b.txt", zeros)])
    refused(path, folder, "1,048,576 bytes together. Received: 2 members of 2,097,152 bytes up to "
                          "'b.txt'", max_bytes=1 << 20)
    path = write_archive(tmp_path / f"b.{kind}", [(f"{i}.txt", b"") for i in range(30)])
    refused(path, folder, "at most 20 members .* Received: 21 members", max_members=20)


def test_an_endless_stream_behind_the_last_member(tmp_path, folder):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        for i in range(1000):
            info = tarfile.TarInfo(f"{i}.txt")
            info.pax_headers = {"comment": "x" * 20_000}
            file.write(info.tobuf(tarfile.PAX_FORMAT))
    assert path.stat().st_size < 300_000
    refused(path, folder, "unpacks to more than", max_bytes=1000, max_members=1000)


def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(extraction, "MAX_READ", 1 << 16)
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"comment": "x" * (1 << 17)}
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    refused(tmp_path / "a.tar", folder, r"a header of 131,\d\d\d bytes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_truncated_archives(tmp_path, folder, kind, kept):
    data = bytes(range(256)) * 100
    path = write_archive(tmp_path / f"a.{kind}", [(f"{i}.png", data) for i in range(5)])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=r"not a readable archive \(truncated download\?\)"):
        unpack_images(path, folder)


def test_damage_within_a_zip_is_met_by_its_checksum(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"good" * 100)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"good", b"evil", 1))
    with pytest.raises(ValueError, match="not a readable archive.*CRC"):
        unpack_images(tmp_path / "a.zip", folder)


def test_modes_and_owners_of_the_archive_do_not_count(tmp_path, folder):
    info = tarfile.TarInfo("a.png")
    info.mode, info.uid = 0o6777, 1234
    path = write_archive(tmp_path / "a.tar", [info])
    unpack_images(path, folder)
    status = (folder / "a.png").stat()
    assert status.st_mode & 0o7111 == 0 and status.st_uid == folder.stat().st_uid
