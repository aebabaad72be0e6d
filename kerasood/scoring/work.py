"""A job: images in, a table of answers out, here or on the workers of a cluster."""

import itertools
import pathlib
import typing

import keras

from kerasood.config import ENGINES
from kerasood.data.decoding import WORKERS
from kerasood.errors import InvalidInputError
from kerasood.files import read_json
from kerasood.scoring.inputs import as_list, count, entries
from kerasood.scoring.models import open_scorer
from kerasood.scoring.on_ray import score_on_ray
from kerasood.scoring.rows import scored
from kerasood.scoring.summary import Summary
from kerasood.scoring.tables import Table


def score_files(
    model: str | pathlib.Path,
    images: typing.Any,
    out: str | pathlib.Path,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    part_size: int = 10_000,
    resume: bool = False,
    column: str | None = None,
    against: str | pathlib.Path | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    verbose: int = 1,
) -> Summary:
    """Scores images and writes a row for each: label, probability, score, is_ood, valid, reason.

    A file that is no image has a row too, with `valid` false, `is_ood` true and the reason. Memory
    does not grow with the number of files. An image's answer is the same bits whatever else is
    scored with it, and on every worker of the same kind.

    Args:
        model: SavedModel folder, .tflite, .onnx or .xml file, or .keras OODModel.
        images: str or Path or a list of these: see `kerasood.scoring.inputs.entries`.
        out: path of the .csv or .parquet file to write; must not exist.
        batch_size: images in a pass; by default 64, of large images fewer.
        threads: threads that decode; one per core, at most 8, by default; of the engine "local".
        part_size: rows that are kept at a time: what is lost at most when the job is killed.
        resume: whether an unfinished job of the same settings goes on; of the engine "local".
        column: the column of CSV lists that names the files.
        against: path of an earlier output to compare with, or None.
        engine: "local", or "ray" for the workers of a Ray cluster (extra `ray`).
        address: of a running Ray cluster, or None to start Ray here.
        workers: actors of the engine "ray"; as many as there are CPUs by default.
        verbose: 0 or 1; 1 shows a progress bar with rate and time left.

    Raises:
        MissingDataError, InvalidInputError: model, images or settings are not what they must be.
    """
    decoders = WORKERS if threads is None else threads
    _check_counts(batch_size=1 if batch_size is None else batch_size)
    _check_counts(threads=decoders, part_size=part_size)
    if engine not in ENGINES:
        raise InvalidInputError(f"Expected engine local or ray. Received: engine={engine!r}")
    if against is not None and not pathlib.Path(against).is_file():
        raise InvalidInputError(f"Expected an earlier output. Received: against={against}")
    _check_acts(
        engine,
        {"address": address, "workers": workers} if engine == "local"
        else {"resume": resume or None, "threads": threads},
    )
    if engine == "ray":
        return score_on_ray(model, images, out, batch_size, column, against, address, workers)
    job = {
        "model": model_identity(model), "images": as_list(images),
        "column": column, "batch_size": batch_size,
    }
    table = Table(out, job, resume)
    return _score_here(job, table, model, decoders, part_size, against, verbose)


def _check_counts(**counts):
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInputError(f"Expected {name} >= 1. Received: {name}={value!r}")


def _check_acts(engine, of_the_other):
    """Refuses arguments that the engine would ignore."""
    for name, value in of_the_other.items():
        if value is not None:
            raise InvalidInputError(
                f"Expected no {name} with the engine {engine}. Received: {name}={value!r}"
            )


def _score_here(job, table, model, threads, part_size, against, verbose):
    """Does what is left of a job into its Table, in this process."""
    with open_scorer(model, job["batch_size"]) as scorer:
        done = table.num_rows
        todo = itertools.islice(entries(job["images"], job["column"]), done, None)
        bar = _progress(count(job["images"], job["column"]) if verbose else None, done, verbose)
        held = []
        for rows in scored(scorer, todo, threads):
            held += rows
            bar(len(rows))
            while len(held) >= part_size:
                table.append(held[:part_size])
                held = held[part_size:]
        if held:
            table.append(held)
        summary = Summary.of(table.rows(), scorer.threshold, against)
    table.finish()
    return summary


def model_identity(model):
    """Facts that tell an exported model from another: name, size and what it says of itself."""
    path = pathlib.Path(model)
    main = path / "saved_model.pb" if path.is_dir() else path
    identity = [str(main), main.stat().st_size if main.exists() else None]
    facts = path / "assets.extra" / "kerasood.json"
    facts = facts if path.is_dir() else path.with_name(f"{path.name}.json")
    return [*identity, read_json(facts) if facts.is_file() else None]


def _progress(total, done, verbose):
    """A function of how many more images are done."""
    if not verbose:
        return lambda number: None
    bar = keras.utils.Progbar(total, unit_name="image")
    bar.add(done)
    return bar.add
