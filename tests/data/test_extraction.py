import io
import tarfile

import pytest

pytest.importorskip("tensorflow_datasets")

from kerasood.data.archives import builders
from kerasood.data.archives.builders import unpack_images

KINDS = ("tar", "tar.gz")


def write_archive(path, members):
    """members: list of (name, bytes) or of TarInfo."""
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


def refused(path, folder, message):
    before = found(folder.parent)
    with pytest.raises(ValueError, match=message) as error:
        unpack_images(path, folder)
    assert found(folder.parent) == before
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_visible_images_alone_are_unpacked(tmp_path, folder, kind):
    names = ["./b/z.JPG", "b/deep/c.png", "a.png"]
    others = ["notes.txt", "b/._z.jpg", "__MACOSX/b/._z.jpg", "b/.DS_Store"]
    members = [(name, name.encode()) for name in [*names, *others]]
    unpack_images(write_archive(tmp_path / f"a.{kind}", members), folder)
    assert found(folder) == ["a.png", "b", "b/deep", "b/deep/c.png", "b/z.JPG"]
    assert (folder / "b/z.JPG").read_bytes() == b"./b/z.JPG"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["/tmp/evil.png", "../evil.png", "a/../../evil.png", ".."])
def test_paths_that_leave_the_folder(tmp_path, folder, kind, name):
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", b"good"), (name, b"bad")])
    refused(path, folder, "outside|absolute")


@pytest.mark.parametrize("kind", KINDS)
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
def test_links_out_of_the_folder_and_devices(tmp_path, folder, kind, type_, said):
    info = tarfile.TarInfo("b")
    info.type, info.linkname = type_, "/etc"
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", b"good"), info, ("b/c.png", b"bad")])
    refused(path, folder, said)


def test_a_link_within_the_archive_writes_nothing_elsewhere(tmp_path, folder):
    info = tarfile.TarInfo("b.png")
    info.type, info.linkname = tarfile.SYMTYPE, "a.png"
    unpack_images(write_archive(tmp_path / "a.tar", [("a.png", b"one"), info]), folder)
    assert found(folder) == ["a.png"]


def test_a_negative_size_ends_in_an_error_not_in_a_loop(tmp_path, folder):
    info = tarfile.TarInfo("a.png")
    info.size = -512
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refused(tmp_path / "a.tar", folder, "not an archive")


@pytest.mark.parametrize("kind", KINDS)
def test_bombs(tmp_path, folder, kind, monkeypatch):
    monkeypatch.setattr(builders, "MAX_BYTES", 2999)
    members = [(f"{i}.png", bytes(1000)) for i in range(3)]
    refused(write_archive(tmp_path / f"a.{kind}", members), folder, "unpacks to more than 2,999")
    monkeypatch.setattr(builders, "MAX_BYTES", 3000)
    unpack_images(tmp_path / f"a.{kind}", folder)
    assert len(found(folder)) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 0.3])
def test_truncated_archives(tmp_path, folder, kind, kept):
    path = write_archive(tmp_path / f"a.{kind}", [("a.png", bytes(range(256)) * 40)])
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match="not an archive to unpack"):
        unpack_images(path, folder)


def test_modes_of_the_archive_do_not_count(tmp_path, folder):
    info = tarfile.TarInfo("a.png")
    info.mode, info.uid = 0o6777, 12345
    unpack_images(write_archive(tmp_path / "a.tar", [info]), folder)
    assert (folder / "a.png").stat().st_mode & 0o7022 == 0
