"""The tutorial notebook runs from its first cell to its last, and prints what is stored in it."""

import base64
import json
import logging
import pathlib
import re

import code_blocks
import matplotlib
import pytest

NOTEBOOK = pathlib.Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
NUMBER = re.compile(r"-?\d+(,\d{3})*(\.\d+)?(e[+-]?\d+)?")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to write to, figures without windows, and TensorFlow's log level put back after."""
    monkeypatch.chdir(tmp_path)
    backend, logger = matplotlib.get_backend(), logging.getLogger("tensorflow")
    level = logger.level
    matplotlib.use("agg")
    yield tmp_path
    from matplotlib import pyplot

    pyplot.close("all")
    matplotlib.use(backend)
    logger.setLevel(level)


def without_numbers(text):
    """Text whose numbers, which differ by processor, and columns, which follow them, are gone."""
    return re.sub(r"\s+", " ", NUMBER.sub("#", text))


def test_cells_print_what_is_stored_numbers_aside(elsewhere):
    blocks = code_blocks.blocks_of_notebook(NOTEBOOK)
    printed = code_blocks.run(blocks, NOTEBOOK.name)
    assert [without_numbers(text) for text in printed] == [
        without_numbers(block.stated) for block in blocks
    ]
    assert {path.name for path in (elsewhere / "exported/digits/1").iterdir()} >= {
        "saved_model.pb", "model.tflite"
    }


def test_the_notebook_is_stored_as_it_ran():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert {output["name"] for output in outputs if "name" in output} == {"stdout"}
    pictures = [output["data"]["image/png"] for output in outputs if "data" in output]
    assert len(pictures) == 2
    for picture in pictures:
        assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert NOTEBOOK.stat().st_size < 150_000


def test_cells_are_plain_python():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == kinds[-1] == "markdown"
    for block in code_blocks.blocks_of_notebook(NOTEBOOK):
        assert not re.search(r"^\s*[%!]", block.code, re.MULTILINE)


def test_only_numbers_and_spaces_are_set_aside():
    assert without_numbers("5 of 293,  p = 9.4e-15, -1.55  94.8%") == "# of #, p = #, # #%"
    assert without_numbers("Drift: 5") != without_numbers("No drift shown: 5")
