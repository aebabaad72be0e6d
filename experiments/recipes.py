"""Fine-tunes beyond the paper's two, without outlier data: which tells OOD images best?

    python -m experiments.recipes --init=runs/cifar10-wrn40-2-seed1/pretrain --data_dir=DATA

Every recipe is trained (what was trained before is not trained again) and measured with several
detectors. Outliers made from one half of the test images, and Tiny ImageNet, choose; the other half
and all other real sets judge, so that no image does both. A recipe that costs more than MARGIN of
the accuracy on the choosing half cannot be chosen; one whose training diverges is left out.
"""

import dataclasses
import functools
import pathlib
import typing

import numpy as np
from keras import ops

import kerasood
from kerasood.commands.common import console, run_command
from kerasood.config import ReadsData, option
from kerasood.data.open import open_source
from kerasood.data.splits import halves
from kerasood.data.validation_outliers import OUTLIER_KINDS, validation_outliers
from kerasood.detectors import build
from kerasood.evaluation.ood_sets import open_sets
from kerasood.evaluation.protocols import find
from kerasood.files import write_text
from kerasood.names import choose
from kerasood.networks.saving import load_network
from kerasood.reporting.markdown import table
from kerasood.runs import open_run
from kerasood.training import (
    OBJECTIVES,
    CrossEntropyTraining,
    objectives,
    register_objective,
    train,
    train_config,
)
from kerasood.training.callbacks import TrainingDiverged

CONSTANT_RATE = {"finetune_learning_rate": 1e-4, "final_learning_rate": 1e-4}
RECIPES = {
    "ce": {"objective": "ce"},
    "logits 0.01": {"site": "logits"},
    "logits 0.05": {"site": "logits", "weight": 0.05},
    **{f"features {weight}": {"weight": weight} for weight in (0.02, 0.04, 0.06, 0.08, 0.16)},
    **{
        f"features {weight}, 3 epochs": {"weight": weight, "finetune_epochs": 3}
        for weight in (0.04, 0.08)
    },
    "features 0.08, rate 1e-4": {"weight": 0.08, **CONSTANT_RATE},
    "features 0.08, rate 0.01": {"weight": 0.08, "finetune_learning_rate": 0.01},
    "features 0.08, without dropout": {"weight": 0.08, "finetune_dropout": 0.0},
    **{
        f"{norm} {weight}": {"objective": "feature_norm", "norm": norm, "weight": weight}
        for norm, weight in (("length", 0.1), ("length", 0.5), ("ratio", 0.1), ("ratio", 0.4))
    },
    "logit_norm": {"objective": "logit_norm"},
}
DETECTORS = ("energy", "msp", "react", "scale", "ash_s", "vim")
CHOOSING_SETS = ("tiny_imagenet_crop", "tiny_imagenet_resize")
# Images of the choosing half that outliers of each kind are made from.
OUTLIERS = 1000
# Share of images by which a recipe may be less accurate than its base.
MARGIN = 0.003
SEED = 1
TITLES = ("Recipe", "Detector", "Chooses by", "FPR95", "AUROC", "Accuracy", "Can be chosen")


class FeatureNorm(CrossEntropyTraining):
    """Cross-entropy plus weight * mean of a norm of the features that is not the paper's.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0.
        norm: "length", the Euclidean norm: shorter features, not sparser ones; or "ratio", the
            L1 norm over the length: sparser features, not shorter ones.
        augmentation: keras layer or None.
    """

    objective = "feature_norm"
    formula = "ce + {weight:g} * mean {norm} of features"
    of_its_name = ("norm",)
    help = {"weight": "weight of the norm [.1]", "norm": "which norm [length]"}

    def __init__(
        self,
        network,
        weight: float = 0.1,
        norm: typing.Literal["length", "ratio"] = "length",
        augmentation=None,
        **kwargs,
    ):
        super().__init__(network, augmentation, **kwargs)
        self.weight = self.setting(weight, "weight")
        self.norm = norm
        self.read_features()

    def penalty(self, outputs):
        features = outputs["features"]
        # Inside the root, so that features of zero have a gradient.
        length = ops.sqrt(ops.sum(ops.square(features), axis=-1) + objectives.NORM_EPSILON)
        norms = length if self.norm == "length" else objectives.l1_norm(features) / length
        return self.weight * ops.mean(norms)


@dataclasses.dataclass(frozen=True)
class RecipesConfig(ReadsData):
    """What `python -m experiments.recipes` compares."""

    init: str | None = option(None, "Run directory of the pretrained network, or zoo:NAME.")
    recipes: tuple[str, ...] = option(("all",), "Recipes: all, or names.")
    data_dir: str | None = option(None, "Folder that is searched for data.")
    download: bool = option(False, "Whether missing data may be downloaded.")
    seed: int = option(1, "Seed of the fine-tunes.")
    out: str = option("recipes", "Folder of the runs and the table.")


def main(config):
    """Trains, measures, prints and writes table.md."""
    if FeatureNorm.objective not in OBJECTIVES:
        register_objective(FeatureNorm)
    run = open_run(config.init)
    names = RECIPES if config.recipes == ("all",) else config.recipes
    for name in names:
        choose("recipe", name, RECIPES)
    networks = {"base": load_network(run.model)}
    for name in names:
        try:
            networks[name] = load_network(fine_tuned(name, run, config).model)
        except TrainingDiverged as error:
            console.print(f"{name}: {error}")
    rows = compared(networks, run.config.dataset, config)
    text = table(TITLES, rows, right=range(2, len(TITLES)))
    write_text(pathlib.Path(config.out) / "table.md", text + "\n")
    console.print(text)


def fine_tuned(name, run, config):
    """The complete Run of a recipe.

    Args:
        name: key of RECIPES.
        run: Run of the pretrained network.
        config: RecipesConfig.
    """
    recipe = RECIPES[name]
    values = {} if "objective" in recipe else {"site": "features"}
    folder = "-".join(name.replace(",", "").split())
    (tuned,) = train(
        train_config(
            run.config.dataset, stage="finetune", init=config.init, seed=config.seed, resume=True,
            run=str(pathlib.Path(config.out) / folder), data_dir=config.data_dir,
            download=config.download, **{**values, **recipe},
        ),
        verbose=2,
    )
    return tuned


def compared(networks, dataset, config):
    """Rows of TITLES, those that can be chosen first, by what chooses.

    Args:
        networks: {name: keras.Model}, "base" among them.
        dataset: name of what they were trained on.
        config: RecipesConfig.
    """
    options = config.data
    training, test = (open_source(dataset, split, options) for split in ("train", "test"))
    choosing, judging = (test.subset(rows) for rows in halves(test.num_images, SEED))
    made = validation_outliers(choosing.take(np.arange(min(OUTLIERS, choosing.num_images))), SEED)
    at_hand, _ = open_sets("all", find("full").set_names(dataset), options)
    real = {n: s for n, s in at_hand.items() if find("full").role(n, dataset) != "synthetic"}
    chosen_by = {name: real.pop(name) for name in CHOOSING_SETS if name in real}
    measure = functools.partial(
        kerasood.benchmark, networks, detectors={name: build(name) for name in DETECTORS},
        cache=pathlib.Path(config.out) / "outputs",
    )
    choice = measure({"train": training, "test": choosing}, {**made, **chosen_by}).results
    verdict = measure({"train": training, "test": judging}, real).results
    accuracy = {model["label"]: model["accuracy"] for model in choice.models}
    rows = []
    for name in networks:
        allowed = accuracy[name] >= accuracy["base"] - MARGIN
        for detector in DETECTORS:
            generated, tiny, judged = (
                _mean(results, name, detector, sets)
                for results, sets in (
                    (choice, OUTLIER_KINDS), (choice, chosen_by), (verdict, real)
                )
            )
            by = np.nanmean([generated["fpr95"], tiny["fpr95"]])
            of_judging = next(m["accuracy"] for m in verdict.models if m["label"] == name)
            numbers = (by, judged["fpr95"], judged["auroc"], of_judging)
            rows.append((not allowed, by, [
                name, detector, *(f"{100 * value:.2f}" for value in numbers),
                "yes" if allowed else "no",
            ]))
    return [row for *_, row in sorted(rows)]


def _mean(results, model, detector, sets):
    """Mean FPR95 and AUROC over some sets; NaN over none."""
    entries = [
        entry for entry in results.metrics
        if (entry["model"], entry["detector"]) == (model, detector) and entry["set"] in sets
    ]
    return {
        metric: np.mean([entry[metric]["mean"] for entry in entries] or [np.nan])
        for metric in ("fpr95", "auroc")
    }


if __name__ == "__main__":
    run_command(RecipesConfig, main)
