"""The sections of the suite's report: measured numbers beside the paper's, as blocks."""

from kerasood.evaluation.means import SPREAD
from kerasood.reporting.blocks import (
    Bullets,
    Cell,
    Details,
    Figure,
    Heading,
    Row,
    Span,
    Table,
    Text,
)
from kerasood.reporting.details import (
    choices,
    images_table,
    missing,
    reproduction,
    values_text,
)
from kerasood.reporting.findings import COLUMNS, Findings, cell_of, percent
from kerasood.reporting.paper import TITLES, mean_title, row_title, status_text
from kerasood.reporting.paper_numbers import METRICS, MISPRINT, NETWORK
from kerasood.reporting.paper_plots import figures_of

TITLE = "The paper's comparison, measured"
HOW_TO_READ = (
    "Percent. Difference = measured - paper, in points. The ± are standard deviations over ten "
    "draws of one model (the paper's too): sampling noise, which says nothing about other training "
    "runs; only where seeds are named they are over training runs. "
    "Stand-ins are other images: shown, but neither compared nor part of a mean."
)
_COLUMNS = COLUMNS["in"]
_LINES = ("measured", "paper", "difference")
_STYLES = {"published": "good", "partial": "warn", "stand-in": "warn", "missing": "bad"}


def report(results: dict, names: list[str], scores: list[dict]) -> list:
    """All blocks of the suite's report.

    Args:
        results: of the suite.
        names: a file stem per section.
        scores: per section {(model, detector, set): (N,) scores}.
    """
    blocks = [
        Heading(TITLE, 1),
        Text((f"Paper: Chen & Li 2023, {NETWORK}. {results['date'][:10]}",), "quiet"),
        *(Text((effect_of_fine_tuning(section),), "finding")
          for section in _sections_to_summarise(results)),
        *(Text((Span(f"{entry['dataset']} was not measured", "bad"), f": {entry['lack']}."),
               "finding") for entry in results["not_measured"]),
        Text((HOW_TO_READ,), "quiet"),
    ]
    for section in results["averaged"]:
        blocks += _averaged(section)
    for section, name, of_section in zip(results["sections"], names, scores, strict=True):
        blocks += _section(section, name, of_section)
    return [*blocks, *_not_measured(results), *missing(results["missing"]), *reproduction(results)]


def summary(results: dict) -> list:
    """The blocks that the terminal shows."""
    blocks = []
    for section in results["sections"]:
        blocks += [*_opening(section), _sets(section), *_tables(section)]
    for section in results["averaged"]:
        blocks += _averaged(section)
    return [*blocks, *_not_measured(results)]


def effect_of_fine_tuning(section: dict) -> str:
    """The effect of fine-tuning on the mean FPR95, here and in the paper, in one sentence."""
    comparison, title = section["comparison"], section["dataset"]["title"]
    if _is_of_several_runs(section):
        title += f", {_seeds_title(section)}"
    before, after = comparison["mean"]["models"]
    over = mean_title(comparison).replace("Mean of", "mean of")
    fpr95 = [cell_of(model["measured"]["fpr95"]).full_text for model in (before, after)]
    accuracy = [cell_of(model["measured"]).full_text for model in comparison["accuracy"]]
    return (
        f"{title}: {section['models'][1]['label']} takes the FPR95, {over}, from "
        f"{fpr95[0]} to {fpr95[1]} % (the paper, over the same sets: "
        f"{percent(before['paper']['fpr95'])} to {percent(after['paper']['fpr95'])} %) and the "
        f"accuracy from {accuracy[0]} to {accuracy[1]} % (the paper: "
        f"{percent(comparison['accuracy'][0]['paper'])} to "
        f"{percent(comparison['accuracy'][1]['paper'])} %)."
    )


def _sections_to_summarise(results: dict) -> list[dict]:
    """Recipes over their seeds, and runs that stand alone."""
    inside = {run for section in results["averaged"] for run in section["runs"]}
    alone = [section for section in results["sections"] if section["run"] not in inside]
    return [*results["averaged"], *alone]


def _is_of_several_runs(section: dict) -> bool:
    return "runs" in section


def _seeds_title(section: dict) -> str:
    return f"mean over {len(section['seeds'])} seeds ({', '.join(map(str, section['seeds']))})"


def _not_measured(results: dict) -> list:
    return [
        block
        for entry in results["not_measured"]
        for block in (
            Heading(f"{entry['dataset']}: not measured"),
            Text((f"{entry['lack'].capitalize()}: {entry['how_to_get']}",)),
        )
    ]


def _averaged(section: dict) -> list:
    title = f"{section['dataset']['title']}: {section['models'][1]['label']}"
    runs = ", ".join(section["runs"])
    return [
        Heading(f"{title}, {_seeds_title(section)}"),
        Text((f"{section['recipe']}; {runs}. {SPREAD} The paper's is over draws of one model.",),
             "quiet"),
        *_tables(section),
    ]


def _opening(section: dict) -> list:
    dataset, tuned = section["dataset"], section["models"][1]
    images = dataset["note"] or format(dataset["num_images"], ",")
    return [
        Heading(f"{dataset['title']}: {tuned['label']}, seed {tuned['seed']}"),
        Text((f"{section['run']}: {section['trained']}. Test images: {images}. "
              f"{section['protocol']['convention']}",), "quiet"),
    ]


def _section(section: dict, name: str, scores: dict) -> list:
    chosen = tuple((line,) for line in choices(Findings(section)))
    figures = [
        block
        for stem, title, description, draw in figures_of(section, scores)
        for block in (Heading(title, 3), Figure(f"{name}-{stem}", description, draw))
    ]
    return [
        *_opening(section),
        _sets(section),
        *_tables(section),
        *([Details("Chosen parameters", (Bullets(chosen),))] if chosen else []),
        *figures,
        *images_table(Findings(section)),
    ]


def _sets(section: dict) -> Table:
    rows = tuple(
        Row(entry["title"],
            (Cell(status_text(entry), style=_STYLES[entry["status"]]), Cell(entry["note"])))
        for entry in section["comparison"]["sets"]
    )
    return Table("The paper's set", ("Images", "Note"), rows, words=(0, 1))


def _tables(section: dict) -> list:
    comparison, seeds = section["comparison"], " over seeds" if _is_of_several_runs(section) else ""
    return [
        Heading(f"Table 1: before and after, energy{seeds}", 3),
        _table1(section),
        *([Text((MISPRINT,), "quiet")] if section["dataset"]["name"] == "cifar10" else []),
        Heading(f"Table 2: detectors on the base, and ours{seeds}", 3),
        Text((f"{mean_title(comparison)}; where sets are missing, the paper's MSP, ODIN and "
              "Mahalanobis (printed as means of six sets only) do not compare.",), "quiet"),
        _table2(section),
    ]


def _table1(section: dict) -> Table:
    comparison = section["comparison"]
    sets = {entry["name"]: entry for entry in comparison["sets"]}
    labels = tuple(model["label"] for model in section["models"])
    rows = [
        Row(row_title(sets[row["set"]]), _by_metric(row["models"]), sets[row["set"]]["status"])
        for row in comparison["table1"]
    ]
    rows.append(Row(mean_title(comparison), _by_metric(comparison["mean"]["models"]), "mean"))
    accuracy = tuple(
        _cell(model["measured"], model["paper"], model["difference"], lower=False)
        for model in comparison["accuracy"]
    )
    rows.append(Row("Accuracy", (*accuracy, *[Cell("")] * (2 * len(METRICS) - 2))))
    groups = tuple((column.heading, 2) for column in _COLUMNS)
    return Table("OOD set", labels * len(METRICS), tuple(rows), groups, "ID positive", lines=_LINES)


def _table2(section: dict) -> Table:
    rows = tuple(
        Row(
            _method_title(row, section),
            (*_by_metric([row]), Cell(f"{row['paper_sets']} sets" if row["paper_sets"] else "")),
            "ours" if row["method"] == "ours" else "",
        )
        for row in section["comparison"]["table2"]
    )
    titles = (*(column.heading for column in _COLUMNS), "paper's mean over")
    return Table("Method", titles, rows, (), "ID positive", lines=_LINES, words=(3,))


def _method_title(row: dict, section: dict) -> str:
    """A method of Table 2, with what it chose."""
    if "title" in row:
        return row["title"]
    choice = section["models"][0].get("choices", {}).get(row["method"])
    return TITLES[row["method"]] + (f" ({values_text(choice)})" if choice else "")


def _by_metric(models: list[dict]) -> tuple[Cell, ...]:
    """Cells of every metric, the models beside each other."""
    return tuple(
        _cell(*(model[kind] and model[kind][column.key] for kind in _LINES), column.lower_is_better)
        for column in _COLUMNS
        for model in models
    )


def _cell(measured, paper, difference, lower: bool) -> Cell:
    """A measured number, below it the paper's and the difference, coloured by its direction."""
    cell = cell_of(measured)
    below = (Span(cell_of(paper).full_text), Span(""))
    if difference is not None:
        better = difference < 0 if lower else difference > 0
        points = f"{100 * difference:+.2f}".replace("-", "−")
        below = (below[0], Span(points, "good" if better else "bad"))
    return Cell(cell.text, cell.spread, below=below)
