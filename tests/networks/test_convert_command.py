import numpy as np
import pytest
from absl import flags
from tiny_data import tiny_config
from tiny_models import random_images
from torch_states import TorchTwin, torch_state

from kerasood.commands.convert import convert
from kerasood.commands.flags import define_flags, from_flags
from kerasood.commands.train import train
from kerasood.config import ConvertConfig
from kerasood.data.options import DataOptions
from kerasood.evaluation.run_subjects import subjects_of_run
from kerasood.networks.augmentation import CIFAR_MEAN, CIFAR_STD
from kerasood.networks.saving import load_network
from kerasood.networks.wide_resnet import WideResNet
from kerasood.runs import Run

STATE = torch_state(num_classes=2)


@pytest.fixture
def checkpoint(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    numpy.save_file(STATE, tmp_path / "published.safetensors")
    return str(tmp_path / "published.safetensors")


def config_for(checkpoint, tmp_path, **values):
    return ConvertConfig(checkpoint=checkpoint, out=str(tmp_path / "network.keras"), **values)


def test_a_checkpoint_becomes_a_network_with_the_logits_of_the_other_code(
    checkpoint, tmp_path, capsys
):
    path = convert(config_for(checkpoint, tmp_path, image_size=8, dropout=0.1))
    network = load_network(path)
    assert type(network) is WideResNet and network.get_config()["dropout"] == 0.1
    images = random_images((8, 8, 3), 3)
    np.testing.assert_allclose(network(images), TorchTwin(STATE)(images), rtol=1e-5, atol=1e-5)
    printed = capsys.readouterr().out
    parameters = sum(array.size for array in STATE.values())
    assert f"WRN-10-1, 2 classes, {parameters:,} parameters; pixels 0-255 minus (125.3" in printed
    assert f"--stage=finetune --init={path}" in printed


def test_a_fine_tune_starts_from_it_and_is_compared_with_it(
    checkpoint, tmp_path, monkeypatch, empty_places
):
    path = convert(config_for(checkpoint, tmp_path))
    (run,) = train(tiny_config(tmp_path, stage="finetune", init=str(path)))
    base, tuned = subjects_of_run(Run.open(run.path), DataOptions(download=False))
    images = random_images((32, 32, 3), 4)
    logits = np.asarray(base.extractor(images)["logits"])
    np.testing.assert_allclose(logits, TorchTwin(STATE)(images), rtol=1e-5, atol=1e-5)
    assert np.any(logits != np.asarray(tuned.extractor(images)["logits"]))


def test_a_file_is_not_overwritten(checkpoint, tmp_path, refused):
    (tmp_path / "network.keras").write_text("mine")
    line = refused(convert, config_for(checkpoint, tmp_path))
    assert f"Received: {tmp_path}/network.keras, which exists" in line
    assert (tmp_path / "network.keras").read_text() == "mine"


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ({"out": None}, "out=None"),
        ({"checkpoint": None}, "checkpoint=None"),
        ({"out": "network.h5"}, "Expected --out to end in .keras. Received: network.h5"),
        ({"image_size": 30}, "image_size=30"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}, "Expected mean and std for pixels"),
        ({"mean": (100.0,)}, "one mean and one std > 0 per channel"),
    ],
)
def test_values_that_do_not_fit(checkpoint, tmp_path, refused, values, received):
    given = {"checkpoint": checkpoint, "out": str(tmp_path / "network.keras"), **values}
    assert received in refused(convert, ConvertConfig(**given))
    assert [path.name for path in tmp_path.iterdir()] == ["published.safetensors"]


def test_a_checkpoint_of_another_network_leaves_nothing(tmp_path, refused):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    numpy.save_file({"layer1.0.conv1.weight": np.zeros(3)}, tmp_path / "resnet.safetensors")
    line = refused(convert, config_for(str(tmp_path / "resnet.safetensors"), tmp_path))
    assert "Received: keys layer1.0.conv1.weight" in line
    assert [path.name for path in tmp_path.iterdir()] == ["resnet.safetensors"]


def parsed(*arguments):
    values = flags.FlagValues()
    define_flags(ConvertConfig, values)
    values(["program", *arguments])
    return from_flags(ConvertConfig, values)


def test_the_normalisation_is_that_of_cifar_unless_flags_say_otherwise():
    assert (ConvertConfig().mean, ConvertConfig().std) == (CIFAR_MEAN, CIFAR_STD)
    assert parsed("--mean=127.5,127.5,127.5").mean == (127.5, 127.5, 127.5)


def test_a_list_of_words_where_numbers_are_expected():
    with pytest.raises(ValueError, match="numbers, comma-separated, in --std. Received: a,b"):
        parsed("--std=a,b")
