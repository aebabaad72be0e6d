import json
import pickle
import struct
import sys
import types

import numpy as np
import pytest

from kerasood.networks.torch_files import read_state_dict

ARRAYS = {
    "conv1.weight": np.arange(24, dtype="float32").reshape(2, 3, 2, 2),
    "fc.bias": np.array([0.5, -1.0], "float32"),
}


class Tensor:
    """As much of a tensor as the reader asks for."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def detach(self):
        return self

    def float(self):
        return Tensor(self.array.astype("float32"))

    def numpy(self):
        return self.array


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cifar10_wrn_baseline_epoch_99.pt"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def pytorch(monkeypatch):
    """Stands in for PyTorch: what the file is said to hold, and how the reader asked for it."""
    stub = types.SimpleNamespace(Tensor=Tensor, __version__="2.13.0+cpu", content=None, asked=[])

    def load(path, **arguments):
        stub.asked.append((path, arguments))
        if isinstance(stub.content, Exception):
            raise stub.content
        return stub.content

    stub.load = load
    monkeypatch.setitem(sys.modules, "torch", stub)
    return stub


def tensors():
    return {key: Tensor(array) for key, array in ARRAYS.items()}


def assert_read(state):
    assert list(state) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert state[key].dtype == "float32"
        np.testing.assert_array_equal(state[key], array)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 99},
        lambda state: {"epoch": 99, "model": state, "optimizer": {"lr": 0.1}},
    ],
    ids=["alone", "state_dict", "model"],
)
def test_a_state_dict_is_read_alone_or_wrapped_and_with_weights_only(pytorch, path, wrap):
    pytorch.content = wrap(tensors())
    assert_read(read_state_dict(path))
    assert pytorch.asked == [(path, {"map_location": "cpu", "weights_only": True})]


def test_other_float_types_become_float32(pytorch, path):
    pytorch.content = {"fc.bias": Tensor(np.array([0.5, -1.0], "float16"))}
    state = read_state_dict(str(path))
    assert state["fc.bias"].dtype == "float32"


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ([1, 2], "Received: list"),
        ({"epoch": 3, "net": {}}, r"Received: epoch \(int\), net \(dict\)"),
        ({"state_dict": {"fc.bias": [0.5]}}, r"Received: fc.bias \(list\)"),
    ],
)
def test_a_file_without_a_state_dict(pytorch, path, content, received):
    pytorch.content = content
    with pytest.raises(ValueError, match=f"Expected a state dict in {path}.*{received}"):
        read_state_dict(path)


def test_code_in_a_file_is_named_and_the_unsafe_way_is_not_advised(pytorch, path):
    pytorch.content = pickle.UnpicklingError(
        "Weights only load failed. Re-running with `weights_only` set to `False` will succeed.\n"
        "Trying to load unsupported GLOBAL posix.system whose module posix is blocked."
    )
    with pytest.raises(ValueError, match="pickle that refers to posix.system; code .* never") as e:
        read_state_dict(path)
    assert str(path) in str(e.value) and "False" not in str(e.value)


def test_a_pickle_refused_for_another_reason(pytorch, path):
    pytorch.content = pickle.UnpicklingError("Set `weights_only` to False. Unsupported operand 149")
    with pytest.raises(ValueError, match="a pickle that PyTorch cannot read safely; code") as error:
        read_state_dict(path)
    assert "False" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("failed reading zip archive\nat line 3"), "RuntimeError: failed reading zip"),
        (KeyError(101), "KeyError: 101"),
        (EOFError(), "EOFError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_damaged_file(pytorch, path, error, reason):
    pytorch.content = error
    with pytest.raises(ValueError, match=f"PyTorch checkpoint in {path}.*{reason}") as raised:
        read_state_dict(path)
    assert "line 3" not in str(raised.value)


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121", "2.9.1"])
def test_releases_whose_weights_only_was_no_protection_are_refused(pytorch, path, version):
    pytorch.content, pytorch.__version__ = tensors(), version
    with pytest.raises(ValueError, match="Expected PyTorch >= 2.10") as error:
        read_state_dict(path)
    assert f"Received: torch {version}" in str(error.value)
    assert not pytorch.asked


def test_without_pytorch_the_extra_is_named(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"Expected PyTorch to be installed.*'kerasood\[torch\]'"):
        read_state_dict(path)


def test_without_safetensors_the_extra_is_named(monkeypatch, path):
    path = path.rename(path.with_suffix(".safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ValueError, match=r"Expected safetensors .*'kerasood\[safetensors\]'"):
        read_state_dict(path)


def test_a_missing_file_is_named(tmp_path):
    for name in ("gone.pt", "gone.safetensors"):
        with pytest.raises(ValueError, match=f"Received: {tmp_path / name}, which is no file"):
            read_state_dict(tmp_path / name)


@pytest.fixture
def safetensors_numpy():
    return pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")


def test_safetensors_are_read_without_pytorch(monkeypatch, tmp_path, safetensors_numpy):
    monkeypatch.setitem(sys.modules, "torch", None)
    safetensors_numpy.save_file(ARRAYS, tmp_path / "a.safetensors")
    state = read_state_dict(tmp_path / "a.safetensors")
    assert_read({key: state[key] for key in ARRAYS})


def test_safetensors_of_half_precision_become_float32(tmp_path, safetensors_numpy):
    halves = {key: array.astype("float16") for key, array in ARRAYS.items()}
    safetensors_numpy.save_file(halves, tmp_path / "a.safetensors")
    state = read_state_dict(tmp_path / "a.safetensors")
    assert_read({key: state[key] for key in ARRAYS})


def file_of_type(name, content):
    """A safetensors file of two numbers, byte by byte: NumPy cannot write every type."""
    entry = {"dtype": name, "shape": [2], "data_offsets": [0, len(content)]}
    header = json.dumps({"fc.bias": entry}).encode()
    return struct.pack("<Q", len(header)) + header + content


@pytest.mark.parametrize(("name", "kept_bytes"), [("F32", 4), ("BF16", 2)])
@pytest.mark.usefixtures("safetensors_numpy")
def test_safetensors_of_other_types(tmp_path, name, kept_bytes):
    numbers = [struct.pack(">f", number)[:kept_bytes][::-1] for number in (0.5, -1.0)]
    (tmp_path / "a.safetensors").write_bytes(file_of_type(name, b"".join(numbers)))
    bias = read_state_dict(tmp_path / "a.safetensors")["fc.bias"]
    assert bias.dtype == "float32" and list(bias) == [0.5, -1.0]


DAMAGED = {
    "truncated": (file_of_type("F32", bytes(8))[:-1], "header"),
    "empty": (b"", "header"),
    "text": (b"not a file of tensors", "header"),
    "float8": (file_of_type("F8_E5M2", bytes(2)), "float8"),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=DAMAGED)
@pytest.mark.usefixtures("safetensors_numpy")
def test_a_safetensors_file_that_numpy_cannot_read(tmp_path, content, reason):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"safetensors file in {path}. Received: .*{reason}"):
        read_state_dict(path)
