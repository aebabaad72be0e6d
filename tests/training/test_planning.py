import dataclasses
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_data import tiny_config
from tiny_models import small_network

from kerasood.data.open import open_source
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network
from kerasood.training import planning
from kerasood.training.config import stage_config, train_config
from kerasood.training.initial_network import images_of_base, network_of
from kerasood.training.planning import planned_runs, with_init_hash


def places(config):
    return [(str(run.path), run.config.seed, run.config.init) for run in planned_runs(config)]


def test_every_seed_has_its_own_directories_and_its_own_base():
    assert places(train_config(seeds=(1, 12))) == [
        ("runs/cifar10-wrn40-2-seed1/pretrain", 1, None),
        ("runs/cifar10-wrn40-2-seed1/finetune-sparsity-logits", 1,
         "runs/cifar10-wrn40-2-seed1/pretrain"),
        ("runs/cifar10-wrn40-2-seed12/pretrain", 12, None),
        ("runs/cifar10-wrn40-2-seed12/finetune-sparsity-logits", 12,
         "runs/cifar10-wrn40-2-seed12/pretrain"),
    ]
    config = train_config(stage="pretrain", out="x", seeds=(3,))
    assert places(config) == [("x-seed3/pretrain", 3, None)]


def test_one_seed_stays_as_it_was():
    assert places(train_config(stage="pretrain", seed=4)) == [
        ("runs/cifar10-wrn40-2-seed4/pretrain", 4, None)
    ]
    assert places(train_config(stage="pretrain", seed=4, out="x")) == [("x/pretrain", 4, None)]


def test_several_fine_tunes_of_one_base(base, tmp_path):
    config = train_config(
        stage="finetune", objective="ce", init=str(base.path), out=str(tmp_path / "x"),
        seeds=(1, 2),
    )
    assert places(config) == [
        (str(tmp_path / f"x-seed{seed}/finetune-ce"), seed, str(base.path)) for seed in (1, 2)
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": (1, -2)}, "Expected different --seeds >= 0. Received: 1,-2"),
        ({"seeds": (1, 2, 1)}, "Received: 1,2,1"),
        ({"seeds": (1,), "seed": 3}, "Expected --seed or --seeds. Received: --seed=3"),
        ({"seeds": (1,), "run": "x", "stage": "pretrain"}, "Expected --out for --seeds"),
    ],
)
def test_seeds_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        planned_runs(train_config(**values))


def test_a_fine_tune_knows_the_weights_of_its_base_once_they_are_there(base, tmp_path):
    config = tiny_config(tmp_path, stage="all", objective="ce")
    pretrain, fine_tune = planned_runs(config)
    assert with_init_hash(pretrain) == pretrain and with_init_hash(fine_tune) == fine_tune
    network = load_network(base.model)
    save_network(network, pathlib.Path(pretrain.path) / "model.keras")
    assert with_init_hash(fine_tune).config.init_hash == weights_hash(network)


def precisions(config):
    return [run.config.precision for run in planned_runs(config)]


def test_the_fast_compute_type_of_the_processor_is_chosen_and_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "fast_precision", lambda: "mixed_bfloat16")
    config = tiny_config(tmp_path, stage="all", precision="auto")
    assert precisions(config) == ["mixed_bfloat16", "mixed_bfloat16"]
    assert precisions(dataclasses.replace(config, precision="float32")) == ["float32", "float32"]


def test_a_run_goes_on_in_the_compute_type_it_was_started_with(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, precision="auto")
    monkeypatch.setattr(planning, "fast_precision", lambda: "mixed_bfloat16")
    (run,) = planned_runs(config)
    run.start()
    monkeypatch.setattr(planning, "fast_precision", lambda: "float32")
    assert precisions(config) == ["mixed_bfloat16"]


def test_a_model_of_ones_own_keeps_its_types(base, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "fast_precision", lambda: "mixed_bfloat16")
    small_network().save(tmp_path / "own.keras")
    config = tiny_config(tmp_path, stage="finetune", precision="auto")
    for init, expected in {base.path: "mixed_bfloat16", tmp_path / "own.keras": "float32"}.items():
        assert precisions(dataclasses.replace(config, init=str(init))) == [expected]


def test_the_hash_follows_the_weights_and_not_the_file(base, tmp_path):
    network = load_network(base.model)
    before = weights_hash(network)
    save_network(network, tmp_path / "again.keras")
    assert weights_hash(load_network(tmp_path / "again.keras")) == before
    weights = network.get_weights()
    weights[-1][0] += 1e-6
    network.set_weights(weights)
    assert weights_hash(network) != before


@pytest.mark.parametrize(
    ("shape", "side"), [((28, 28), 28), ((64, 64, 3), 64), ((32, 32, 1), 32)]
)
def test_a_new_network_is_one_for_the_size_of_arrays(tmp_path, shape, side):
    images, labels = np.zeros((6, *shape), np.uint8), np.arange(6) % 3
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels)
    config = train_config(
        str(tmp_path / "mine.npz"), stage="pretrain", depth=10, width=1, precision="float32"
    )
    options = images_of_base(config)
    assert options.image_size == side
    loaded, _ = open_source(config.dataset, "train", options).load()
    assert loaded.shape == (6, side, side, 3)
    data = SimpleNamespace(training=(loaded, labels), num_classes=3)
    network = network_of(stage_config(config, "pretrain"), data)
    assert network.input_shape == (None, side, side, 3)


def test_other_images_come_in_the_published_size(tmp_path):
    (tmp_path / "photos" / "train" / "cat").mkdir(parents=True)
    for dataset in ("cifar10", str(tmp_path / "photos")):
        assert images_of_base(train_config(dataset)).image_size == 32
