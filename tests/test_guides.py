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


def test_from_own_photos_to_answers(folder):
    write_photos(folder / "my_photos/cats", (200, 60, 60), 110, seed=0)
    write_photos(folder / "my_photos/dogs", (60, 60, 200), 110, seed=1)
    write_photos(folder / "other_photos", (60, 200, 60), 12, seed=2)
    code_blocks.run(code_blocks.blocks_of_page(GUIDES / "own_photos.md"), "own_photos.md")
    assert "Take " in (folder / "report/report.html").read_text(encoding="utf-8")
    names = {path.name for path in (folder / "exported/photos/1").iterdir()}
    assert names >= {"saved_model.pb", "model.tflite"}
    with open(folder / "scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [row["is_ood"].lower() for row in rows] == ["true"] * 12, "green is neither red nor blue"


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
