"""Which runs a TrainConfig means: one per seed and stage, each with its directory and base."""

import dataclasses
import pathlib

from kerasood.config import stage_config
from kerasood.models.fingerprint import weights_hash
from kerasood.models.saving import load_network
from kerasood.runs import Run


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
        raise ValueError(f"Expected --out for {several}, which has several runs. Received: --run")
    if config.init and config.stage != "finetune":
        raise ValueError(
            f"Expected --init with --stage=finetune only. Received: --stage={config.stage}"
        )
    return [run for one in _per_seed(config) for run in _stages(one)]


def base_model_path(path):
    """The .keras file that `--init` means: the file itself or the model of a run directory.

    Raises:
        ValueError: there is no trained model at `path`.
    """
    path = pathlib.Path(path)
    if path.suffix == ".keras" and path.is_file():
        return path
    if (path / "model.keras").is_file():
        return path / "model.keras"
    raise ValueError(
        f"No base model at {path}. Train one with `python train.py --stage=pretrain`, or name "
        "one with --init=<run directory of a pretrain stage, or .keras file>."
    )


def with_init_hash(run):
    """The run of a fine-tune with the hash of its base's weights, once the base is there."""
    config = run.config
    if config.init is None or config.init_hash is not None:
        return run
    try:
        path = base_model_path(config.init)
    except ValueError:
        return run
    init_hash = weights_hash(load_network(path))
    return dataclasses.replace(run, config=dataclasses.replace(config, init_hash=init_hash))


def _per_seed(config):
    """One TrainConfig per seed, with its own folder for the runs."""
    if not config.seeds:
        return [dataclasses.replace(config, out=config.out or _default_out(config, config.seed))]
    default_seed = next(f.default for f in dataclasses.fields(config) if f.name == "seed")
    if config.seed != default_seed:
        raise ValueError(f"Expected --seed or --seeds. Received: --seed={config.seed} as well")
    if len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        raise ValueError(
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
    name = pathlib.Path(config.dataset).stem
    return f"runs/{name}-wrn{config.depth}-{config.width}-seed{seed}"


def _stages(config):
    """The runs of one seed."""
    out = pathlib.Path(config.out)
    runs = []
    if config.stage in ("pretrain", "all"):
        stage = stage_config(config, "pretrain")
        runs.append(Run(pathlib.Path(config.run or out / stage.name), stage))
    if config.stage in ("finetune", "all"):
        init = config.init or str(out / "pretrain")
        stage = stage_config(config, "finetune", init=init)
        if config.stage == "finetune":
            seed = _holdout_seed(config, base_model_path(init).parent)
            stage = dataclasses.replace(stage, holdout_seed=seed)
        run = Run(pathlib.Path(config.run or out / stage.name), stage)
        runs.append(run.with_stored_margins())
    return runs


def _holdout_seed(config, folder):
    """Seed of what the base was not trained on, where it is not the fine-tune's own.

    Raises:
        ValueError: the base was trained on images that shall calibrate the threshold.
    """
    if not config.holdout or not (folder / "config.json").is_file():
        return None
    base = Run.open(folder).config
    differing = [
        f"{name}={getattr(base, name)!r} there, {getattr(config, name)!r} now"
        for name in ("dataset", "holdout")
        if getattr(base, name) != getattr(config, name)
    ]
    if differing:
        raise ValueError(
            "Expected a base that never saw the images --holdout keeps out: one trained with the "
            f"same dataset and holdout. Received: {folder} ({', '.join(differing)})"
        )
    return None if base.split_seed == config.seed else base.split_seed
