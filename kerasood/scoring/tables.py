"""Rows on disk: parts that are whole or absent, joined into one CSV or Parquet file at the end."""

import csv
import json
import pathlib
import shutil

from kerasood.errors import InvalidInputError
from kerasood.files import atomic_path, check_writable, read_json, write_json

COLUMNS = ("file", "label", "probability", "score", "is_ood", "valid", "reason")
FORMATS = (".csv", ".parquet")


class Table:
    """An output file that grows by parts, so that an interrupted job can go on.

    Parts lie in `<path>.parts/` until `finish`; each says how many rows came before it.

    Args:
        path: str or Path that ends in .csv or .parquet.
        job: dict of JSON values that tell this job from another.
        resume: bool, whether parts of the same job that are there are kept.

    Raises:
        InvalidInputError: another suffix, or parts that are there and not of this job.
        FileExistsError: the output is there already.
    """

    def __init__(self, path, job, resume=False):
        self.path = pathlib.Path(path)
        if self.path.suffix not in FORMATS:
            raise InvalidInputError(f"Expected a {' or '.join(FORMATS)} file. Received: {path}")
        if self.path.exists():
            raise InvalidInputError(f"Expected an output that does not exist. Received: {path}")
        if self.path.suffix == ".parquet":
            _pyarrow()
        self.folder = self.path.with_name(f"{self.path.name}.parts")
        check_writable(self.folder)
        self._claim(job, resume)

    def _claim(self, job, resume):
        claim = self.folder / "job.json"
        if claim.exists() and not resume:
            raise InvalidInputError(
                f"Expected no unfinished job, or resume. Received: parts of one in {self.folder}"
            )
        if claim.exists() and read_json(claim) != json.loads(json.dumps(job)):
            raise InvalidInputError(
                "Expected the job that was begun: the same model, inputs and settings. "
                f"Received: parts of another in {self.folder}"
            )
        write_json(claim, job)

    @property
    def num_rows(self):
        """Rows in the parts so far: those of a job that goes on."""
        parts = self._parts()
        return int(parts[-1].stem.split("-")[1]) if parts else 0

    def append(self, rows):
        """Writes the next part: list of dicts with the keys of COLUMNS."""
        start = self.num_rows
        target = self.folder / f"{start:012d}-{start + len(rows):012d}.jsonl"
        with atomic_path(target) as temporary:
            lines = (json.dumps([row[name] for name in COLUMNS]) for row in rows)
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def rows(self):
        """Yields the rows of all parts as dicts, a part at a time in memory."""
        for part in self._parts():
            for line in part.read_text(encoding="utf-8").splitlines():
                yield dict(zip(COLUMNS, json.loads(line), strict=True))

    def finish(self):
        """Joins the parts into the output, and removes them."""
        with atomic_path(self.path) as temporary:
            write_rows(temporary, self.rows())
        shutil.rmtree(self.folder)

    def _parts(self):
        return sorted(self.folder.glob("*-*.jsonl"))


def write_rows(path, rows):
    """Writes dicts with the keys of COLUMNS as the CSV or Parquet file that `path` names."""
    (_write_parquet if path.suffix == ".parquet" else _write_csv)(path, rows)


def read_columns(path, *names):
    """Columns of a CSV or Parquet file that was written here: a list of values for each name."""
    path = pathlib.Path(path)
    if path.suffix == ".parquet":
        table = _pyarrow().parquet.read_table(path, columns=list(names))
        return [table.column(name).to_pylist() for name in names]
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [[_READERS.get(name, str)(row[name]) for row in rows] for name in names]


def _write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path, rows, group=100_000):
    arrow = _pyarrow()
    schema = parquet_schema()
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        held = []
        for row in rows:
            held.append(row)
            if len(held) == group:
                writer.write_table(arrow.Table.from_pylist(held, schema))
                held = []
        writer.write_table(arrow.Table.from_pylist(held, schema))


def parquet_schema():
    """Types of the columns; scores are float32, as the model gave them."""
    arrow = _pyarrow()
    kinds = {"probability": arrow.float32(), "score": arrow.float32()}
    kinds |= {"is_ood": arrow.bool_(), "valid": arrow.bool_()}
    return arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInputError(
            "Expected pyarrow for Parquet: pip install 'kerasood[parquet]'. Received: no pyarrow"
        ) from error
    return pyarrow


_READERS = {
    "probability": lambda text: float(text) if text else None,
    "score": lambda text: float(text) if text else None,
    "is_ood": lambda text: text == "True",
    "valid": lambda text: text == "True",
}
