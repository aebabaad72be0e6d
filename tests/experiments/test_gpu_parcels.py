"""What comes home from a lent GPU: limits kept, numbers kept, nothing unsafe taken up."""

import os
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from tiny_models import random_images

from experiments.gpu.parcels import network_of, pack, packed_network, unpack
from kerasood.networks.saving import load_network
from kerasood.networks.wide_resnet import WideResNet

pytestmark = pytest.mark.slow

IMAGES = random_images((8, 8, 3), num_images=3)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return WideResNet(10, 1, 4, image_size=8)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Two folders to be the current one: where something was made, and where it shall go on."""
    folders = tmp_path / "here", tmp_path / "there"
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    return folders


def made(name, text):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_a_network_comes_back_as_it_was_and_rounded_where_that_was_asked_for(network):
    same = network_of(packed_network(network))
    np.testing.assert_array_equal(same(IMAGES), network(IMAGES))
    rounded = network_of(packed_network(network, "float16"))
    for weight, expected in zip(rounded.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected.astype("float16"))
        assert weight.dtype == np.float32
    difference = np.abs(np.asarray(rounded(IMAGES)) - np.asarray(network(IMAGES))).max()
    assert 0 < difference < 0.01
    assert len(packed_network(network, "float16")) < 0.6 * len(packed_network(network))
    with pytest.raises(ValueError, match="weights of a WideResNet"):
        network_of(packed_network(network)[:-50])


def test_what_was_packed_is_taken_up_elsewhere_and_never_over_what_is_there(
    work, network, tmp_path, monkeypatch
):
    made("runs/a/config.json", "{}")
    made("runs/a/history.csv", "epoch\n1\n")
    network.save("runs/a/model.keras")
    files = ["runs/a/config.json", "runs/a/history.csv", "runs/a/model.keras", "runs/b/absent.csv"]
    paths = pack(files, tmp_path / "home")
    assert [path.name for path in paths] == ["home-1.zip"]
    monkeypatch.chdir(work[1])
    made("runs/a/history.csv", "newer")
    written = unpack(tmp_path / "home")
    assert sorted(written) == ["runs/a/config.json", "runs/a/model.keras"]
    assert pathlib.Path("runs/a/history.csv").read_text() == "newer"
    loaded = load_network("runs/a/model.keras")
    assert loaded.get_config() == network.get_config()
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))
    assert unpack(tmp_path / "home") == []


def test_a_network_travels_as_it_is_now_and_in_the_precision_asked_for(
    work, network, tmp_path, monkeypatch
):
    name, home = "model.keras", tmp_path / "home"
    bias = network.get_layer("logits").bias
    for value, rounded in ((0.1, ()), (0.1, (name,)), (0.3, (name,))):
        bias.assign([value] * 4)
        network.save(name)
        os.utime(name, (0, 0) if value == 0.1 else None)
        (parcel,) = pack([name], home, rounded)
        monkeypatch.chdir(work[1])
        pathlib.Path(name).unlink(missing_ok=True)
        unpack(home)
        expected = np.float32(np.float16(value)) if rounded else np.float32(value)
        assert np.asarray(load_network(name).get_layer("logits").bias)[0] == expected
        # What came back rounded is packed as it came, and the same bytes make the same parcel.
        assert pack([name], tmp_path / "again", rounded)[0].read_bytes() == parcel.read_bytes()
        monkeypatch.chdir(work[0])


def test_parcels_keep_their_limits_and_replace_those_before(work, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    names = [made(f"{i}.txt", rng.bytes(3000).hex()) for i in range(4)]
    home = tmp_path / "home"
    assert len(pack(names, home, max_files=4, max_bytes=4000)) == 4
    paths = pack(names, home, max_files=2, max_bytes=8000)
    assert sorted(path.name for path in home.iterdir()) == ["home-1.zip", "home-2.zip"]
    assert all(path.stat().st_size <= 8000 for path in paths)
    for limits in ((1, 8000), (4, 3000)):
        with pytest.raises(ValueError, match="Expected at most . parcels of"):
            pack(names, home, max_files=limits[0], max_bytes=limits[1])
    monkeypatch.setattr("experiments.gpu.parcels.MAX_TOGETHER", 10_000)
    with pytest.raises(ValueError, match="10,000 together. Received: 2 of"):
        pack(names, home, max_files=2, max_bytes=8000)
    # What came home before stays.
    assert sorted(path.name for path in home.iterdir()) == ["home-1.zip", "home-2.zip"]


@pytest.mark.parametrize(
    "name", ["../up.json", "/root.json", "a/../b.json", "a\\b.json", ".hidden.json", "code.py",
             "a/.git/config.json", "model.keras"]
)
def test_a_parcel_with_an_unsafe_name_is_refused_whole(work, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "home-1.zip", "w") as archive:
        archive.writestr("good.json", "{}")
        archive.writestr(name, "{}")
    with pytest.raises(ValueError, match="Expected safe names"):
        unpack(tmp_path)
    assert list(work[0].iterdir()) == []


def test_a_parcel_that_is_damaged_or_too_large_is_refused(work, tmp_path, monkeypatch):
    made("a.txt", "text")
    (parcel,) = pack(["a.txt"], tmp_path / "home")
    monkeypatch.setattr("experiments.gpu.parcels.MAX_UNPACKED", 3)
    with pytest.raises(ValueError, match="at most 3 bytes"):
        unpack(tmp_path / "home")
    monkeypatch.undo()
    parcel.write_bytes(parcel.read_bytes()[:-10])
    with pytest.raises(ValueError, match="Expected a parcel"):
        unpack(tmp_path / "home")


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "a.npz", "scores"])
def test_only_texts_and_networks_below_the_folder_are_packed(work, tmp_path, name):
    with pytest.raises(ValueError, match="relative path of a text or network"):
        pack([name], tmp_path / "home")
