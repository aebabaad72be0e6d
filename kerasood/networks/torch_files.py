"""Reads the arrays of PyTorch checkpoints; code in them is never run."""

import pathlib
import pickle
import re
import warnings

import numpy as np

from kerasood.errors import InvalidInputError

# Before 2.6 (CVE-2025-32434) and 2.10 (CVE-2026-24747) files could get round weights_only.
SAFE_TORCH = (2, 10)
WRAPPERS = ("state_dict", "model")


def read_state_dict(path):
    """Reads a state dict as NumPy arrays.

    Args:
        path: str or Path; `.safetensors` (needs the extra `safetensors`, not PyTorch), or what
            `torch.save` wrote (needs the extra `torch`): a state dict, or a dict that holds one as
            "state_dict" or "model".

    Returns:
        {key: float32 array}, with the file's own keys.

    Raises:
        ValueError: no such file, the package that reads it is missing, or the file is damaged or
            holds anything but tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InvalidInputError(f"Expected a checkpoint file. Received: {path}, which is no file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path)


def _read_safetensors(path):
    try:
        import safetensors
        from safetensors.numpy import load_file
    except ImportError as error:
        raise InvalidInputError(_missing(path, "safetensors", "safetensors")) from error
    try:
        state = load_file(path)
    # The last two: a type that NumPy has not, such as float8.
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"Expected a safetensors file in {path}. Received: {error}"
        ) from error
    return {key: np.asarray(array, "float32") for key, array in state.items()}


def _read_torch(path):
    try:
        import torch
    except ImportError as error:
        raise InvalidInputError(_missing(path, "PyTorch", "torch")) from error
    if _version(torch) < SAFE_TORCH:
        raise InvalidInputError(
            "Expected PyTorch >= 2.10: in earlier releases a checkpoint can run code in spite of "
            f"weights_only. Received: torch {torch.__version__}"
        )
    try:
        with warnings.catch_warnings():
            # On files of other pickle protocols it asks to report a bug.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInputError(_refused(path, error)) from error
    # A damaged file makes the restricted unpickler raise almost anything.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(
            f"Expected a PyTorch checkpoint in {path}. Received: a file that cannot be read "
            f"({type(error).__name__}: {reason})"
        ) from error
    return _arrays(path, _unwrapped(content), torch.Tensor)


def _version(torch):
    return tuple(int(part) for part in torch.__version__.split(".")[:2])


def _missing(path, package, extra):
    return (
        f"Expected {package} to be installed, which reads {path.name}: "
        f"pip install 'kerasood[{extra}]'. Received: no such package"
    )


def _refused(path, error):
    """The obstacle, without PyTorch's advice to load the file unsafely."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    found = f"refers to {named[1]}" if named else "PyTorch cannot read safely"
    return (
        f"Expected tensors and nothing else in {path}. Received: a pickle that {found}; code in "
        "checkpoints is never run. If you trust it, save its state dict alone, or as safetensors."
    )


def _unwrapped(content):
    if isinstance(content, dict):
        for name in WRAPPERS:
            if isinstance(content.get(name), dict):
                return content[name]
    return content


def _arrays(path, state, tensor_class):
    """Tensors of any float type -> float32 arrays."""
    if not isinstance(state, dict):
        raise InvalidInputError(
            f"Expected a state dict in {path}. Received: {type(state).__name__}"
        )
    others = [
        f"{key} ({type(value).__name__})"
        for key, value in state.items()
        if not isinstance(value, tensor_class)
    ]
    if others:
        raise InvalidInputError(
            f"Expected a state dict in {path}: tensors by name, alone or as "
            f"{' or '.join(map(repr, WRAPPERS))}. Received: {', '.join(others[:5])}"
        )
    return {str(key): tensor.detach().float().numpy() for key, tensor in state.items()}
