"""docs/serving.md against the exported signatures and the limits in the code."""

import pathlib
import re

from tf_serving import raw_model

from kerasood.data import decoding
from kerasood.export.checks.warmup import BATCH_SIZES

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def names_in(cell):
    return re.findall(r"`(\w+)`", cell)


def test_the_table_of_signatures(served_export):
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` (\w+) .*?\) \| (.*) \|$", PAGE, re.M)
    outputs = {name: names_in(cell) for name, _, _, cell in rows}
    with raw_model(served_export.folder) as model:
        assert outputs.keys() == model.calls.keys()
        for name, input_name, dtype, _ in rows:
            definition = model.signatures[name]
            assert list(definition.inputs) == [input_name]
            assert dtype == {"images": "uint8", "image_bytes": "string"}[input_name]
            listed = [
                output
                for mentioned in outputs[name]
                for output in outputs.get(mentioned, [mentioned])
            ]
            assert sorted(listed) == sorted(definition.outputs)


def test_limits():
    assert f"more than {decoding.MAX_PIXELS // 10**6} million pixels" in PAGE
    assert BATCH_SIZES == (1, 8) and "one and of eight images" in PAGE
