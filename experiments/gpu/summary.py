"""What came home as Markdown: tables over seeds, the paper's numbers beside them."""

import pathlib

import numpy as np

from experiments.gpu.ablation import BASE, MARGIN, choices, ranking, results_of
from experiments.gpu.measuring import choosing_mean, judged_mean, judged_sets
from experiments.gpu.paper_jobs import FINE_TUNES
from experiments.gpu.setup import DATASETS
from kerasood.data import registry
from kerasood.evaluation.means import SPREAD, spread
from kerasood.files import read_json
from kerasood.reporting import paper_numbers
from kerasood.reporting.findings import COLUMNS, cell_of, percent
from kerasood.reporting.markdown import table
from kerasood.reporting.paper import TITLES, mean_title, row_title

FOLDERS = {directory: name for name, (directory, _) in FINE_TUNES.items()}
TUNED = {"ce": "+ ce (control)", "logits": "+ sparsity (logits)",
         "features": "+ sparsity (features)"}
LISTED = 25


def summary():
    """Markdown of all results below the current directory."""
    parts = ["# Results from slices of GPU time", SPREAD]
    for dataset in DATASETS:
        seeds = _paper_results(dataset)
        if seeds:
            parts += [f"## {registry.DATASETS[dataset].title}", *_paper_parts(dataset, seeds)]
        results = {
            int(folder.name.rpartition("seed")[2]): results_of(
                "ablation", dataset, int(folder.name.rpartition("seed")[2])
            )
            for folder in sorted(pathlib.Path("ablation").glob(f"{dataset}-seed*"))
        }
        for seed, of_seed in results.items():
            if BASE in of_seed:
                parts += _ablation_parts(dataset, seed, of_seed)
    return "\n\n".join([*parts, *_provenance()]) + "\n"


def _paper_results(dataset):
    """{seed: results of the paper's suite}."""
    found = {}
    for path in sorted(pathlib.Path("evaluation").glob(f"{dataset}-seed*/paper/results.json")):
        found[int(path.parents[1].name.rpartition("seed")[2])] = read_json(path)
    return found


def _paper_parts(dataset, seeds):
    sections = {
        seed: {FOLDERS[pathlib.Path(part["run"]).name]: part for part in results["sections"]}
        for seed, results in seeds.items()
    }
    parts = [f"Seeds {', '.join(map(str, seeds))}; protocol `paper`, detector energy; percent."]
    for column in COLUMNS["in"]:
        parts += [f"### {column.title}", _table1(dataset, sections, column.key)]
    if dataset == "cifar10":
        parts.append(paper_numbers.MISPRINT)
    best = min(sections, key=lambda seed: _lowest_mean(sections[seed]))
    parts += [
        "### Accuracy", _accuracies(dataset, sections),
        "### Detectors on the base", _table2(sections),
        "### All detectors, mean of the far sets", _detectors(dataset),
        "### Weights rounded to float16", _rounding(dataset),
        f"Best seed by the mean FPR95 of its fine-tunes: {best}. It was chosen by the numbers of "
        "this table, which for this seed alone are therefore too good; the means over seeds are "
        "not.",
    ]
    return parts


def _lowest_mean(sections):
    """Mean FPR95 of the better fine-tune of a seed."""
    tuned = (sections[name]["comparison"]["mean"]["models"][1] for name in ("logits", "features"))
    return min(model["measured"]["fpr95"] for model in tuned)


def _table1(dataset, sections, metric):
    """Sets x (the paper's base, base, control, both sites, the paper's method)."""
    first = next(iter(sections.values()))["logits"]["comparison"]
    rows = []
    for index, entry in enumerate(first["sets"]):
        if entry["status"] == "missing":
            continue
        printed = [
            percent(paper_numbers.on_set(dataset, tuned, entry["name"])[metric]["mean"])
            for tuned in (False, True)
        ]
        measured = [
            _over(sections, name, tuned, lambda part, i=index, t=tuned: _at(part, i, t)[metric])
            for name, tuned in _columns()
        ]
        rows.append([row_title(entry), printed[0], *measured, printed[1]])
    means = [
        _over(sections, name, tuned,
              lambda part, t=tuned: part["mean"]["models"][t]["measured"][metric])
        for name, tuned in _columns()
    ]
    paper = [percent(first["mean"]["models"][tuned]["paper"][metric]) for tuned in (0, 1)]
    rows.append([mean_title(first), paper[0], *means, paper[1]])
    titles = ["OOD set (ID positive)", "paper: base", "base", *TUNED.values(), "paper: its method"]
    return _table(titles, rows)


def _columns():
    """(name of a fine-tune, 0 for the base it started from or 1)."""
    return [("logits", 0), *((name, 1) for name in TUNED)]


def _at(comparison, index, tuned):
    measured = comparison["table1"][index]["models"][tuned]["measured"]
    return {name: value["mean"] for name, value in measured.items()}


def _over(sections, name, tuned, value_of):
    """A cell: mean and deviation over seeds."""
    return _spread([value_of(parts[name]["comparison"]) for parts in sections.values()])


def _spread(values):
    return cell_of(spread(values)).full_text


def _accuracies(dataset, sections):
    rows = [
        [
            {"base": "base", **TUNED}["base" if not tuned else name],
            _over(sections, name, tuned, lambda part, t=tuned: part["accuracy"][t]["measured"]),
            percent(paper_numbers.accuracy(dataset, bool(tuned))),
        ]
        for name, tuned in _columns()
    ]
    return _table(["Model", "measured", "paper"], rows)


def _table2(sections):
    first = next(iter(sections.values()))["logits"]["comparison"]
    rows = []
    for index, row in enumerate(first["table2"][:-1]):
        found = [parts["logits"]["comparison"]["table2"][index] for parts in sections.values()]
        if any(one["measured"] is None for one in found):
            continue
        rows += [
            [
                f"{TITLES[row['method']]}, {column.title}",
                _spread([one["measured"][column.key] for one in found]),
                f"{percent(row['paper'][column.key])} (over {row['paper_sets']} sets)",
            ]
            for column in COLUMNS["in"][:2]
        ]
    return _table(["Method", mean_title(first), "paper"], rows)


def _detectors(dataset):
    """Mean FPR95 / AUROC of every detector on every model, all images (protocol full)."""
    found = [
        read_json(path)
        for path in sorted(pathlib.Path("evaluation").glob(f"{dataset}-seed*/full/results.json"))
    ]
    models = ["base", *(FINE_TUNES[name][0] for name in TUNED)]
    values = {}
    for results in found:
        for mean in results["means"]:
            if mean["role"] == "far":
                key = mean["detector"], mean["model"]
                values.setdefault(key, []).append((mean["fpr95"], mean["auroc"]))
    rows = [
        [detector, *(" / ".join(_spread(part) for part in zip(*values[detector, model],
                                                              strict=True)) for model in models)]
        for detector in (found[0]["detectors"] if found else ())
    ]
    return _table(["FPR95 / AUROC", "base", *TUNED.values()], rows)


def _rounding(dataset):
    rows = []
    for path in sorted(pathlib.Path("evaluation").glob(f"{dataset}-seed*/rounding.json")):
        for model, numbers in read_json(path).items():
            before, after = numbers["float32"], numbers["float16"]
            rows.append([
                f"{path.parent.name} {model}",
                *(f"{percent(before[name])} -> {percent(after[name])}"
                  for name in ("accuracy", "fpr95")),
            ])
    return _table(["Model", "Accuracy", "Mean FPR95, energy, protocol full"], rows)


def _ablation_parts(dataset, seed, results):
    base = results[BASE]
    names = judged_sets(base["detectors"]["energy"]["full"])
    title = registry.DATASETS[dataset].title
    text = (
        f"Detector energy, seed {seed}, sorted by what chooses: the mean of FPR95 over outliers "
        "made from one half of the test images and over real sets that are none of the paper's. "
        f"What judges (FPR95 and AUROC, protocol `paper`): {', '.join(names)}. Only recipes whose "
        f"accuracy on that half is at most {100 * MARGIN:g} points below the base's can be chosen."
    )
    ranked = ranking(results)
    allowed = {name for _, name, _ in ranked}
    rows = [
        [*_ablation_row(name, result), "yes" if name in allowed else "no"]
        for name, result in sorted(results.items(), key=_choosing_key)
    ]
    titles = ["Recipe", "Chooses by", "FPR95", "AUROC", "Accuracy", "Can be chosen"]
    best = [
        [name, detector, percent(value),
         percent(judged_mean(results[name]["detectors"][detector]))]
        for value, name, detector in ranked[:LISTED]
    ]
    return [
        f"## {title}: ablation", text, _table(titles, rows),
        f"### {title}: recipes with detectors, the first {LISTED} by what chooses",
        _table(["Recipe", "Detector", "Chooses by", "FPR95"], best),
        *_chosen_parts(dataset, title, choices(results)),
    ]


def _choosing_key(item):
    _, result = item
    return choosing_mean(result["detectors"]["energy"]) if "detectors" in result else np.inf


def _ablation_row(name, result):
    if "detectors" not in result:
        return [name, "diverged", "–", "–", "–"]
    energy = result["detectors"]["energy"]
    return [
        name,
        percent(choosing_mean(energy)),
        percent(judged_mean(energy)),
        percent(judged_mean(energy, metric="auroc")),
        percent(result["accuracy"]),
    ]


def _chosen_parts(dataset, title, choice):
    """The chosen recipes, the control and the base over seeds."""
    by_role = {}
    for path in sorted(pathlib.Path("chosen").glob(f"{dataset}-seed*/*.json")):
        result = read_json(path)
        if "detectors" in result:
            by_role.setdefault(path.stem, []).append(result)
    role, detector = choice.pair
    wanted = [(BASE, "energy"), ("control", "energy"), ("chosen", "energy"),
              (BASE, detector), ("chosen", detector), (role, detector)]
    rows = []
    for each, by in dict.fromkeys(wanted):
        results = by_role.get(each, [])
        if results:
            numbers = [result["detectors"][by] for result in results]
            rows.append([
                f"{each}, {by}",
                ", ".join(str(result["seed"]) for result in results),
                _spread([judged_mean(of_seed) for of_seed in numbers]),
                _spread([judged_mean(of_seed, metric="auroc") for of_seed in numbers]),
                _spread([result["accuracy"] for result in results]),
            ])
    paper = paper_numbers.mean_of_method(dataset, "ours")
    rows.append([_paper_title(by_role), "", percent(paper["fpr95"]), percent(paper["auroc"]),
                 percent(paper_numbers.accuracy(dataset, True))])
    named = "; ".join(f"{each} = `{name}`" for each, name in choice.roles.items())
    return [
        f"### {title}: what was chosen, over seeds",
        f"{named or 'No recipe keeps the accuracy'}; best pair: {role} with {detector}.",
        _table(["Model, detector", "Seeds", "FPR95", "AUROC", "Accuracy"], rows),
    ]


def _paper_title(by_role):
    """What the paper's mean is over, and whether that of the rows above it compares."""
    judged = {
        judged_sets(result["detectors"]["energy"]["full"])
        for results in by_role.values()
        for result in results
    }
    if judged == {tuple(paper_numbers.SETS)}:
        return "paper"
    return "paper, over its own six sets: does not compare"


def _provenance():
    lines = []
    for path in sorted(pathlib.Path("slices").glob("*.json")):
        record = read_json(path)
        rehearsal = " (a rehearsal)" if record["rehearsal"] else ""
        packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        lines.append(f"* `{record['command']}`{rehearsal}: commit {record['commit'] or 'unknown'}, "
                     f"{record['device'] or record['backend']}, {packages}")
    return ["## Slices", "\n".join(lines)] if lines else []


def _table(titles, rows):
    return table(titles, rows, right=range(1, len(titles)))
