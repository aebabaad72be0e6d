"""Reads, decodes and asks: the images of a job as a stream of rows."""

import collections
import concurrent.futures
import itertools
import pathlib

import keras
import numpy as np

from kerasood.config import ENGINES
from kerasood.data.decoding import WORKERS, decode
from kerasood.errors import InvalidInputError
from kerasood.files import read_json
from kerasood.scoring.inputs import as_list, count, entries
from kerasood.scoring.models import open_scorer
from kerasood.scoring.summary import Summary
from kerasood.scoring.tables import Table


def score_files(
    model,
    images,
    out,
    *,
    batch_size=64,
    threads=None,
    part_size=10_000,
    resume=False,
    column=None,
    against=None,
    engine="local",
    address=None,
    workers=None,
    verbose=1,
):
    """Scores images and writes a row for each: label, probability, score, is_ood, valid, reason.

    A file that is no image has a row too, with `valid` false, `is_ood` true and the reason. Memory
    does not grow with the number of files. An image's answer is the same bits whatever else is
    scored with it, and on every worker of the same kind.

    Args:
        model: str or Path: SavedModel folder, .tflite, .onnx or .xml file, or .keras OODModel.
        images: str or Path or a list of these: see `kerasood.scoring.inputs.entries`.
        out: str or Path of the .csv or .parquet file to write; must not exist.
        batch_size: int, images in a pass.
        threads: int, threads that decode; one per core, at most 8, by default.
        part_size: int, rows that are kept at a time: what is lost at most when the job is killed.
        resume: bool, whether an unfinished job of the same settings goes on.
        column: str, the column of CSV lists that names the files.
        against: str or Path of an earlier output to compare with, or None.
        engine: "local", or "ray" for the workers of a Ray cluster (extra `ray`).
        address: str, of a running Ray cluster, or None to start Ray here.
        workers: int, actors of the engine "ray"; as many as there are CPUs by default.
        verbose: 0 or 1; 1 shows a progress bar with rate and time left.

    Returns:
        Summary.

    Raises:
        MissingDataError, InvalidInputError: model, images or settings are not what they must be.
    """
    threads = WORKERS if threads is None else threads
    sizes = {"batch_size": batch_size, "threads": threads, "part_size": part_size}
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInputError(f"Expected {name} >= 1. Received: {name}={value!r}")
    if engine not in ENGINES:
        raise InvalidInputError(f"Expected engine local or ray. Received: engine={engine!r}")
    if against is not None and not pathlib.Path(against).is_file():
        raise InvalidInputError(f"Expected an earlier output. Received: against={against}")
    if engine == "ray":
        from kerasood.scoring.on_ray import score_on_ray

        return score_on_ray(model, images, out, batch_size, column, against, address, workers)
    job = {
        "model": model_identity(model),
        "images": as_list(images),
        "column": column,
        "batch_size": batch_size,
    }
    table = Table(out, job, resume)
    with open_scorer(model, batch_size) as scorer:
        done = table.num_rows
        todo = itertools.islice(entries(images, column), done, None)
        bar = _progress(count(images, column) if verbose else None, done, verbose)
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


def scored(scorer, stream, threads=WORKERS):
    """Yields lists of rows, decoding in threads while the model computes.

    Args:
        scorer: Scorer.
        stream: iterable of Entry.
        threads: int, threads that decode.
    """
    ready = []
    ahead = 2 * scorer.batch_size
    for name, image in decoded(stream, scorer.image_shape, ahead, threads):
        ready.append((name, image))
        if len(ready) == scorer.batch_size:
            yield rows_of(scorer, ready)
            ready = []
    if ready:
        yield rows_of(scorer, ready)


def decoded(stream, image_shape, ahead, threads=WORKERS):
    """Yields (name, uint8 (H, W, C) or the reason why not) in order, `ahead` of them at work."""
    stream, waiting = iter(stream), collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        while True:
            for entry in itertools.islice(stream, ahead - len(waiting)):
                future = pool.submit(prepared, entry.content, image_shape)
                waiting.append((entry.name, future))
            if not waiting:
                return
            name, future = waiting.popleft()
            yield name, future.result()


def prepared(content, image_shape):
    """One image as the model takes it, uint8 (H, W, C), or the reason (str) why it cannot be."""
    if isinstance(content, np.ndarray):
        if content.shape != tuple(image_shape):
            return f"expected an image of shape {tuple(image_shape)}, not {content.shape}"
        return content
    height, width, channels = image_shape
    if height != width or channels != 3:
        return f"files need a model of square RGB images, not of shape {tuple(image_shape)}"
    return decode(content, height)


def rows_of(scorer, named):
    """The rows of up to a batch of (name, image or reason)."""
    images = [image for _, image in named if not isinstance(image, str)]
    answers = scorer.answer(np.stack(images)) if images else None
    rows, place = [], 0
    for name, image in named:
        if isinstance(image, str):
            rows.append(_unreadable(name, image))
            continue
        rows.append(
            {
                "file": name,
                "label": answers["label"][place],
                "probability": float(answers["probability"][place]),
                "score": float(answers["score"][place]),
                "is_ood": bool(answers["is_ood"][place]),
                "valid": True,
                "reason": "",
            }
        )
        place += 1
    return rows


def model_identity(model):
    """Facts that tell an exported model from another: name, size and what it says of itself."""
    path = pathlib.Path(model)
    main = path / "saved_model.pb" if path.is_dir() else path
    identity = [str(main), main.stat().st_size if main.exists() else None]
    facts = path / "assets.extra" / "kerasood.json"
    facts = facts if path.is_dir() else path.with_name(f"{path.name}.json")
    return [*identity, read_json(facts) if facts.is_file() else None]


def _unreadable(name, reason):
    nothing = dict.fromkeys(("probability", "score"))
    return {
        "file": name, "label": "", **nothing, "is_ood": True, "valid": False, "reason": reason
    }


def _progress(total, done, verbose):
    """A function of how many more images are done."""
    if not verbose:
        return lambda number: None
    bar = keras.utils.Progbar(total, unit_name="image")
    bar.add(done)
    return bar.add
