"""The table of docs/detectors/README.md says of every detector what its code says."""

import pathlib
import re

import pytest

from kerasood.detectors import DETECTORS

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "detectors"
ROW = re.compile(r"^\| \[`(\w+)`\]\((\w+\.md)\) \|(.*)\|$", re.MULTILINE)


def rows():
    """{name: (page, cells)} of the table."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    return {
        name: (page, [cell.strip() for cell in cells.split("|")])
        for name, page, cells in ROW.findall(text)
    }


def said_by_the_code(name):
    """Class, what it reads, what `fit` needs, formats and the grid, as the table words them."""
    detector = DETECTORS[name]()
    needs = {
        "training images": detector.learns,
        "labels": detector.needs_labels,
        "head": detector.needs_head,
    }
    takes_steps = "magnitude" in detector.get_params()
    return [
        f"`{type(detector).__name__}`",
        ", ".join(detector.reads),
        ", ".join(need for need, wanted in needs.items() if wanted) or "nothing",
        "SavedModel; TFLite without a step" if takes_steps else "SavedModel, TFLite",
        ", ".join(f"`{parameter}`" for parameter in detector.GRID),
    ]


def test_the_table_names_every_detector_once():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert rows().keys() == DETECTORS.keys()
    assert len(ROW.findall(text)) == len(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_row_says_what_the_code_says(name):
    page, (kind, paper, *others) = rows()[name]
    assert [kind, *others] == said_by_the_code(name)
    # The year, and the author, are those of the class's own reference.
    author, year = re.match(r"(\w+).*, (\d{4})$", paper).groups()
    reference = re.sub(r"\s+", " ", DETECTORS[name].__doc__.partition("Reference:")[2])
    assert author in reference
    assert year in reference
    described = (FOLDER / page).read_text(encoding="utf-8")
    assert f"`{name}`" in described or f"\n## {name}\n" in described


def test_steps_on_the_image_are_as_their_page_says():
    text = (FOLDER / "gradients.md").read_text(encoding="utf-8")
    stepping = {name for name, kind in DETECTORS.items() if "magnitude" in kind.GRID}
    row = r"^\| `(\w+)` .*\| ([\d.]+) \| 0 to ([\d.]+) \((\d+) values\) \|$"
    stated = re.findall(row, text, re.MULTILINE)
    assert {name for name, *_ in stated} == stepping
    for name, default, largest, count in stated:
        grid = DETECTORS[name].GRID["magnitude"]
        assert float(default) == DETECTORS[name]().magnitude
        assert (grid[0], grid[-1], len(grid)) == (0, float(largest), int(count))
