"""The code on docs/thresholds.md runs, and prints what the page says."""

import contextlib
import io
import pathlib
import re

import keras

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "thresholds.md"
BLOCKS = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def printed_by_the_blocks(text):
    """What each block prints, in one namespace from the first to the last."""
    keras.utils.set_random_seed(0)
    namespace, outputs = {}, []
    for code, _ in BLOCKS.findall(text):
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            exec(compile(code, str(PAGE), "exec"), namespace)
        outputs.append(stdout.getvalue())
    return outputs


def test_every_block_prints_what_stands_below_it():
    text = PAGE.read_text(encoding="utf-8")
    stated = [output for _, output in BLOCKS.findall(text)]
    assert len(stated) == text.count("```python") >= 7
    assert printed_by_the_blocks(text) == stated


def test_numbers_in_the_prose_are_those_of_the_table():
    text = PAGE.read_text(encoding="utf-8")
    assert re.search(r"1,000 +951 +93\.57% to +96\.35%", text)
    assert "accepts the 951 lowest scores" in text
    assert "between 93.6 % and 96.4 %" in text
