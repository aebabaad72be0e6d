"""Which fine-tune tells OOD images best: the grid, recipes beyond it, and the choice on one seed.

A recipe is what a fine-tune changes in a TrainConfig. All are tried on the first seed; what
`choices` picks is then trained on all seeds, beside its equal-steps control. The paper's own
recipes on all seeds are the jobs cifar10 and cifar100.
"""

import dataclasses
import itertools
import pathlib

from experiments.gpu.measuring import choosing_mean, measure
from experiments.gpu.paper_jobs import pretrain_unit
from experiments.gpu.setup import run_folder
from experiments.gpu.units import Unit
from kerasood.commands.train import train
from kerasood.files import read_json, write_json
from kerasood.networks.saving import load_network
from kerasood.training.callbacks import TrainingDiverged

SITES = ("logits", "features")
WEIGHTS = (0.003, 0.01, 0.02, 0.05, 0.1)
LEARNING_RATES = (0.001, 0.01)
CROPS = (4, 0)
# None is the base's own, 0.3.
DROPOUTS = (None, 0.0)
# Share of images by which a recipe may be less accurate than its base to be chosen.
MARGIN = 0.003
BASE = "base"


def grid():
    """Recipes of the ablation, the paper's neighbourhood first: list of {field: value}."""
    recipes = []
    for dropout, crop, rate in itertools.product(DROPOUTS, CROPS, LEARNING_RATES):
        shared = {"finetune_learning_rate": rate, "crop": crop, "finetune_dropout": dropout}
        recipes.append({"objective": "ce", **shared})
        recipes += [
            {"site": site, "weight": weight, **shared}
            for weight, site in itertools.product(WEIGHTS, SITES)
        ]
    return recipes


def beyond():
    """Recipes that the grid does not hold: longer, faster, heavier, and another objective."""
    longer = {"finetune_learning_rate": 0.01, "finetune_epochs": 20}
    faster = {"finetune_learning_rate": 0.05, "finetune_epochs": 20}
    return [
        {"site": "features", "weight": 0.2, "finetune_learning_rate": 0.01},
        {"site": "features", "weight": 0.5, "finetune_learning_rate": 0.01},
        {"site": "logits", "weight": 0.2, "finetune_learning_rate": 0.01},
        {"site": "features", "weight": 0.05, **longer},
        {"site": "features", "weight": 0.1, **longer},
        {"site": "features", "weight": 0.1, **faster},
        {"site": "features", "weight": 0.1, **longer, "weight_decay": 1e-4},
        {
            "site": "features",
            "weight": 0.1,
            "finetune_learning_rate": 0.01,
            "final_learning_rate": 0.01,
        },
        {"site": "logits", "weight": 0.05, **longer},
        {"objective": "logit_norm"},
        {"objective": "logit_norm", "finetune_learning_rate": 0.01},
        {"objective": "logit_norm", **longer},
        {"objective": "logit_norm", **faster},
        {"objective": "ce", **longer},
        {"objective": "ce", **faster},
    ]


def recipe_name(recipe):
    """A name that says what a recipe changes: features-weight0.1-finetune_epochs20..."""
    parts = [recipe.get("objective", "sparsity")]
    for field, value in recipe.items():
        if field == "site":
            parts.append(value)
        elif field != "objective" and value is not None:
            parts.append(f"{field.removeprefix('finetune_')}{value:g}")
    return "-".join(parts)


def ablation_units(setup, dataset):
    """Units of the ablation; those of the chosen recipe once there is a choice."""
    first = setup.seeds[0]
    recipes = [*grid(), *beyond()]
    if setup.rehearse:
        recipes = [grid()[0], grid()[1], grid()[-1], {"objective": "logit_norm"}]
    named = {BASE: None, **{recipe_name(recipe): recipe for recipe in recipes}}
    base = pretrain_unit(setup, dataset, first)
    trials = [_trial(setup, dataset, first, *item, base) for item in named.items()]
    units = [base, *trials]
    if not all(pathlib.Path(path).is_file() for trial in trials for path in trial.files):
        return units
    results = results_of("ablation", dataset, first)
    choice = choices({name: results[name] for name in named})
    for seed in setup.seeds if choice.roles else ():
        recipes = {role: named[name] for role, name in choice.roles.items()}
        units += _chosen_units(setup, dataset, seed, recipes)
    return units


def _trial(setup, dataset, seed, name, recipe, base):
    """A recipe on the first seed, of which only the numbers come home."""
    path = result_path("ablation", dataset, seed, name)
    return Unit(
        f"{dataset}-seed{seed}-{name}",
        "ablation",
        lambda: _try(setup, dataset, seed, recipe, path),
        (str(path),),
        needs=(base.name,),
        resumable=True,
    )


def _chosen_units(setup, dataset, seed, recipes):
    """The base, the control and the chosen recipes on one seed, the latter with their weights."""
    base = pretrain_unit(setup, dataset, seed)
    of_base = trained_model(dataset, seed, None)
    control = {
        name: value for name, value in recipes["chosen"].items() if name not in ("site", "weight")
    } | {"objective": "ce"}
    units = [base]
    for role, recipe in {BASE: None, "control": control, **recipes}.items():
        path = result_path("chosen", dataset, seed, role)
        model = trained_model(dataset, seed, recipe)
        kept = ("config.json", "history.csv", "model.keras") if role in recipes else ()
        units.append(
            Unit(
                f"{dataset}-seed{seed}-chosen-{role}",
                "ablation",
                lambda recipe=recipe, path=path: _try(setup, dataset, seed, recipe, path),
                (str(path), *(str(model.with_name(name)) for name in kept)),
                needs=(base.name,),
                resumable=True,
                settles=(str(model),) if role in recipes else (),
            )
        )
    # Nothing starts from the base any more.
    last = units[-1]
    units[-1] = dataclasses.replace(
        last, settles=(*last.settles, str(of_base)), needs=tuple(unit.name for unit in units[:-1])
    )
    return units


def result_path(kind, dataset, seed, name):
    """Where a trial's numbers are: kind "ablation", or "chosen" for the choice on all seeds."""
    return pathlib.Path(kind, f"{dataset}-seed{seed}", f"{name}.json")


def results_of(kind, dataset, seed):
    """{name: what `_try` wrote} of a seed."""
    folder = result_path(kind, dataset, seed, BASE).parent
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def trained_model(dataset, seed, recipe):
    """The model.keras of a recipe; None is the base."""
    folder = run_folder(dataset, seed)
    if recipe is None:
        return folder / "pretrain" / "model.keras"
    return folder / "ablation" / recipe_name(recipe) / "model.keras"


def _try(setup, dataset, seed, recipe, path):
    """Fine-tunes by a recipe and measures, or measures the base."""
    model, result = trained_model(dataset, seed, recipe), {"recipe": recipe, "seed": seed}
    if recipe is not None:
        init = trained_model(dataset, seed, None).parent
        where = {"stage": "finetune", "init": str(init), "run": str(model.parent)}
        try:
            train(setup.train_config(dataset, seed, **{**where, **recipe}))
        except TrainingDiverged as error:
            write_json(path, {**result, "diverged": str(error)})
            return
    write_json(path, {**result, **measure(load_network(model), dataset, setup.data)})


def ranking(results):
    """Recipes and detectors that keep the accuracy, the best first.

    Args:
        results: of `results_of`.

    Returns:
        [(FPR95 to choose by, recipe's name, detector's name)].
    """
    least = results[BASE]["choosing_accuracy"] - MARGIN
    return sorted(
        (choosing_mean(numbers), name, detector)
        for name, result in results.items()
        if result.get("choosing_accuracy", 0) >= least
        for detector, numbers in result["detectors"].items()
    )


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is trained on all seeds.

    Args:
        roles: {"chosen": the recipe that the energy tells most with, never the base; "paired": the
            recipe of the best pair of recipe and detector, if it is another one and not the base}.
            Empty where no recipe keeps the accuracy.
        pair: (role or "base", detector) of that pair.
    """

    roles: dict[str, str]
    pair: tuple[str, str]


def choices(results):
    """The Choice by the numbers to choose by, of results as `results_of` gives them."""
    ranked = ranking(results)
    names = (name for _, name, detector in ranked if detector == "energy")
    chosen = next((name for name in names if name != BASE), None)
    _, name, detector = ranked[0]
    roles = {} if chosen is None else {"chosen": chosen}
    role = {BASE: BASE, chosen: "chosen"}.get(name, "paired")
    if role == "paired":
        roles["paired"] = name
    return Choice(roles, (role, detector))
