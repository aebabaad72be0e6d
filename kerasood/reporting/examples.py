"""Images to look at: the most confident mistakes of both kinds, and typical flagged ones."""

import base64
import io

import numpy as np

from kerasood.data.decoding import as_picture
from kerasood.data.source import selected
from kerasood.reporting.decision import best_pair
from kerasood.reporting.findings import Findings

_SIDE = 96


def example_images(findings: Findings, scores: dict, sources: dict, count: int = 8) -> list[dict]:
    """Example images of the first model and the detector that the decision takes.

    Args:
        findings: Findings.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        sources: {"in" or set name: ImageSource} in the order of the scores; sets without one, and
            generated sets, are left out.
        count: images of a kind, at most.

    Returns:
        [{"title", "images": [{"title", "row", "score", "label", "png"}]}], the PNG as base64
        text; empty without a threshold or scores.
    """
    pair = best_pair(findings)
    if pair is None:
        return []
    model, detector = pair[0].models[0], pair[1]
    entry = findings.threshold(model, detector)
    named = {each["name"]: each["title"] for each in findings.sets if each["role"] != "synthetic"}
    of = {
        name: np.asarray(scores[model, detector, name])
        for name in ("in", *named)
        if name in sources and (model, detector, name) in scores
    }
    if entry is None or "in" not in of:
        return []
    titles = {"in": findings.results["dataset"]["title"], **named}
    picked = pick(of, entry["threshold"]["value"], count)
    wanted: dict[str, set] = {}
    for name, row in (pair for pairs in picked.values() for pair in pairs):
        wanted.setdefault(name, set()).add(row)
    read = {name: _read(sources[name], rows) for name, rows in wanted.items()}
    return [
        {
            "title": title,
            "images": [
                {"title": titles[name], "row": row, "score": float(of[name][row]),
                 **read[name][row]}
                for name, row in pairs
            ],
        }
        for title, pairs in picked.items()
    ]


def pick(scores: dict, threshold: float, count: int) -> dict[str, list[tuple[str, int]]]:
    """Picks the images to show, {what they are: [(set, row)]}.

    Args:
        scores: {"in" or set name: (N,) scores}.
        threshold: above it an image is flagged.
        count: images of a kind, at most; the OOD sets share it evenly where they can.
    """
    sets = [name for name in scores if name != "in"]
    each = -(-count // max(len(sets), 1))
    missed, further, flagged = [], [], []
    for name in sets:
        order = np.argsort(scores[name], kind="stable")
        is_ood = ~(scores[name][order] <= threshold)
        accepted = [(name, int(row)) for row in order[~is_ood][:count]]
        missed, further = missed + accepted[:each], further + accepted[each:]
        above = order[is_ood]
        start = max((len(above) - each) // 2, 0)
        flagged += [(name, int(row)) for row in above[start : start + each]]

    def score(pair):
        return scores[pair[0]][pair[1]]

    spare = max(count - len(missed), 0)
    missed = sorted(missed + sorted(further, key=score)[:spare], key=score)
    highest = np.argsort(-scores["in"], kind="stable")
    refused = [("in", int(row)) for row in highest if not scores["in"][row] <= threshold]
    return {
        "OOD images that were not flagged, the most confident first": missed[:count],
        "In-distribution images that were flagged, the most confident first": refused[:count],
        "Typical OOD images that were flagged": flagged[:count],
    }


def _read(source, rows: set[int]) -> dict[int, dict]:
    """{row: {"png", "label"}} of some rows of the images that were scored."""
    wanted = np.array(sorted(rows))
    if source.skipped:
        # Rows of scores count readable files alone.
        chunks = list(selected(source.batches(250), wanted))
        images = np.concatenate([images for images, _ in chunks])
        labels = None if source.num_classes is None else np.concatenate([y for _, y in chunks])
    else:
        images = source.take(wanted)
        labels = None if source.labels is None else source.labels[wanted]
    names = source.class_names
    return {
        int(row): {
            "png": to_png(image),
            "label": None if labels is None else names[labels[i]] if names else int(labels[i]),
        }
        for i, (row, image) in enumerate(zip(wanted, images, strict=True))
    }


def to_png(image: np.ndarray) -> str:
    """An image, uint8 (H, W, C), as the base64 text of a PNG file of at most 96 pixels a side."""
    picture = as_picture(image)
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
