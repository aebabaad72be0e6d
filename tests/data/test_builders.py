import dataclasses
import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from tiny_server import TinyServer

from kerasood.data import registry
from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions

tfds = pytest.importorskip("tensorflow_datasets")
builders = pytest.importorskip("kerasood.data.archives.builders")

pytestmark = pytest.mark.usefixtures("empty_places")

# Where the published archives keep their images.
LAYOUTS = {
    "lsun_crop": "LSUN/test/{}.png",
    "lsun_resize": "LSUN_resize/LSUN_resize/{}.jpg",
    "isun": "iSUN/iSUN_patches/{}.jpeg",
    "tiny_imagenet_crop": "Imagenet/test/{}.jpg",
    "tiny_imagenet_resize": "Imagenet_resize/Imagenet_resize/{}.png",
    "places365": "val_256/Places365_val_{:08d}.jpg",
}


def pixels(seed, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def encoded(image, name):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG" if name.endswith("png") else "JPEG")
    return stream.getvalue()


def archive_bytes(name, members):
    stream = io.BytesIO()
    kind = "w:gz" if registry.DATASETS[name].archive.file.endswith("gz") else "w"
    with tarfile.open(fileobj=stream, mode=kind) as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def members_of(name, count=3, side=32):
    paths = [LAYOUTS[name].format(i) for i in reversed(range(count))]
    return {path: encoded(pixels(i, side), path) for i, path in enumerate(paths)}


@pytest.fixture
def publish(monkeypatch):
    """Makes an archive the published one: returns its bytes after changing its checksum."""

    def change(name, data, **fields):
        spec = registry.DATASETS[name]
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        url = fields.pop("url", "http://127.0.0.1:1/none")
        archive = dataclasses.replace(spec.archive, md5=md5, url=url)
        changed = dataclasses.replace(spec, archive=archive, **fields)
        monkeypatch.setitem(registry.DATASETS, name, changed)
        return data

    return change


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def put(folder, name, data):
    path = folder / registry.DATASETS[name].archive.file
    path.write_bytes(data)
    return path


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_there_is_a_builder_for_every_archive_of_images():
    wanted = {spec.name for spec in registry.DATASETS.values()
              if spec.archive and spec.prepared_name}
    assert set(builders.BUILDERS) == wanted == set(LAYOUTS)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "places365"])
def test_odin_archives_on_disk(tmp_path, publish, no_network, name):
    members = members_of(name)
    members[LAYOUTS[name].replace("{}", "._0")] = b"not an image"
    put(tmp_path, name, publish(name, archive_bytes(name, members)))
    assert availability(name, "ood", DataOptions(tmp_path, download=False)) is None
    assert available_splits(name, DataOptions(tmp_path, download=False)) == ("test",)
    source = open_source(name, "ood", DataOptions(tmp_path, download=False))
    images, labels = source.load()
    assert (source.name, source.num_images, labels) == (name, 3, None)
    for image, path in zip(images, sorted(members_of(name)), strict=True):
        np.testing.assert_array_equal(image, decoded(members[path]))
    (tmp_path / registry.DATASETS[name].archive.file).unlink()
    again = open_source(name, "ood", DataOptions(tmp_path, download=False))
    assert again.fingerprint() == source.fingerprint()
    assert not list(tmp_path.glob(".*"))


def test_tfds_loads_them_by_name(tmp_path, publish):
    members = members_of("isun")
    put(tmp_path, "isun", publish("isun", archive_bytes("isun", members)))
    dataset, info = tfds.load("isun", split="test", data_dir=str(tmp_path), with_info=True)
    examples = list(tfds.as_numpy(dataset))
    assert [example["file_name"].decode() for example in examples] == sorted(members)
    for example in examples:
        expected = decoded(members[example["file_name"].decode()])
        assert np.abs(example["image"].astype(int) - expected).mean() < 3  # two JPEG decoders
    assert info.metadata["md5"] == registry.DATASETS["isun"].archive.md5
    source = open_source("isun", "ood", DataOptions(tmp_path, download=False))
    assert source.num_images == 3


def test_unpacked_images_are_found_too(tmp_path):
    folder = tmp_path / "lsun_resize" / "LSUN_resize"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(encoded(pixels(0), "0.png"))
    source = open_source("lsun_resize", "ood", DataOptions(tmp_path, download=False))
    np.testing.assert_array_equal(source.load()[0][0], pixels(0))


def test_of_places365_the_first_by_name_are_taken_and_resized(tmp_path, publish):
    members = {f"val_256/Places365_val_{i:08d}.jpg": encoded(pixels(i, 64), "jpg")
               for i in (7, 3, 5, 1)}
    put(tmp_path, "places365", publish("places365", archive_bytes("places365", members), first=3))
    source = open_source("places365", "ood", DataOptions(tmp_path, download=False))
    images = source.load()[0]
    assert images.shape == (3, 32, 32, 3) and source.num_images == 3
    for name, data in members.items():
        path = tmp_path / "places365" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    for leftover in (tmp_path / "places365").glob("1.0.0/*"):
        leftover.unlink()
    unpacked = open_source("places365", "ood", DataOptions(tmp_path, download=False))
    assert type(unpacked).__name__ == "FolderSource"
    np.testing.assert_array_equal(unpacked.load()[0], images)
    expected = Image.fromarray(decoded(members["val_256/Places365_val_00000003.jpg"]))
    expected = expected.resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images[1], expected)


def test_a_missing_set_is_downloaded_once(tmp_path, publish, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    data = archive_bytes("lsun_crop", members_of("lsun_crop"))
    with TinyServer(data, sends=[1000]).running() as server:
        publish("lsun_crop", data, url=server.url)
        assert availability("lsun_crop", "ood", DataOptions(tmp_path, download=True)) is None
        offline = DataOptions(tmp_path, download=False)
        assert "not found" in availability("lsun_crop", "ood", offline)
        for split in ("ood", "train"):
            with pytest.raises(FileNotFoundError):
                open_source("lsun_crop", split, DataOptions(tmp_path, download=False))
        assert open_source("lsun_crop", "ood", DataOptions(tmp_path)).num_images == 3
    assert len(server.asked) == 2
    assert (tmp_path / "LSUN.tar.gz").read_bytes() == data
    assert open_source("lsun_crop", "ood", DataOptions(tmp_path)).num_images == 3


def test_an_array_file_is_downloaded_too(tmp_path, publish, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stream = io.BytesIO()
    np.save(stream, np.stack([pixels(0), pixels(1)]))
    with TinyServer(stream.getvalue()).running() as server:
        publish("random_images_300k", stream.getvalue(), url=server.url)
        images, _ = open_source("random_images_300k", "outliers", DataOptions(tmp_path)).load()
    np.testing.assert_array_equal(images, [pixels(0), pixels(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["300K_random_images.npy"]


def test_without_a_data_directory_downloads_go_where_tfds_keeps_its_own(
    tmp_path, publish, monkeypatch
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    data = archive_bytes("isun", members_of("isun"))
    with TinyServer(data).running() as server:
        publish("isun", data, url=server.url)
        assert open_source("isun", "ood").num_images == 3
    assert (tmp_path / "tfds" / "iSUN.tar.gz").is_file()
    assert open_source("isun", "ood", DataOptions(download=False)).num_images == 3


def test_a_failed_download_says_how_else_and_leaves_the_folder_as_it_was(tmp_path):
    spec = registry.DATASETS["isun"]
    archive = dataclasses.replace(spec.archive, url="http://127.0.0.1:1/none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setitem(registry.DATASETS, "isun", dataclasses.replace(spec, archive=archive))
        with pytest.raises(OSError, match="isun: http://127.0.0.1:1/none: the download failed.*"
                                          "refused.*or put iSUN.tar.gz"):
            open_source("isun", "ood", DataOptions(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_archive_with_another_checksum_is_named_and_kept(tmp_path):
    path = put(tmp_path, "isun", b"something else")
    received = hashlib.md5(b"something else", usedforsecurity=False).hexdigest()
    with pytest.raises(OSError, match=f"isun: cannot be prepared: .*{path}: wrong checksum.*"
                                      f"{registry.DATASETS['isun'].archive.md5}.*{received}"):
        open_source("isun", "ood", DataOptions(tmp_path, download=False))
    assert path.is_file() and not (tmp_path / "isun").exists()
    path.unlink()
    assert "not found" in availability("isun", "ood", DataOptions(tmp_path, download=False))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../0.png": b""}, "not an archive to unpack.*outside"),
        ({"readme.txt": b""}, "expected images. Received: none"),
    ],
)
def test_archives_of_something_else(tmp_path, publish, members, message):
    put(tmp_path, "lsun_crop", publish("lsun_crop", archive_bytes("lsun_crop", members)))
    with pytest.raises(OSError, match=f"lsun_crop: cannot be prepared: .*{message}"):
        open_source("lsun_crop", "ood", DataOptions(tmp_path, download=False))
    assert not (tmp_path / "lsun_crop").exists() and not list(tmp_path.glob(".*"))


def test_tfds_says_too_how_else_when_a_download_fails(tmp_path, publish, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publish("isun", b"")
    with pytest.raises(OSError, match="isun: .*download failed.*or put iSUN.tar.gz"):
        tfds.load("isun", data_dir=str(tmp_path))


def test_a_plain_border_is_cut_off(tmp_path, publish):
    framed = np.zeros((36, 36, 3), np.uint8)
    framed[2:-2, 2:-2] = pixels(0)
    images = {"LSUN/test/0.png": framed, "LSUN/test/1.png": pixels(1)}
    members = {path: encoded(image, path) for path, image in images.items()}
    put(tmp_path, "lsun_crop", publish("lsun_crop", archive_bytes("lsun_crop", members)))
    images, _ = open_source("lsun_crop", "ood", DataOptions(tmp_path, download=False)).load()
    np.testing.assert_array_equal(images, [pixels(0), pixels(1)])


def test_what_a_killed_preparation_left_is_no_image_folder(tmp_path, publish):
    (tmp_path / "isun" / "incomplete.ABC_1.0.0").mkdir(parents=True)
    put(tmp_path, "isun", publish("isun", archive_bytes("isun", members_of("isun"))))
    assert open_source("isun", "ood", DataOptions(tmp_path, download=False)).num_images == 3


def test_a_data_directory_that_cannot_be_written_is_only_read(tmp_path, publish, monkeypatch):
    put(tmp_path, "isun", publish("isun", archive_bytes("isun", members_of("isun"))))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert open_source("isun", "ood", DataOptions(tmp_path, download=False)).num_images == 3
    assert [path.name for path in tmp_path.iterdir() if path.name != "tfds"] == ["iSUN.tar.gz"]
    assert (tmp_path / "tfds" / "isun" / "1.0.0").is_dir()
