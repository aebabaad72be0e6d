"""Example images: which are picked, and that the page shows just these."""

import base64
import io
import re

import numpy as np
from example_results import SETS, example
from PIL import Image
from report_checks import Balance

from kerasood import reporting
from kerasood.data.open import open_source
from kerasood.data.source import ArraySource
from kerasood.reporting.decision import best_pair
from kerasood.reporting.examples import _read, example_images, pick, to_png
from kerasood.reporting.findings import Findings


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def test_mistakes_of_both_kinds_and_typical_ones_worked_by_hand():
    scores = {
        "in": np.array([0.1, 3.0, 0.2, 2.0, np.nan]),
        "a": np.array([0.5, 9.0, 0.4, 8.0, 7.0, 1.0]),
        "b": np.array([0.3, 6.0]),
    }
    missed, refused, flagged = pick(scores, threshold=1.0, count=4).values()
    # A score at the threshold is accepted, one that is no number is not.
    assert missed == [("b", 0), ("a", 2), ("a", 0), ("a", 5)]
    assert refused == [("in", 1), ("in", 3), ("in", 4)]
    assert flagged == [("a", 4), ("a", 3), ("b", 1)]


def sources_of(results, scores):
    """Images whose red is their set's number and whose green is their row."""
    names = ["in", *(entry["name"] for entry in results["sets"])]
    sources = {}
    for number, name in enumerate(names):
        images = np.zeros((len(scores["base", "energy", name]), 8, 8, 3), np.uint8)
        images[..., 0] = number
        images[..., 1] = np.arange(len(images))[:, None, None] % 256
        labels = np.arange(len(images), dtype=np.int32) % 2 if name == "in" else None
        sources[name] = ArraySource(name, images, labels, 2 if name == "in" else None,
                                    ("cat", "dog") if name == "in" else None)
    return sources


def test_the_images_are_those_of_the_scores():
    results, scores = example(num_models=2)
    sources, findings = sources_of(results, scores), Findings(results)
    group, detector = best_pair(findings)
    titles = ["CIFAR-10", *(title for _, title, *_ in SETS)]
    kinds = example_images(findings, scores, sources)
    assert [len(kind["images"]) for kind in kinds] == [8, 8, 5], "five far and near are flagged"
    for image in (image for kind in kinds for image in kind["images"]):
        number = titles.index(image["title"])
        name = ["in", *(name for name, *_ in SETS)][number]
        assert image["score"] == scores[group.models[0], detector, name][image["row"]]
        red, green, _ = pixels(image["png"])[0, 0]
        assert (red, green) == (number, image["row"] % 256)
        assert image["label"] == (("cat", "dog")[image["row"] % 2] if name == "in" else None)
        assert image["title"] != "Uniform noise"


def test_the_page_shows_them_without_a_request():
    results, scores = example()
    text = reporting.page(results, scores, sources_of(results, scores))
    parsed = Balance(text)
    found = [value for name, value in parsed.attributes if name == "src"]
    assert len(found) == 21 and all(src.startswith("data:image/png;base64,") for src in found)
    assert re.search(r'alt="CIFAR-10 image \d+, (cat|dog), score ', text)
    results["thresholds"] = []
    assert "Example images" not in reporting.page(results, scores, sources_of(results, scores))


def test_large_and_grey_images_become_small_pictures():
    assert pixels(to_png(np.full((300, 200, 3), 7, np.uint8))).shape == (96, 64, 3)
    assert pixels(to_png(np.full((8, 8, 1), 7, np.uint8))).tolist() == [[7] * 8] * 8


def test_rows_of_scores_count_readable_files_alone(tmp_path):
    for number in range(4):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((32, 32, 3), 50 * number, np.uint8)).save(path)
    (tmp_path / "1.png").write_bytes(b"no image")
    source = open_source(str(tmp_path), "test")
    assert {row: pixels(found["png"])[0, 0, 0] for row, found in _read(source, {3}).items()} == {
        3: 150
    }, "none was met as unreadable yet"
    scored = np.concatenate([images for images, _ in source.batches(2)])
    assert source.skipped and scored[:, 0, 0, 0].tolist() == [0, 100, 150]
    assert {row: pixels(found["png"])[0, 0, 0] for row, found in _read(source, {1, 2}).items()} == {
        1: 100, 2: 150
    }
