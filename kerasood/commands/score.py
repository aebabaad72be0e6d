"""`kerasood-score`: a row of answers for every file, from an exported model."""

import dataclasses

from kerasood.commands.common import console
from kerasood.errors import InvalidInputError
from kerasood.scoring import score_files


def score(config):
    """Scores the files of a ScoreConfig and prints the summary.

    Returns:
        kerasood.scoring.Summary.

    Raises:
        InvalidInputError, MissingDataError: see `score_files`.
    """
    if not (config.model and config.images and config.out):
        raise InvalidInputError(
            "Expected --model, --images and --out. Received: "
            f"model={config.model!r}, images={','.join(config.images)!r}, out={config.out!r}"
        )
    fields = dataclasses.asdict(config)
    model, images, out = (fields.pop(name) for name in ("model", "images", "out"))
    summary = score_files(
        model, list(images), out, verbose=int(console.is_terminal), **fields
    )
    console.print(f"{summary}\nrows: {out}")
    return summary
