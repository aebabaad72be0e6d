"""Configuration of the export of a run; the command's flags are its fields."""

import dataclasses
import typing

from kerasood.config import BATCH_SIZE, OwnModel, ReadsData, option
from kerasood.errors import (
    InvalidInputError,
    check_positive,
    check_share,
    check_whole,
    check_whole_or_none,
)

# What is read only where a file is quantised.
OF_QUANTIZATION = ("ood", "evaluation_images")


@dataclasses.dataclass(frozen=True)
class ExportConfig(OwnModel, ReadsData):
    """Configuration of `python -m export`: one model, its detector and threshold as files."""

    run: str | None = option(None, "Run directory or zoo:NAME [the newest under runs/].")
    format: str = option(
        "all", "What to write; all: what is installed and can express the model.",
        ("saved_model", "tflite", "onnx", "openvino", "all"),
    )
    quantization: str = option(
        "none", "What becomes smaller in the TFLite file.", ("none", "float16", "dynamic", "int8")
    )
    ood: tuple[str, ...] = option(
        ("all",), "OOD sets a quantised file is evaluated on: all at hand, names, or name=path."
    )
    evaluation_images: int = option(2000, "Images of each set for that; 0: all of them.")
    verify: str | None = option(
        None, "Version directory whose files shall answer again as at their export; writes nothing."
    )
    out: str = option("exported", "Folder that receives MODEL/VERSION/.")
    name: str | None = option(None, "Name of the served model [the data set's name].")
    version: int | None = option(None, "Version number [the next free one].")
    max_megapixels: int = option(89, "Largest file that the SavedModel decodes; PNG: 54 at most.")
    detector: str = option(
        "auto",
        "Detector whose score and threshold ship in the graph; auto: chosen by in-distribution "
        "images alone.",
    )
    tpr: float = option(0.95, "Share of in-distribution images that the threshold shall accept.")
    tune: bool = option(True, "Whether a detector not fitted yet chooses its parameters.")
    validation_images: int = option(200, "Images to choose them on, and of each kind of outlier.")
    guarantee: str = option(
        "average",
        "Whether that share holds on average over calibrations, or for this one with confidence.",
        ("average", "confidence"),
    )
    confidence: float = option(0.95, "Confidence of that guarantee and of the stated interval.")
    step: bool = option(
        True, "Whether the detector keeps its step on the image, which TFLite cannot take."
    )
    per_class: bool = option(False, "Whether each predicted class gets a threshold of its own.")
    calibration: str | None = option(
        None, "In-distribution images, never trained on: a name, .npz or folder [the run's own]."
    )
    data_dir: str | None = option(None, "Folder that is searched for data before any download.")
    download: bool = option(True, "Whether missing data may be downloaded.")
    batch_size: int | None = option(None, BATCH_SIZE)
    seed: int = option(1, "Seed of the calibration split and the generated outliers.")

    def __post_init__(self):
        check_positive(max_megapixels=self.max_megapixels)
        check_whole(1, validation_images=self.validation_images)
        check_whole_or_none(1, batch_size=self.batch_size)
        check_whole(0, seed=self.seed, evaluation_images=self.evaluation_images)
        check_share(tpr=self.tpr, confidence=self.confidence)
        given = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        if given.pop("verify", None):
            _refuse(given, "--verify", "a version's files are asked as they are")
        if self.quantization == "none":
            _refuse({name: given[name] for name in OF_QUANTIZATION if name in given},
                    "no --quantization", "only a quantised file is evaluated")

    @property
    def max_pixels(self) -> int:
        """Pixels of the largest JPEG file that the SavedModel decodes."""
        return self.max_megapixels * 1_000_000

    @property
    def promise(self) -> typing.Any:
        """The Promise of the threshold."""
        from kerasood.thresholds import Promise  # here, since --help comes before SciPy

        return Promise(self.tpr, self.confidence, self.guarantee, self.per_class)


def _refuse(given, beside, reason):
    """Refuses flags that would not act: {name: value}."""
    if given:
        received = ", ".join(
            f"--{name}={','.join(value) if isinstance(value, tuple) else value}"
            for name, value in given.items()
        )
        raise InvalidInputError(
            f"Expected no {', '.join(f'--{name}' for name in given)} with {beside}: {reason}. "
            f"Received: {received}"
        )
