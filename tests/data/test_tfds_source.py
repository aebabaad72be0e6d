import numpy as np
import pytest
from tiny_tfds import pixels, prepare

from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS
from kerasood.data.tfds import prepared_directory

tfds = pytest.importorskip("tensorflow_datasets")
requests = pytest.importorskip("requests")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    svhn = [pixels(seed, 32, 32) for seed in range(5)]
    prepare(root, "svhn_cropped", {"test": svhn}, 10, (32, 32, 3))
    dtd = {split: [pixels(seed, 50, 70)] for seed, split in enumerate(("train", "test"))}
    prepare(root, "dtd", dtd, 47)
    prepare(root, "mnist", {"test": [pixels(9, 28, 28, 1)]}, 10, (28, 28, 1))
    return root


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def test_images_and_labels_as_stored(root):
    source = open_source("svhn", "test", DataOptions(root, download=False))
    assert (source.name, source.num_images, source.num_classes) == ("svhn", 5, 10)
    images, labels = source.load()
    np.testing.assert_array_equal(images, [pixels(seed, 32, 32) for seed in range(5)])
    assert labels.tolist() == [0, 1, 2, 3, 4] and labels.dtype == np.int32
    again = np.concatenate([batch for batch, _ in source.batches(2)])
    np.testing.assert_array_equal(again, images)


def test_textures_are_all_stored_splits_resized(root):
    source = open_source("textures", "ood", DataOptions(root, download=False))
    images, _ = source.load()
    assert images.shape == (2, 32, 32, 3) and source.num_images == 2
    assert available_splits("textures", DataOptions(root)) == ("test",)
    assert "no split 'train'" in availability("textures", "train", DataOptions(root))


def test_mnist_is_padded_and_made_rgb(root):
    image = open_source("mnist", "test", DataOptions(root, download=False)).load()[0][0]
    np.testing.assert_array_equal(image[2:30, 2:30], np.repeat(pixels(9, 28, 28, 1), 3, -1))
    assert not image[:2].any() and not image[30:].any()


def test_tfds_own_directory_is_used_when_prepared(root, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert availability("svhn", "test", DataOptions(tmp_path, download=False)) is None
    assert open_source("svhn", "test", DataOptions(tmp_path, download=False)).num_images == 5
    lack = availability("svhn", "train", DataOptions(tmp_path))
    assert "no split 'train'; splits there: test" in lack


def test_newest_prepared_version(root, tmp_path):
    for version in ("9.0.0", "10.0.0", "incomplete.X_11.0.0"):
        (tmp_path / "dtd" / version).mkdir(parents=True)
        (tmp_path / "dtd" / version / "dataset_info.json").write_text("{}")
    assert prepared_directory(tmp_path, "dtd").name == "10.0.0"
    assert prepared_directory(root, "dtd").name == "1.2.3"
    assert prepared_directory(root, "cifar10") is None


def test_failed_download_says_how_else(tmp_path, monkeypatch):
    def builder(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds, "builder", builder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    assert availability("svhn", "train", DataOptions(tmp_path, download=True)) is None
    with pytest.raises(OSError, match="svhn: the download failed.*no route.*svhn.npz"):
        open_source("svhn", "train", DataOptions(tmp_path, download=True))
    lack = availability("svhn", "test", DataOptions(tmp_path, download=False))
    assert DATASETS["svhn"].how_to_get in lack


class Server:
    """Stands in for `requests.head`; names the servers that were asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def __call__(self, url, timeout):
        self.asked.append(url.split("/")[2])
        if not self.answers:
            raise requests.ConnectionError("Name or service not known")


@pytest.mark.parametrize("answers", [False, True])
def test_a_download_begins_only_where_the_server_answers(tmp_path, monkeypatch, answers):
    def download(builder, **kwargs):
        builders.append(builder.name)
        raise ConnectionError("cut off")

    server, builders = Server(answers), []
    monkeypatch.setattr(requests, "head", server)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    reason = "cut off" if answers else "Name or service not known"
    with pytest.raises(OSError, match=f"mnist: the download failed.*{reason}.*mnist.npz"):
        open_source("mnist", "test", DataOptions(tmp_path, download=True))
    # Four files, one server.
    assert server.asked == ["storage.googleapis.com"]
    assert builders == (["mnist"] if answers else [])
