"""Logged answers: JSON lines of clients, CSV and Parquet of scored files."""

import csv
import json
import os
import pathlib

from kerasood.errors import InvalidInputError, MissingDataError
from kerasood.scoring.tables import read_columns

TABLES = (".csv", ".parquet")


def read_answers(logs):
    """Reads answers in the order of their time; those of one time stay in the order of the files.

    Args:
        logs: str or Path or a list of these: .jsonl as the clients' `--log` writes them, or a .csv
            or .parquet of `score_files`, which have no times.

    Returns:
        list of dicts with "is_ood" (bool), "label" (str) and "time" (float seconds since 1970, or
        None), of the images that could be read.

    Raises:
        MissingDataError: a file does not exist.
        InvalidInputError: a line or a column is missing, or an answer is not what it must be.
    """
    several = isinstance(logs, list | tuple)
    answers = []
    for path in map(pathlib.Path, logs if several else [logs]):
        if not path.is_file():
            raise MissingDataError(f"Expected a log of answers. Received: {path}, which is missing")
        reader = _of_table if path.suffix in TABLES else _of_lines
        answers += [answer for answer in reader(path) if answer.pop("valid")]
    if all(answer["time"] is not None for answer in answers):
        answers.sort(key=lambda answer: answer["time"])
    return answers


def _of_lines(path):
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    # A line that a client is writing just now is read the next time.
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for number, line in enumerate(lines, start=1):
        where = f"{os.fspath(path)}:{number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            raise InvalidInputError(f"Expected JSON in {where}. Received: {error}") from error
        yield _checked(content, where)


def _of_table(path):
    try:
        columns = read_columns(path, "is_ood", "label", "valid")
    except (KeyError, csv.Error) as error:
        raise InvalidInputError(
            f"Expected the columns is_ood, label and valid in {path}. Received: none of {error}"
        ) from error
    for is_ood, label, valid in zip(*columns, strict=True):
        yield {"is_ood": is_ood, "label": label, "valid": valid, "time": None}


def _checked(content, where):
    wanted = {"is_ood": bool, "label": str, "valid": bool, "time": int | float | None}
    defaults = {"valid": True, "label": "", "time": None}
    content = {**defaults, **content} if isinstance(content, dict) else {}
    for name, kind in wanted.items():
        value = content.get(name)
        if not isinstance(value, kind) or name == "time" and isinstance(value, bool):
            raise InvalidInputError(
                f"Expected an answer with a {name} in {where}. Received: {value!r}"
            )
    return {name: content[name] for name in wanted}
