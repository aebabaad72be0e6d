"""The code on documentation pages runs and prints what the page says; links lead somewhere."""

import pathlib
import re

import code_blocks
import pytest

from kerasood.detectors import DETECTORS, registry

DOCS = pathlib.Path(__file__).parent.parent / "docs"
# Pages and their least number of blocks.
PAGES = {"thresholds.md": 7, "zoo.md": 1, "detectors/README.md": 2, "detectors/gradients.md": 1}


@pytest.fixture(autouse=True)
def same_detectors(monkeypatch):
    """A page may register a detector of its own."""
    monkeypatch.setattr(registry, "DETECTORS", detectors := dict(DETECTORS))
    monkeypatch.setattr("kerasood.detectors.DETECTORS", detectors)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_prints_what_stands_below_it(page):
    blocks = code_blocks.blocks_of_page(DOCS / page)
    text = (DOCS / page).read_text(encoding="utf-8")
    assert len(blocks) == text.count("```python") >= PAGES[page]
    stated = [block.stated for block in blocks]
    assert None not in stated
    assert code_blocks.run(blocks, page) == stated


def test_blocks_are_found_with_what_they_are_said_to_print(tmp_path):
    page = tmp_path / "page.md"
    silent, wrong = "```python\nx = 1\n```\n\nProse.\n\n", "```python\nprint(x)\n```\n\n"
    page.write_text(silent + wrong + "```text\n2\n```\n")
    blocks = code_blocks.blocks_of_page(page)
    assert blocks == [("x = 1\n", None), ("print(x)\n", "2\n")]
    assert code_blocks.run(blocks, page) == ["", "1\n"]


def test_numbers_in_the_prose_are_those_of_the_table():
    text = (DOCS / "thresholds.md").read_text(encoding="utf-8")
    assert re.search(r"1,000 +951 +93\.57% to +96\.35%", text)
    assert "accepts the 951 lowest scores" in text
    assert "between 93.6 % and 96.4 %" in text


@pytest.mark.parametrize("page", [*PAGES, "tutorial.ipynb"])
def test_links_lead_to_pages_and_headings(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text)
    assert links or page == "thresholds.md"
    for target, anchor in links:
        path = (DOCS / page).parent / target if target else DOCS / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


def anchors(path):
    """What the headings of a Markdown page are called in links."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
