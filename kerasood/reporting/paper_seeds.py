"""One recipe trained with several seeds beside the paper's numbers: means and spread over runs."""

from kerasood.reporting.paper import compare


def averaged(sections: list[dict]) -> dict:
    """Sections of one recipe as one, over its training runs.

    Args:
        sections: of the suite, on the same sets.

    Returns:
        What a section's tables need, with the comparison over runs, and "seeds" and "runs".
    """
    first = sections[0]
    return {
        **{key: first[key] for key in ("title", "dataset", "protocol", "recipe")},
        "models": [{"label": model["label"]} for model in first["models"]],
        "seeds": [section["models"][1]["seed"] for section in sections],
        "runs": [section["run"] for section in sections],
        "comparison": compare(*sections),
    }
