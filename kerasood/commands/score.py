"""`kerasood-score`: a row of answers for every file, from an exported model."""

import dataclasses

from kerasood.commands.common import console, run_command
from kerasood.config import option
from kerasood.errors import InvalidInputError
from kerasood.scoring import score_files
from kerasood.scoring.work import ENGINES


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Configuration of `kerasood-score`: one exported model over many files."""

    model: str | None = option(
        None, "SavedModel folder, .tflite, .onnx or .xml file, or .keras file of an OODModel."
    )
    images: tuple[str, ...] = option(
        (), "Folders, globs, image files, lists (.txt, .csv), .npz, .npy or .tar, comma-separated."
    )
    out: str | None = option(None, "The .csv or .parquet file to write; must not exist.")
    column: str | None = option(None, "Column of CSV lists that names the files [file, path...].")
    batch_size: int = option(64, "Images in a forward pass.")
    resume: bool = option(False, "Whether an unfinished job of the same settings goes on.")
    against: str | None = option(None, "Output of an earlier job to compare with.")
    engine: str = option("local", "This machine, or the workers of a Ray cluster.", ENGINES)
    address: str | None = option(None, "Address of a running Ray cluster [one started here].")
    workers: int | None = option(None, "Workers of the engine ray [one per CPU].")


def main():
    """Entry point of the console script."""
    run_command(ScoreConfig, score)


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
    console.print(f"{summary}\nrows: {out}", markup=False)
    return summary


if __name__ == "__main__":
    main()
