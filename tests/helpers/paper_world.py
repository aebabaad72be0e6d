"""Two made-up data sets and fine-tunes under the names of the paper's, for its suite."""

import keras
import numpy as np
from tiny_data import images_of

from kerasood.config import EvaluateConfig
from kerasood.networks.saving import save_network
from kerasood.networks.wide_resnet import WideResNet
from kerasood.runs import Run
from kerasood.training.config import stage_config, train_config


def write_data(folder):
    """CIFARs, some of the paper's sets and a stand-in, all made up."""
    for name, num_classes in (("cifar10", 10), ("cifar100", 100)):
        labels = np.arange(2 * num_classes) % num_classes
        tests = np.arange(40) % num_classes
        np.savez(
            folder / f"{name}.npz",
            train_images=images_of(labels % 3),
            train_labels=labels,
            test_images=images_of(tests % 3, seed=1),
            test_labels=tests,
        )
    for seed, name in enumerate(("textures", "svhn", "scenes_crop"), start=2):
        np.savez(folder / f"{name}.npz", test_images=images_of(np.arange(30) % 2, seed))


def made_up_run(folder, seed=1):
    """What training would leave of a base and its fine-tune, with weights drawn at random."""
    dataset = folder.name
    config = train_config(dataset=dataset, depth=10, width=1, dropout=0.0, seed=seed)
    pretrain = Run(folder / "pretrain", stage_config(config, "pretrain"))
    tuned = Run(folder / "tuned", stage_config(config, "finetune", init=str(pretrain.path)))
    for run in (pretrain, tuned):
        run.start()
    for position, paths in enumerate(((pretrain.model, tuned.initial_model), (tuned.model,))):
        keras.utils.set_random_seed(10 * seed + position)
        network = WideResNet(10, 1, int(dataset.removeprefix("cifar")), 0.0)
        for path in paths:
            save_network(network, path)
    return tuned


def config_of(world, folder, runs=None, **values):
    data, trained = world
    runs = trained.values() if runs is None else runs
    return EvaluateConfig(
        suite="paper",
        run=tuple(str(run.path) for run in runs),
        data_dir=str(data),
        download=False,
        tune=False,
        out=str(folder),
        **values,
    )
