"""`python train.py`: pretrains a classifier, fine-tunes it for OOD detection, or both."""

import pathlib

import keras

from kerasood import training
from kerasood.commands.common import console, run_command
from kerasood.config import TrainConfig, stage_config
from kerasood.data.in_distribution import load_training_data
from kerasood.models.saving import load_network, save_network
from kerasood.models.wide_resnet import WideResNet
from kerasood.runs import Run


def main():
    """Entry point of the console script and of `train.py`."""
    run_command(TrainConfig, train)


def train(config):
    """Runs the stages of a TrainConfig, each in its own run directory.

    Args:
        config: TrainConfig.

    Returns:
        list of the Runs, one per stage.

    Raises:
        ValueError: the configuration, the data or the base model does not fit.
    """
    runs = _plan(config)
    for run in runs:
        run.check(config.resume)
    complete = all(run.complete for run in runs)
    data = None if complete else load_training_data(config)
    for run in runs:
        console.print(f"[bold]{run.config.stage}[/] -> {run.path}")
        if run.complete:
            console.print("already complete: nothing to do")
        else:
            _train_stage(run, data, config.resume)
    return runs


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


def _plan(config):
    out = config.out or (
        f"runs/{pathlib.Path(config.dataset).stem}-wrn{config.depth}-{config.width}"
        f"-seed{config.seed}"
    )
    out = pathlib.Path(out)
    if config.run and config.stage == "all":
        raise ValueError("Expected --out for --stage=all, which has two runs. Received: --run")
    if config.init and config.stage != "finetune":
        raise ValueError(
            f"Expected --init with --stage=finetune only. Received: --stage={config.stage}"
        )
    runs = []
    if config.stage in ("pretrain", "all"):
        stage = stage_config(config, "pretrain")
        runs.append(Run(pathlib.Path(config.run or out / stage.name), stage))
    if config.stage in ("finetune", "all"):
        init = config.init or str(out / "pretrain")
        if config.stage == "finetune":
            _check_holdout(config, base_model_path(init).parent)
        stage = stage_config(config, "finetune", init=init)
        runs.append(Run(pathlib.Path(config.run or out / stage.name), stage))
    return runs


def _check_holdout(config, folder):
    """The base must not have been trained on the images that will calibrate the threshold."""
    if not config.holdout or not (folder / "config.json").is_file():
        return
    base = Run.open(folder).config
    differing = [
        f"{name}={getattr(base, name)!r} there, {getattr(config, name)!r} now"
        for name in ("dataset", "holdout", "seed")
        if getattr(base, name) != getattr(config, name)
    ]
    if differing:
        raise ValueError(
            "Expected a base that never saw the images --holdout keeps out: one trained with the "
            f"same dataset, holdout and seed. Received: {folder} ({', '.join(differing)})"
        )


def _train_stage(run, data, resume):
    config = run.config
    keras.utils.set_random_seed(config.seed)
    network = _network(config, data)
    trainer = training.build_trainer(network, config)
    # Not earlier, so that a mistake leaves no directory behind.
    run.start(resume)
    if config.init and not run.initial_model.exists():
        save_network(network, run.initial_model)
    _describe(config, data, network)
    verbose = 1 if console.is_terminal else 2
    training.fit(trainer, data.training, data.validation, config, run, verbose)
    save_network(network, run.model)
    console.print(f"saved {run.model}")


def _network(config, data):
    if config.init is None:
        return WideResNet(
            config.depth,
            config.width,
            data.num_classes,
            config.dropout,
            image_size=data.training[0].shape[1],
            dtype=config.precision,
        )
    path = base_model_path(config.init)
    network = load_network(path)
    _check_network(network, data, path)
    if isinstance(network, WideResNet):
        return network.with_dtype(config.precision)
    if config.precision != "float32":
        raise ValueError(
            f"Expected --precision=float32 for a model that is no WideResNet ({path}): its layers "
            f"keep the types they were made with. Received: {config.precision}"
        )
    return network


def _check_network(network, data, path):
    images = data.training[0]
    expected = ((None, *images.shape[1:]), (None, data.num_classes))
    if (network.input_shape, network.output_shape) != expected:
        raise ValueError(
            f"Expected a model from images {expected[0]} to logits {expected[1]}. Received: "
            f"{network.input_shape} to {network.output_shape} in {path}"
        )


def _describe(config, data, network):
    objective = config.objective
    if config.site:
        objective = f"ce + {config.weight:g} * mean ||{config.site}||_1"
    augmentation = f"crop {config.crop} px" if config.crop else "no crop"
    augmentation += ", flip" if config.flip else ", no flip"
    held = f"{len(data.validation[0]):,} held out" if data.validation else "none held out"
    console.print(
        f"{network.name} ({network.count_params():,} parameters) on {config.dataset}: "
        f"{len(data.training[0]):,} training images ({held}), {data.num_classes} classes\n"
        f"objective {objective}; {config.epochs} epochs of batch {config.batch_size}; Nesterov "
        f"{config.momentum:g}, learning rate {config.learning_rate:g} -> "
        f"{config.final_learning_rate:g} (cosine), L2 {config.weight_decay:g}; {augmentation}; "
        f"{config.precision}; seed {config.seed}; Keras {keras.__version__} on "
        f"{keras.backend.backend()}",
        markup=False,
    )
