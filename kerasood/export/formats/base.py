"""Format: all that is particular to one kind of exported file, in one class."""

import abc
import importlib.util
import os
import pathlib
import typing

import keras
import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.export.metadata import build_metadata, write_metadata


class Format(abc.ABC):
    """One kind of exported file; `kerasood.export.register_format` adds one from outside.

    Attributes:
        name: str, what it is asked for by.
        file: str, its file in a version folder; "" where it is the folder itself.
        marker: str, the file that shows that it is there; by default `file`.
        deploys: one of `kerasood.export.deploy.TEMPLATES`, which is written beside its versions.
        packages: importable names that it needs beyond TensorFlow.
        quantizations: the kinds of Quantization that it takes.
        is_optional: whether an export of all formats may do without it.
    """

    name = ""
    file = ""
    deploys = None
    packages = ()
    quantizations = ()
    is_optional = True

    @property
    def marker(self) -> str:
        return self.file

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    def refuse(self, ood_model: keras.Model) -> None:
        """Raises Inexpressible where it is known beforehand that it cannot express the model."""
        return None

    def write(
        self, ood_model: keras.Model, path: str | os.PathLike, metadata: dict,
        quantization: typing.Any = None,
    ) -> pathlib.Path:
        """Writes a file, and its metadata where `read_metadata` finds them.

        Args:
            ood_model: OODModel.
            path: str or Path of the file.
            metadata: dict of JSON values; `build_metadata` adds the model's facts.
            quantization: Quantization of a kind that it takes, or None.

        Returns:
            Path of the file.

        Raises:
            Inexpressible: it lacks what the model needs.
            InvalidInputError: Keras runs on another backend than TensorFlow, `metadata` overrides
                the model's facts, or the format takes no such Quantization.
            StorageError: the path cannot be written.
        """
        path = pathlib.Path(path)
        if keras.backend.backend() != "tensorflow":
            raise InvalidInputError(
                "Expected the TensorFlow backend: set KERAS_BACKEND=tensorflow to export. "
                f"Received: backend={keras.backend.backend()!r}"
            )
        self.refuse(ood_model)
        self.check_quantization(quantization)
        if self.quantizations:
            metadata = {**metadata, "quantization": getattr(quantization, "kind", "none")}
        content = build_metadata(ood_model, metadata)
        self.convert(ood_model, path, metadata, quantization)
        write_metadata(path, content)
        return path

    @abc.abstractmethod
    def convert(
        self, ood_model: keras.Model, path: pathlib.Path, metadata: dict, quantization: typing.Any,
    ) -> None:
        """Writes the file alone; see `write`, which has checked the arguments."""

    @abc.abstractmethod
    def run(
        self, path: str | os.PathLike, images: np.ndarray, runtime: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers for images.

        Args:
            path: Path of a file.
            images: uint8 array (N, H, W, C), pixels 0-255; N may be 0.
            runtime: one of `runtimes()`, or None for the first.

        Returns:
            dict of NumPy arrays, one per output.

        Raises:
            InvalidInputError: the images do not match the file.
        """

    def runtimes(self) -> tuple[str | None, ...]:
        """Names of what can run it here, the one to prefer first; None where there is but one."""
        return (None,)

    def signatures(self, path: str | os.PathLike) -> dict:
        """{signature: (inputs, outputs)}, each {name: (dtype, sizes)}; -1 is any size.

        Empty where the format's own tools are to be asked.
        """
        return {}

    def finish(
        self, path: pathlib.Path, images: np.ndarray, metadata: dict, model_name: str,
    ) -> str | None:
        """Checks and adds what is particular to the format, once its answers are verified.

        Args:
            path: Path of the file.
            images: uint8 array (N, H, W, C).
            metadata: dict, as for `write`.
            model_name: str, what it will be served as.

        Returns:
            str, what a user should know, or None.
        """
        return None

    def holds(self, path: str | os.PathLike) -> bool:
        """True where there is a file of this format at a path."""
        path = pathlib.Path(path)
        if not self.file:
            return (path / self.marker).is_file()
        return path.suffix == pathlib.Path(self.file).suffix and path.is_file()

    def check_quantization(self, quantization: typing.Any) -> None:
        """Refuses a kind of Quantization that it does not take."""
        if quantization is not None and quantization.kind not in self.quantizations:
            raise InvalidInputError(
                f"Expected a format that can be quantised as {quantization.kind}. "
                f"Received: {self.name}"
            )
