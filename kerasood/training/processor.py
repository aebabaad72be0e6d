"""The compute type in which this machine's processor trains fastest."""

import pathlib

import keras

# x86 instructions that multiply bfloat16; without them it is emulated, and slower than float32.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
CPU_INFO = pathlib.Path("/proc/cpuinfo")


def fast_precision():
    """The dtype policy to train with on this machine and backend: see `TrainConfig.precision`.

    Returns:
        "mixed_bfloat16" on a GPU, and with TensorFlow on a CPU that multiplies bfloat16; on the
        other backends' CPU paths it gains nothing: "float32" there and where nothing is known.
    """
    if _has_gpu():
        return "mixed_bfloat16"
    fast = keras.backend.backend() == "tensorflow" and BFLOAT16_FLAGS & cpu_flags()
    return "mixed_bfloat16" if fast else "float32"


def cpu_flags():
    """Names of the instruction sets of the processor as Linux lists them; elsewhere none: set."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    flags = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return set(next(flags, ()))


def _has_gpu():
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
