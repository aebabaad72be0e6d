"""What compute type is fast here: from what the processor says of itself."""

import keras
import pytest

from kerasood.training import processor

ZEN_5 = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 avx_vnni\n"
SAPPHIRE_RAPIDS = "flags\t\t: fpu amx_bf16 amx_tile\n\nprocessor\t: 1\nflags\t\t: fpu\n"
SKYLAKE = "flags\t\t: fpu avx512f\n"


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    """Pretends that a machine without a GPU has a processor that says this of itself."""

    def pretend(text, backend="tensorflow"):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(processor, "CPU_INFO", path)
        monkeypatch.setattr(processor, "_has_gpu", lambda: False)
        monkeypatch.setattr(keras.backend, "backend", lambda: backend)

    return pretend


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        (ZEN_5, "mixed_bfloat16"),
        (SAPPHIRE_RAPIDS, "mixed_bfloat16"),
        (SKYLAKE, "float32"),
        ("", "float32"),
    ],
)
def test_bfloat16_where_the_processor_multiplies_it(cpu, text, precision):
    cpu(text)
    assert processor.fast_precision() == precision


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train_in_float32_on_a_cpu(cpu, backend):
    cpu(ZEN_5, backend)
    assert processor.fast_precision() == "float32"


def test_a_machine_that_does_not_list_its_instructions(cpu, monkeypatch, tmp_path):
    cpu(ZEN_5)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "nowhere")
    assert processor.fast_precision() == "float32"


def test_a_gpu_trains_in_bfloat16(cpu, monkeypatch):
    cpu(SKYLAKE)
    monkeypatch.setattr(processor, "_has_gpu", lambda: True)
    assert processor.fast_precision() == "mixed_bfloat16"
