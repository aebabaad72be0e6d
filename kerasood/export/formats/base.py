"""Format: all that is particular to one kind of exported file, in one class."""

import abc
import importlib.util
import pathlib

from kerasood.errors import InvalidInputError


class Format(abc.ABC):
    """One kind of exported file; `kerasood.export.register_format` adds one from outside.

    Attributes:
        name: str, what it is asked for by.
        file: str, its file in a version folder; "" where it is the folder itself.
        marker: str, the file that shows that it is there; by default `file`.
        packages: importable names that it needs beyond TensorFlow.
        quantizations: the kinds of Quantization that it takes.
        is_optional: whether an export of all formats may do without it.
    """

    name = ""
    file = ""
    packages = ()
    quantizations = ()
    is_optional = True

    @property
    def marker(self):
        return self.file

    @property
    def missing(self):
        """The packages that it needs and that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    def refuse(self, ood_model):
        """Raises Inexpressible where it is known beforehand that it cannot express the model."""
        return None

    @abc.abstractmethod
    def write(self, ood_model, path, metadata, quantization=None):
        """Writes a file, and its metadata where `read_metadata` finds them.

        Args:
            ood_model: OODModel.
            path: Path of the file.
            metadata: dict of JSON values; `build_metadata` adds the model's facts.
            quantization: Quantization of a kind that it takes, or None.

        Raises:
            Inexpressible: it lacks what the model needs.
        """

    @abc.abstractmethod
    def run(self, path, images, runtime=None):
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

    def runtimes(self):
        """Names of what can run it here, the one to prefer first; None where there is but one."""
        return (None,)

    def signatures(self, path):
        """{signature: (inputs, outputs)}, each {name: (dtype, sizes)}; -1 is any size.

        Empty where the format's own tools are to be asked.
        """
        return {}

    def finish(self, path, images, metadata, model_name):
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

    def holds(self, path):
        """True where there is a file of this format at a path."""
        path = pathlib.Path(path)
        if not self.file:
            return (path / self.marker).is_file()
        return path.suffix == pathlib.Path(self.file).suffix and path.is_file()

    def check_quantization(self, quantization):
        """Refuses a kind of Quantization that it does not take."""
        if quantization is not None and quantization.kind not in self.quantizations:
            raise InvalidInputError(
                f"Expected a format that can be quantised as {quantization.kind}. "
                f"Received: {self.name}"
            )
