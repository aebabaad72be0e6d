"""Against PyTorch itself, where it is installed: files it wrote, logits it computed."""

import collections
import os
import pickle

import numpy as np
import pytest

from kerasood.commands.convert import convert
from kerasood.config import ConvertConfig
from kerasood.networks.saving import load_network
from kerasood.networks.torch_files import read_state_dict

pytestmark = pytest.mark.slow
# Patches of colour: pixels of noise would average out and leave the logits alike.
PATCHES = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
IMAGES = PATCHES.repeat(8, axis=1).repeat(8, axis=2)
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def twin(torch):
    """A function that builds the network of the outlier-exposure code from its description."""
    nn, relu = torch.nn, torch.nn.functional.relu

    def convolution(channels, out, size, stride):
        return nn.Conv2d(channels, out, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, channels, out, stride):
            super().__init__()
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv1 = convolution(channels, out, 3, stride)
            self.bn2 = nn.BatchNorm2d(out)
            self.conv2 = convolution(out, out, 3, 1)
            self.convShortcut = None if channels == out else convolution(channels, out, 1, stride)

        def forward(self, x):
            active = relu(self.bn1(x))
            shortcut = x if self.convShortcut is None else self.convShortcut(active)
            return shortcut + self.conv2(relu(self.bn2(self.conv1(active))))

    class Stage(nn.Module):
        def __init__(self, blocks, channels, out, stride):
            super().__init__()
            first, others = Block(channels, out, stride), range(blocks - 1)
            self.layer = nn.Sequential(first, *(Block(out, out, 1) for _ in others))

        def forward(self, x):
            return self.layer(x)

    class Network(nn.Module):
        def __init__(self, depth, width, num_classes):
            super().__init__()
            blocks = (depth - 4) // 6
            self.conv1 = convolution(3, 16, 3, 1)
            self.block1 = Stage(blocks, 16, 16 * width, 1)
            self.block2 = Stage(blocks, 16 * width, 32 * width, 2)
            self.block3 = Stage(blocks, 32 * width, 64 * width, 2)
            self.bn1 = nn.BatchNorm2d(64 * width)
            self.fc = nn.Linear(64 * width, num_classes)

        def forward(self, x):
            x = self.block3(self.block2(self.block1(self.conv1(x))))
            features = torch.nn.functional.avg_pool2d(relu(self.bn1(x)), 8).flatten(1)
            return self.fc(features)

    def build(depth=10, width=1, num_classes=10):
        torch.manual_seed(0)
        network = Network(depth, width, num_classes)
        randomise(nn, network)
        # Logits of a few nats, as a trained network's: deep random ones reach hundreds.
        with torch.no_grad():
            spread = logits_of(torch, network.eval(), IMAGES, torch.float32).std()
            network.fc.weight.mul_(5 / spread)
        return network

    return build


def randomise(nn, network):
    """Gives a network weights and statistics as training leaves them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.num_batches_tracked.fill_(39100)
    nn.init.normal_(network.fc.bias)


def logits_of(torch, network, images, dtype):
    """As the reference preprocesses: pixels 0-1, channels first, then its mean and std."""
    mean, std = (
        torch.tensor(values, dtype=dtype)[:, None, None] / 255
        for values in ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
    )
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(dtype) / 255
    with torch.no_grad():
        return network.to(dtype)((x - mean) / std).numpy()


def written(torch, network, path):
    if path.suffix == ".safetensors":
        save = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        save.save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    return str(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("depth", "width", "num_classes"),
    [(10, 1, 10), (10, 2, 10), (16, 1, 10), (16, 2, 100), (40, 2, 10)],
)
def test_logits_equal_those_of_pytorch(torch, twin, tmp_path, suffix, depth, width, num_classes):
    reference = twin(depth, width, num_classes)
    checkpoint = written(torch, reference, tmp_path / f"cifar_wrn_pretrained_epoch_99{suffix}")
    out = convert(ConvertConfig(checkpoint=checkpoint, out=str(tmp_path / "network.keras")))
    logits = np.asarray(load_network(out)(IMAGES))
    for dtype in (torch.float32, torch.float64):
        expected = logits_of(torch, reference, IMAGES, dtype)
        assert np.ptp(expected, axis=0).min() > 1000 * TOLERANCE
        difference = np.abs(logits - expected).max()
        print(f"{suffix} {depth}-{width} {dtype}: {difference:.2e} of {np.ptp(expected):.1f}")
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_wrapped_checkpoint_of_several_gpus(torch, twin, tmp_path, wrapper):
    state = torch.nn.DataParallel(twin()).state_dict()
    assert next(iter(state)) == "module.conv1.weight"
    torch.save({"epoch": 99, wrapper: state, "optimizer": {"lr": [0.1]}}, tmp_path / "a.pt")
    arrays = read_state_dict(tmp_path / "a.pt")
    assert list(arrays) == list(state)
    out = convert(
        ConvertConfig(checkpoint=str(tmp_path / "a.pt"), out=str(tmp_path / "network.keras"))
    )
    expected = logits_of(torch, twin(), IMAGES, torch.float64)
    np.testing.assert_allclose(load_network(out)(IMAGES), expected, rtol=0, atol=TOLERANCE)


def test_files_of_old_releases_and_of_half_precision_are_read(torch, twin, tmp_path):
    state = twin().state_dict()
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({k: v.bfloat16() for k, v in state.items()}, tmp_path / "half.pt")
    for name, tolerance in (("old.pt", 0), ("half.pt", 2**-8)):
        arrays = read_state_dict(tmp_path / name)
        assert list(arrays) == list(state)
        for key, array in arrays.items():
            assert array.dtype == "float32"
            np.testing.assert_allclose(array, state[key].numpy(), rtol=tolerance)


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_checkpoint_is_refused_and_not_run(torch, tmp_path, refused):
    trace, path = tmp_path / "ran", tmp_path / "malicious.pt"
    state = collections.OrderedDict({"fc.weight": Malicious(str(trace))})
    for write in (
        lambda: torch.save({"state_dict": state}, path),
        lambda: torch.save(state, path, _use_new_zipfile_serialization=False),
        lambda: path.write_bytes(pickle.dumps(state, protocol=2)),
        lambda: path.write_bytes(pickle.dumps(state)),
    ):
        write()
        config = ConvertConfig(checkpoint=str(path), out=str(tmp_path / "network.keras"))
        line = refused(convert, config)
        assert f"Expected tensors and nothing else in {path}. Received: a pickle" in line
        assert "code in checkpoints is never run" in line and "weights_only" not in line
        assert [file.name for file in tmp_path.iterdir()] == ["malicious.pt"]
    torch.save(state, path)
    assert "refers to posix.mkdir" in refused(convert, config)
    # The input proves itself: elsewhere the code would have run.
    torch.load(path, weights_only=False)
    assert trace.is_dir()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04abc", b"\x80\x02}q\x00"])
def test_a_damaged_file_is_named(torch, tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError, match=f"Expected a PyTorch checkpoint in {tmp_path}/a.pt. Rec"):
        read_state_dict(tmp_path / "a.pt")
