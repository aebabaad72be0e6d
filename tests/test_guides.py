"""The code of the guides runs, on small folders of real JPEG files made here."""

import csv
import importlib
import pathlib
import re

import code_blocks
import numpy as np
import pytest
from PIL import Image

import kerasood
from kerasood.data.registry import DATASETS
from kerasood.detectors import DETECTORS, registry
from kerasood.training import trainers

GUIDES = pathlib.Path(__file__).parent.parent / "docs" / "guides"


def write_photos(folder, colour, count, seed):
    """JPEG files of one colour with noise, 240 pixels wide."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.normal(colour, 40, (180, 240, 3)).clip(0, 255).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number}.jpg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "DETECTORS", dict(DETECTORS))
    monkeypatch.setattr("kerasood.detectors.DETECTORS", registry.DETECTORS)
    return tmp_path


def run(name):
    """The blocks of a guide in one namespace; returns it."""
    names = {}
    code_blocks.run(code_blocks.blocks_of_page(GUIDES / name), name, names)
    return names


@pytest.fixture
def photos(folder):
    write_photos(folder / "my_photos/cats", (200, 60, 60), 110, seed=0)
    write_photos(folder / "my_photos/dogs", (60, 60, 200), 110, seed=1)
    write_photos(folder / "other_photos", (60, 200, 60), 12, seed=2)
    return folder


def test_from_own_photos_to_answers_and_what_is_served_is_watched(photos):
    names = run("own_photos.md")
    text = (photos / "report/report.html").read_text(encoding="utf-8")
    assert f"Take {names['result'].results.chosen['detector']}" in text
    assert names["guarded"].calibration["tpr"] == 0.9
    files = {path.name for path in (photos / "exported/photos/1").iterdir()}
    assert files >= {"saved_model.pb", "model.tflite"}
    with open(photos / "scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [row["is_ood"].lower() for row in rows] == ["true"] * 12, "green is neither red nor blue"
    watched = run("monitor.md")
    assert len(watched["loud"].windows) == 5
    assert not watched["quiet"].drifted and watched["loud"].drifted_windows[-1].number == 5
    assert "<svg" in (photos / "drift.html").read_text(encoding="utf-8")
    assert "kerasood_drift" in watched["metrics"]


def test_an_ood_set_of_ones_own(photos, monkeypatch):
    monkeypatch.setitem(DATASETS, "belt", None)  # absent again when the test is over
    del DATASETS["belt"]
    (photos / "other_photos").rename(photos / "empty_belt")
    names = run("own_ood_set.md")
    assert names["sets"] == {"belt": 12, "blobs": 2000}


def test_the_paper_is_reproduced_on_own_images(photos):
    names = run("reproduce.md")
    assert names["base"].complete and names["tuned"].config.objective == "sparsity"
    assert [model["label"] for model in names["result"].results.models] == [
        "base", "+ sparsity (logits)"
    ]
    assert 0 <= names["before"] <= 1 and 0 <= names["after"] <= 1 and names["page"].exists()


def test_an_objective_of_ones_own(folder, monkeypatch):
    monkeypatch.setattr(trainers, "OBJECTIVES", dict(trainers.OBJECTIVES))
    blocks = code_blocks.blocks_of_page(GUIDES / "own_objective.md")
    printed = code_blocks.run(blocks, "own_objective.md")
    assert [text for text in printed if text] == [b.stated for b in blocks if b.stated]
    assert len(blocks) == 4


def test_a_detector_of_ones_own(folder):
    blocks = code_blocks.blocks_of_page(GUIDES / "own_detector.md")
    assert len(blocks) == 2
    code_blocks.run(blocks, "own_detector.md")


@pytest.mark.parametrize("page", sorted(GUIDES.glob("*.md")), ids=lambda page: page.name)
def test_links_of_guides_lead_to_pages(page):
    links = code_blocks.links_of_page(page)
    assert all((page.parent / target).exists() for target in links), links


def test_links_of_the_readme_and_the_start_page_lead_to_pages():
    root = GUIDES.parent.parent
    for page in (root / "README.md", root / "docs/index.md"):
        links = code_blocks.links_of_page(page)
        assert len(links) > 8
        assert all((page.parent / target).exists() for target in links), links


def test_the_site_has_every_page_and_every_public_name():
    docs = GUIDES.parent
    site = (docs.parent / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    assert pages == set(re.findall(r": ([\w/]+\.md)$", site, re.MULTILINE))
    described = re.findall(r"^::: (\S+)$", (docs / "api.md").read_text(encoding="utf-8"), re.M)
    for name in described:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    last = {name.rpartition(".")[2] for name in described}
    assert set(kerasood.__all__) - {"DETECTORS"} <= last
