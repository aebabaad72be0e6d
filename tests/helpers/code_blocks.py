"""The code of documentation pages and notebooks, run in order in one namespace."""

import contextlib
import io
import json
import re
import typing

import keras

FENCED = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


class Block(typing.NamedTuple):
    """Code, and what it is said to print; None where nothing is said."""

    code: str
    stated: str | None


def blocks_of_page(path):
    """The fenced Python blocks of a Markdown page, each with the text block right below it."""
    found = FENCED.findall(path.read_text(encoding="utf-8"))
    return [Block(code, stated or None) for code, stated in found]


def links_of_page(path):
    """The files of the project that a Markdown page links to, without their headings."""
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))


def blocks_of_notebook(path):
    """The code cells of a notebook, each with the text that it printed when it was stored."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        Block(
            "".join(cell["source"]),
            "".join(
                "".join(output["text"])
                for output in cell["outputs"]
                if output["output_type"] == "stream" and output["name"] == "stdout"
            ),
        )
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def run(blocks, name, namespace=None):
    """Runs the blocks and returns what each prints.

    Args:
        blocks: list of Block.
        name: str, what tracebacks call the code.
        namespace: dict that the code runs in and leaves its names in; a new one by default.
    """
    keras.utils.set_random_seed(0)
    # Classes take their module from here; there must be one of that name.
    namespace, printed = {} if namespace is None else namespace, []
    namespace["__name__"] = "__main__"
    for index, block in enumerate(blocks):
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            exec(compile(block.code, f"{name}, block {index}", "exec"), namespace)
        printed.append(stdout.getvalue())
    return printed
