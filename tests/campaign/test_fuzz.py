"""Damaged and hostile files: an answer or one of the errors meant for users, nothing elsewhere."""
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from kerasood.data import DataOptions, open_source
from kerasood.data.archives.builders import unpack_images
from kerasood.data.decoding import decode
from kerasood.errors import KerasoodError

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

TINY = DataOptions(image_size=8)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


def bounded(effort):
    return hypothesis.settings(
        max_examples=60 * effort, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def damaged(draw, data):
    """Bytes of a sound file with some overwritten, then cut short or not."""
    data = bytearray(data)
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


def saved(save, *arguments, **named):
    stream = io.BytesIO()
    save(stream, *arguments, **named)
    return stream.getvalue()


SOUND = {
    "a.npz": saved(np.savez, test_images=IMAGES, test_labels=np.arange(6)),
    "b.npz": saved(np.savez_compressed, images=IMAGES, labels=np.arange(6) % 2),
    "a.npy": saved(np.save, IMAGES),
    "a.csv": b"file,label\na.png,wolf\nb.png,bee\n",
    **{f"a.{kind}": saved(Image.fromarray(IMAGES[0]).save, kind)
       for kind in ("png", "gif", "bmp", "webp", "tiff", "jpeg")},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SOUND)
def test_damaged_files(tmp_path, effort, name):
    counts = {"answered": 0, "refused": 0}

    @bounded(effort)
    @hypothesis.given(st.data())
    def attack(data):
        content = damaged(data.draw, SOUND[name])
        (tmp_path / name).write_bytes(content)
        try:
            if name.endswith(("npz", "npy", "csv")):
                images, _ = open_source(str(tmp_path / name), "ood", TINY).load()
                assert images.shape[1:] == (8, 8, 3)
            else:
                image = decode(content, 8)
                if isinstance(image, str):
                    raise KerasoodError(image)
                assert image.shape == (8, 8, 3)
            counts["answered"] += 1
        except KerasoodError:
            counts["refused"] += 1

    attack()
    print(f"{name}: {counts}")
    assert counts["refused"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["w", "w:gz"])
def test_hostile_archives(tmp_path, effort, kind):
    counts = {"unpacked": 0, "refused": 0}
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "archives").mkdir()
    names = st.lists(st.sampled_from(["..", ".", "a", "b.png", "", "~", "C:"]), min_size=1,
                     max_size=4).map("/".join)
    kinds = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                             tarfile.DIRTYPE, tarfile.CHRTYPE])
    members = st.lists(st.tuples(names, kinds, names), min_size=1, max_size=5)

    @bounded(effort)
    @hypothesis.given(members, st.data())
    def attack(members, data):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=kind) as archive:
            for name, type_, target in members:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = type_, target
                info.size = 3 if type_ == tarfile.REGTYPE else 0
                archive.addfile(info, io.BytesIO(b"abc"))
        path = tmp_path / "archives" / "a.tar"
        path.write_bytes(damaged(data.draw, stream.getvalue()))
        try:
            unpack_images(path, inside)
            counts["unpacked"] += 1
        except KerasoodError:
            counts["refused"] += 1
        found = {each for each in tmp_path.rglob("*") if not each.is_relative_to(inside)}
        assert found == {inside.parent, path.parent, path}
        assert all(each.is_dir() or each.is_file() for each in inside.rglob("*"))
        assert not any(each.is_symlink() for each in inside.rglob("*"))

    attack()
    print(f"archives {kind}: {counts}")
    assert counts["unpacked"] and counts["refused"]
