"""The same work over Ray Data: an actor a worker holds the model, rows stream into Parquet."""

import os
import pathlib

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.files import atomic_path, check_writable
from kerasood.scoring.inputs import Entry, entries
from kerasood.scoring.models import open_scorer
from kerasood.scoring.rows import scored
from kerasood.scoring.summary import Summary
from kerasood.scoring.tables import COLUMNS, parquet_schema


class ScoringActor:
    """Holds an exported model in a worker's process and answers blocks of files.

    Args:
        model: str, path of the exported model, which every node can read.
        batch_size: int, images in a pass.
    """

    def __init__(self, model, batch_size):
        self._opened = open_scorer(model, batch_size)
        self._scorer = self._opened.__enter__()

    def __call__(self, block):
        import pyarrow

        named = zip(block["name"], block["content"], strict=True)
        stream = (Entry(str(name), _plain(content)) for name, content in named)
        rows = [row for part in scored(self._scorer, stream) for row in part]
        return pyarrow.Table.from_pylist(rows, parquet_schema())


def score_on_ray(model, images, out, batch_size, column, against, address, workers):
    """Scores files on a Ray cluster; arguments as of `kerasood.scoring.score_files`.

    Files travel as paths, which every node must be able to read; a block whose worker dies is
    computed again on another, so that each file is answered exactly once.

    Returns:
        Summary.

    Raises:
        InvalidInputError: Ray is not installed, or the output is no .parquet that can be written.
    """
    ray = _ray()
    out = pathlib.Path(out)
    if out.suffix != ".parquet" or out.exists():
        raise InvalidInputError(
            f"Expected a new .parquet output of the engine ray. Received: {out}"
        )
    check_writable(out.parent)
    with open_scorer(model, batch_size) as scorer:
        threshold, batch_size = scorer.threshold, scorer.batch_size
    listed = [{"name": entry.name, "content": _portable(entry)}
              for entry in entries(images, column)]
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, logging_level="error")
    workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    blocks = max(1, min(len(listed) // batch_size, 64 * workers))
    answered = ray.data.from_items(listed, override_num_blocks=blocks).map_batches(
        ScoringActor,
        fn_constructor_args=(os.fspath(model), batch_size),
        batch_size=4 * batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    return _written(answered, out, threshold, against)


def _written(answered, out, threshold, against):
    with atomic_path(out) as temporary:
        summary = Summary.of(_rows_written(answered, temporary), threshold, against)
    return summary


def _rows_written(answered, path):
    """Yields the rows of a Ray dataset as they are written."""
    import pyarrow.parquet

    schema = parquet_schema()
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for batch in answered.iter_batches(batch_format="pyarrow"):
            table = batch.select(list(COLUMNS)).cast(schema)
            writer.write_table(table)
            yield from table.select(["valid", "is_ood", "score"]).to_pylist()


def _portable(entry):
    if isinstance(entry.content, np.ndarray):
        raise InvalidInputError(
            f"Expected files for the engine ray. Received: an array, {entry.name}"
        )
    content = entry.content
    return content if isinstance(content, bytes) else os.path.abspath(content)


def _plain(content):
    """A path or a file's bytes, out of what Arrow made of them."""
    return content if isinstance(content, bytes) else str(content)


def _ray():
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InvalidInputError(
            "Expected Ray: pip install 'kerasood[ray]'. Received: no ray"
        ) from error
    return ray

