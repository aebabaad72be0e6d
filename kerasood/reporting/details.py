"""What results were made of: the images, and the parameters that detectors chose."""

from kerasood.reporting.findings import Findings

_SHORT = {"temperature": "T"}


def choices(findings: Findings) -> list[str]:
    """What detectors chose their parameters to be, and on what, one line each."""
    return [
        f"{model['label']}: {name}, {chosen_text(choice)}"
        for model in findings.models
        for name, choice in model.get("choices", {}).items()
    ]


def chosen_text(choice: dict) -> str:
    """What a detector chose, and from what: "T = 1000, magnitude = 0.0014, chosen on ..."."""
    return (
        f"{values_text(choice)}, chosen on {choice['images']} and outliers made from them "
        f"({', '.join(choice['outliers'])}) by {choice['criterion']}"
    )


def values_text(choice: dict) -> str:
    """The chosen values alone: "T = 1000, magnitude = 0.0014"."""
    return ", ".join(
        f"{_SHORT.get(key, key)} = {value_text(value)}" for key, value in choice["chosen"].items()
    )


def value_text(value) -> str:
    """A parameter's value, a number or a word."""
    return value if isinstance(value, str) else f"{value:g}"


def images_used(findings: Findings) -> list[list[str]]:
    """Title, count and first digits of the SHA-256 of every set of images that was used.

    Where models used different images under one name, the title says which.
    """
    dataset = findings.results["dataset"]
    titles = {entry["name"]: entry["title"] for entry in findings.sets}
    titles["in"] = f"{dataset['title']}, {dataset['split']}"
    used: dict[tuple, list[str]] = {}
    for model, sets in findings.results.get("images", {}).items():
        for name, facts in sets.items():
            key = (name, facts["num_images"], facts["sha256"])
            used.setdefault(key, []).append(findings.labels[model])
    names = [name for name, _, _ in used]
    rows = []
    for (name, count, digest), models in used.items():
        title = titles.get(name, name)
        title += f" ({', '.join(models)})" if names.count(name) > 1 else ""
        rows.append([title, f"{count:,}", digest[:12]])
    return rows
