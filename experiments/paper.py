"""The paper's experiment: per seed a base, its fine-tunes, and the control without a penalty.

    python -m experiments.paper --dataset=cifar10 --data_dir=DATA --seeds=1,2,3
    python evaluate.py --suite=paper --data_dir=DATA

Takes the flags of train.py. A training that was stopped goes on after its last whole epoch when the
same command is given again.
"""

import dataclasses

from kerasood.commands.common import run_command
from kerasood.commands.train import train
from kerasood.training import TrainConfig

# The released code's weight on the features, the control, the paper's text, a heavier penalty.
FINE_TUNES = (
    {"objective": "sparsity", "parameters": {"site": "features"}},
    {"objective": "ce", "parameters": {}},
    {"objective": "sparsity", "parameters": {"site": "logits"}},
    {"objective": "sparsity", "parameters": {"site": "features", "weight": 0.08}},
)


def trainings(config):
    """TrainConfigs in the order of the work: a seed's base with each of its fine-tunes.

    Args:
        config: TrainConfig; with `init` nothing is pretrained.
    """
    stage = "finetune" if config.init else "all"
    for seed in config.seeds or (config.seed,):
        for fine_tune in FINE_TUNES:
            yield dataclasses.replace(
                config, stage=stage, seed=1, seeds=(seed,), resume=True, **fine_tune
            )


def main(config):
    """Trains what is not trained yet."""
    for each in trainings(config):
        train(each)


if __name__ == "__main__":
    run_command(TrainConfig, main)
