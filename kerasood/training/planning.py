"""Runs that a TrainConfig means: one per seed and stage, each with its directory and base."""

import dataclasses
import pathlib

from kerasood.errors import InvalidInputError
from kerasood.names import short_name
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.wide_resnet import WideResNet
from kerasood.training.config import stage_config
from kerasood.training.initial_network import base_config, base_name, check_base, load_base
from kerasood.training.processor import fast_precision
from kerasood.training.run import Run


def planned_runs(config):
    """The runs of a TrainConfig in the order in which they are trained.

    Args:
        config: TrainConfig.

    Returns:
        list of Runs, seed by seed.

    Raises:
        ValueError: flags that do not fit together, or a fine-tune without a base.
    """
    if config.run and (config.stage == "all" or config.seeds):
        several = "--seeds" if config.seeds else "--stage=all"
        raise InvalidInputError(
            f"Expected --out for {several}, which has several runs. Received: --run"
        )
    if config.init and config.stage != "finetune":
        raise InvalidInputError(
            f"Expected --init with --stage=finetune only. Received: --stage={config.stage}"
        )
    return [run for one in _per_seed(config) for run in _stages(one)]


def with_init_hash(run):
    """The run of a fine-tune with the hash of its base's weights, once the base is there."""
    config = run.config
    if config.init is None or config.init_hash is not None:
        return run
    try:
        check_base(config.init)
    except ValueError:
        return run
    init_hash = weights_hash(load_base(config.init))
    return dataclasses.replace(run, config=dataclasses.replace(config, init_hash=init_hash))


def _per_seed(config):
    """One TrainConfig per seed, with its own folder for the runs."""
    if not config.seeds:
        return [dataclasses.replace(config, out=config.out or _default_out(config, config.seed))]
    default_seed = next(f.default for f in dataclasses.fields(config) if f.name == "seed")
    if config.seed != default_seed:
        raise InvalidInputError(
            f"Expected --seed or --seeds. Received: --seed={config.seed} as well"
        )
    if len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        raise InvalidInputError(
            "Expected different --seeds >= 0. Received: " + ",".join(map(str, config.seeds))
        )
    return [
        dataclasses.replace(
            config,
            seed=seed,
            seeds=(),
            out=f"{config.out}-seed{seed}" if config.out else _default_out(config, seed),
        )
        for seed in config.seeds
    ]


def _default_out(config, seed):
    network = f"wrn{config.depth}-{config.width}"
    if config.init is not None:
        network = base_name(config.init)
    return f"runs/{short_name(config.dataset)}-{network}-seed{seed}"


def _stages(config):
    """The runs of one seed."""
    out = pathlib.Path(config.out)
    runs = []
    if config.stage in ("pretrain", "all"):
        stage = stage_config(config, "pretrain")
        runs.append(_with_precision(Run(pathlib.Path(config.run or out / stage.name), stage)))
    if config.stage in ("finetune", "all"):
        init = config.init or str(out / stage_config(config, "pretrain").name)
        stage = stage_config(config, "finetune", init=init)
        if config.stage == "finetune":
            check_base(init)
            stage = dataclasses.replace(stage, holdout_seed=_holdout_seed(stage))
        run = Run(pathlib.Path(config.run or out / stage.name), stage)
        runs.append(_with_precision(run.with_derived()))
    return runs


def _with_precision(run):
    """The run with a compute type in place of "auto": its directory's, else this machine's.

    A model that is no WideResNet keeps the types it was made with.
    """
    config = run.config
    if config.precision != "auto":
        return run
    if (run.path / "config.json").exists():
        precision = Run.open(run.path).config.precision
    else:
        precision = fast_precision() if _is_retyped(config.init) else "float32"
    return dataclasses.replace(run, config=dataclasses.replace(config, precision=precision))


def _is_retyped(init):
    """True where the network can be made in another compute type: new ones and WideResNets."""
    try:
        return init is None or isinstance(load_base(init), WideResNet)
    except ValueError:  # Not trained yet.
        return True


def _holdout_seed(stage):
    """Seed of what the base was not trained on, where it is not the fine-tune's own.

    Raises:
        ValueError: the base was trained on images that shall calibrate the threshold.
    """
    base = base_config(stage) if stage.holdout else None
    if base is None:
        return None
    differing = [
        f"{name}={getattr(base, name)!r} there, {getattr(stage, name)!r} now"
        for name in ("dataset", "holdout")
        if getattr(base, name) != getattr(stage, name)
    ]
    if differing:
        raise InvalidInputError(
            "Expected a base that never saw the images --holdout keeps out: one trained with the "
            f"same dataset and holdout. Received: {stage.init} ({', '.join(differing)})"
        )
    return None if base.split_seed == stage.seed else base.split_seed
