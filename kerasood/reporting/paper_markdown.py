"""The suite's report as Markdown."""

from kerasood.reporting.details import choices, images_used, values_text
from kerasood.reporting.findings import COLUMNS, Cell, Findings, percent
from kerasood.reporting.paper import TITLES, mean_title, row_title, status_text
from kerasood.reporting.paper_numbers import METRICS, MISPRINT, NETWORK
from kerasood.reporting.seeds import SPREAD
from kerasood.reporting.tables import IMAGES_TITLES, inline, markdown_table

_HEADINGS = [column.heading for column in COLUMNS["in"]]
HOW_TO_READ = (
    "Percent. Difference = measured - paper, in points. The ± are standard deviations over ten "
    "draws of one model (the paper's too): sampling noise, which says nothing about other training "
    "runs; only where seeds are named they are over training runs. "
    "Stand-ins are other images: shown, but neither compared nor part of a mean."
)


def to_markdown(results: dict, figures: dict) -> str:
    """The whole report.

    Args:
        results: of the suite.
        figures: {section name: [(stem, title, description, figure)]}, for links to their files.

    Returns:
        Markdown text that ends with a newline.
    """
    parts = ["# The paper's comparison, measured", f"* {HOW_TO_READ}\n* Paper: {NETWORK}."]
    parts += [f"* {told(section)}" for section in told_sections(results)]
    for section in results["averaged"]:
        parts += _averaged(section)
    for (name, of_section), section in zip(figures.items(), results["sections"], strict=True):
        parts += _section(section, name, of_section)
    parts += [
        f"## {entry['dataset']}: not measured\n\n{entry['lack'].capitalize()}: "
        f"{inline(entry['how_to_get'])}."
        for entry in results["not_measured"]
    ]
    if results["missing"]:
        lines = [f"* {lack['title']}: {inline(lack['how_to_get'])}" for lack in results["missing"]]
        parts.append("\n".join(["## Sets that were not at hand", "", *lines]))
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts.append(
        f"## Reproduce\n\n```\n{results['command']}\n```\n\n"
        f"Commit {results['commit'] or 'unknown'}; seed {results['seed']}; {results['date']}; "
        f"{versions}."
    )
    return "\n\n".join(parts) + "\n"


def told_sections(results: dict) -> list[dict]:
    """What the head of a report tells: recipes over their seeds, and runs that stand alone."""
    inside = {run for section in results["averaged"] for run in section["runs"]}
    alone = [section for section in results["sections"] if section["run"] not in inside]
    return [*results["averaged"], *alone]


def seeds_title(section: dict) -> str:
    """Over which training runs an averaged section is."""
    return f"mean over {len(section['seeds'])} seeds ({', '.join(map(str, section['seeds']))})"


def told(section: dict) -> str:
    """What the fine-tuning did to the mean FPR95, here and in the paper, in one sentence."""
    comparison, title = section["comparison"], section["dataset"]["title"]
    if "seeds" in section:
        title += f", {seeds_title(section)}"
    before, after = comparison["mean"]["models"]
    over = mean_title(comparison).replace("Mean of", "mean of")
    return (
        f"{title}: {section['models'][1]['label']} takes the FPR95, {over}, from "
        f"{cell_of(before['measured']['fpr95']).text} to "
        f"{cell_of(after['measured']['fpr95']).text} % "
        f"(the paper, over the same sets: {percent(before['paper']['fpr95'])} to "
        f"{percent(after['paper']['fpr95'])} %) and the accuracy from "
        f"{cell_of(comparison['accuracy'][0]['measured']).text} to "
        f"{cell_of(comparison['accuracy'][1]['measured']).text} % "
        f"(the paper: {percent(comparison['accuracy'][0]['paper'])} to "
        f"{percent(comparison['accuracy'][1]['paper'])} %)."
    )


def points(difference: float | None) -> str:
    """A difference of fractions in points, with its sign."""
    return "–" if difference is None else f"{100 * difference:+.2f}".replace("-", "−")


def scored_images(section: dict) -> str:
    """How many in-distribution images were scored, and of how many."""
    dataset = section["dataset"]
    return f"Test images: {dataset['note'] or format(dataset['num_images'], ',')}"


def paper_scope(row: dict) -> str:
    """Over how many sets the paper's number of a method is."""
    return f"{row['paper_sets']} sets"


def method_title(row: dict, section: dict) -> str:
    """A method of Table 2, with what it chose."""
    choice = section["models"][0].get("choices", {}).get(row["method"])
    return TITLES[row["method"]] + (f" ({values_text(choice)})" if choice else "")


def _averaged(section: dict) -> list[str]:
    runs = ", ".join(f"`{run}`" for run in section["runs"])
    return [
        f"## {inline(section['dataset']['title'])}: {inline(section['models'][1]['label'])}, "
        + seeds_title(section),
        f"{section['recipe']}; {runs}. {SPREAD} The paper's is over draws of one model.",
        "### Table 1 over seeds",
        _table1(section),
        "### Table 2 over seeds",
        _table2(section),
    ]


def _section(section: dict, name: str, figures: list) -> list[str]:
    comparison = section["comparison"]
    findings = Findings(section)
    dataset = section["dataset"]
    sets = [
        [entry["title"], status_text(entry), inline(entry["note"])] for entry in comparison["sets"]
    ]
    chosen = [f"* {inline(line)}" for line in choices(findings)]
    return [
        f"## {inline(dataset['title'])}: `{section['run']}`",
        f"{section['trained']}. {scored_images(section)}. "
        f"{section['protocol']['convention']}",
        markdown_table(["The paper's set", "Images", "Note"], sets),
        "### Table 1: before and after, energy",
        _table1(section),
        *([MISPRINT] if dataset["name"] == "cifar10" else []),
        "### Table 2: detectors on the base, and ours",
        f"{mean_title(comparison)}; where sets are missing, the paper's MSP, ODIN and Mahalanobis "
        "(printed as means of six sets only) do not compare.",
        _table2(section),
        *(["\n".join(chosen)] if chosen else []),
        "### Figures",
        "\n".join(f"![{description}]({name}-{stem}.png)" for stem, _, description, _ in figures),
        "### Images used",
        markdown_table(IMAGES_TITLES, images_used(findings), right=(1,)),
    ]


def _table1(section: dict) -> str:
    comparison = section["comparison"]
    labels = [model["label"] for model in section["models"]]
    titles = ["OOD set (ID positive)", ""]
    titles += [f"{label} {heading}" for label in labels for heading in _HEADINGS]
    sets = {entry["name"]: entry for entry in comparison["sets"]}
    rows = []
    for row in comparison["table1"]:
        rows += _three_lines(row_title(sets[row["set"]]), row["models"])
    rows += _three_lines(mean_title(comparison), comparison["mean"]["models"])
    accuracy = comparison["accuracy"]
    for kind in ("measured", "paper", "difference"):
        cells = [
            points(a[kind]) if kind == "difference" else cell_of(a[kind]).text for a in accuracy
        ]
        spread = [cell for text in cells for cell in (text, "", "")]
        rows.append(["Accuracy" if kind == "measured" else "", kind, *spread])
    return markdown_table(titles, rows, right=range(2, len(titles)))


def _three_lines(title: str, models: list[dict]) -> list[list[str]]:
    return [
        [title if kind == "measured" else "", kind]
        + [text for model in models for text in _texts(model[kind], kind)]
        for kind in ("measured", "paper", "difference")
    ]


def _texts(numbers: dict | None, kind: str) -> list[str]:
    if numbers is None:
        return ["–"] * len(METRICS)
    if kind == "difference":
        return [points(numbers[name]) for name in METRICS]
    return [cell_of(numbers[name]).text for name in METRICS]


def cell_of(number) -> Cell:
    """A mean with or without its deviation as a cell."""
    if isinstance(number, dict):
        return Cell(number["mean"], number["std"])
    return Cell(number)


def _table2(section: dict) -> str:
    titles = ["Method (ID positive)", *(f"measured {heading}" for heading in _HEADINGS)]
    titles += [*(f"paper {heading}" for heading in _HEADINGS), "paper's mean over"]
    titles += [f"difference {column.title}" for column in COLUMNS["in"]]
    rows = [
        [
            method_title(row, section),
            *_texts(row["measured"], "measured"),
            *_texts(row["paper"], "paper"),
            paper_scope(row),
            *_texts(row["difference"], "difference"),
        ]
        for row in section["comparison"]["table2"]
    ]
    return markdown_table(titles, rows, right=range(1, len(titles)))
