"""The network, its detector and its threshold as one model that answers for itself."""

import copy
import math
import typing
import warnings

import keras
import numpy as np
from keras import ops

from kerasood.data.passes import images_per_pass
from kerasood.detectors import Detector
from kerasood.detectors.saving import fitted_arrays, from_config, restore_arrays, to_config
from kerasood.errors import InvalidInputError
from kerasood.extractor.build import build_extractor, check_logits, is_extractor, output_names
from kerasood.extractor.input_gradient import SteppedExtractor
from kerasood.extractor.precision import in_float32
from kerasood.extractor.preprocessing import Preprocessing, preprocessing_of
from kerasood.serving.checks import (
    check_images,
    check_shape,
    checked_calibration,
    checked_names,
    checked_threshold,
)
from kerasood.training import objectives

OTHER_PRECISION = (
    "The extractor computed in less than float32 and computes in float32 from here on: its scores "
    "differ from those it gave before. Fit and calibrate on "
    "kerasood.extractor.precision.in_float32(extractor), or calibrate anew by kerasood.recalibrate."
)


@keras.saving.register_keras_serializable(package="kerasood")
class OODModel(keras.Model):
    """Classifies images and says which of them are out-of-distribution.

    The layers of `network` are shared, not copied; only one that computes in less than float32 is
    rebuilt in float32 from the same weights, as `build_extractor` does, since scores must not
    depend on which device answers and small runtimes lack bfloat16. For an extractor of your own a
    warning says so: a threshold from its scores in lower precision keeps no promise. The detector
    is copied as it was fitted.

    Args:
        network: keras.Model that `build_extractor` takes, images -> logits or softmax
            probabilities (N, K); or an extractor, images -> {"features": (N, D), "logits": (N, K)}.
        detector: Detector, fitted.
        threshold: float, or (K,) floats, one per predicted class, finite; or what `calibrate`
            or `calibrate_per_class` returned. Stored as float32; an image is OOD unless its
            score is at most that, so that a score that is not a number is OOD. Of equal logits the
            first class is predicted.

        preprocessing: as for `build_extractor`, of a network that was trained on other values than
            pixels 0-255 and is no extractor.
        class_names: K names of the classes, or None; they travel into files and exports.
        calibration: dict, the JSON of what `calibrate` returned; by default that of `threshold`.

    Input: uint8 (N, H, W, 3), pixels 0-255. Output, float32 unless said otherwise: "logits"
    (N, K), "probabilities" (N, K), "energy" (N,) at temperature 1, "score" (N,) of the detector,
    higher = more OOD, and "is_ood" (N,) bool.

    Raises:
        ValueError: the network's logits cannot be found; the detector is not fitted, or reads what
            the network does not give; or the threshold is not finite or not one per class.
    """

    def __init__(
        self,
        network: keras.Model,
        detector: Detector,
        threshold: typing.Any,
        name: str = "ood_model",
        preprocessing: typing.Any = None,
        class_names: typing.Sequence[str] | None = None,
        calibration: dict | None = None,
    ):
        super().__init__(name=name, dtype="float32")
        extractor = _as_extractor(network, preprocessing)
        self.network = in_float32(extractor)
        if self.network is not extractor:
            warnings.warn(OTHER_PRECISION, stacklevel=2)
        if isinstance(detector, _ToBeRestored):
            detector = detector.detector
        else:
            _check_detector(detector, self.network)
        self.detector = copy.deepcopy(detector)
        self._facts = _Untracked(
            checked_names(class_names, self.num_classes),
            checked_calibration(threshold, calibration),
        )
        threshold = getattr(threshold, "value", threshold)
        self.threshold = checked_threshold(threshold, self.num_classes)
        self._stepped = None
        if detector.input_step:
            self._stepped = SteppedExtractor(
                self.network, self.detector.input_loss, detector.input_step
            )
        self.built = True

    @property
    def image_shape(self) -> tuple:
        """(H, W, C) of the images; None where the network takes any size."""
        return tuple(self.network.inputs[0].shape[1:])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Tuple of K names, or None."""
        return self._facts.class_names

    @property
    def calibration(self) -> dict | None:
        """The threshold's promise as JSON that `thresholds.read_threshold` reads, or None."""
        return self._facts.calibration

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The Preprocessing inside the network, which also says how photographs are resized."""
        return preprocessing_of(self.network)

    @property
    def metadata(self) -> dict:
        """Metadata for exports: class names and calibration, where they are known."""
        preprocessing = self.preprocessing
        facts = {
            "class_names": self.class_names and list(self.class_names),
            "calibration": self.calibration,
            "preprocessing": {
                "resizing": preprocessing.resizing,
                "antialias": preprocessing.antialias,
            },
        }
        return {name: value for name, value in facts.items() if value is not None}

    @property
    def num_classes(self) -> int:
        return _output_shapes(self.network)["logits"][-1]

    def build(self, images_shape=None):
        self.built = True

    def call(self, images):
        check_shape(images.shape, keras.backend.standardize_dtype(images.dtype), self.image_shape)
        outputs = self.network(images, training=False)
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        to_score = self._stepped(images) if self._stepped is not None else outputs
        score = ops.cast(self.detector.score(to_score), "float32")
        threshold = threshold_per_image(self.threshold, outputs["logits"])
        return {
            "logits": outputs["logits"],
            "probabilities": ops.softmax(outputs["logits"], axis=-1),
            "energy": objectives.energy(outputs["logits"]),
            "score": score,
            "is_ood": is_beyond(score, threshold),
        }

    def predict(self, images, batch_size=None, verbose=0, **kwargs):
        """Answers for arrays of any length, batch by batch.

        Args:
            images: uint8 array (N, H, W, 3), pixels 0-255; or batches, as in `keras.Model.predict`.
            batch_size: int, of arrays; by default 128, of large images fewer.

        Returns:
            dict of NumPy arrays, as in the class.

        Raises:
            ValueError: dtype or shape is not what the network was trained on.
        """
        if images is None:
            raise InvalidInputError("Expected images, uint8 (N, H, W, C). Received: None")
        if isinstance(images, np.ndarray | list | tuple):
            images = check_images(images, self.image_shape)
            if not len(images):
                one = self(np.zeros((1, *images.shape[1:]), dtype="uint8"))
                return {name: ops.convert_to_numpy(output)[:0] for name, output in one.items()}
        if batch_size is None and hasattr(images, "shape"):
            pixels = math.prod(images.shape[1:3])
            batch_size = images_per_pass(pixels, gradient=self._stepped is not None, at_most=128)
        return super().predict(images, batch_size=batch_size, verbose=verbose, **kwargs)

    def save_own_variables(self, store):
        # A slash in a name would be a group of its own in the file.
        for name, value in fitted_arrays(self.detector).items():
            store[name.replace("/", ".")] = value

    def load_own_variables(self, store):
        arrays = {name.replace(".", "/"): np.asarray(store[name]) for name in store.keys()}
        restore_arrays(self.detector, arrays)
        for name, values in arrays.items():
            if np.isnan(values).any():
                raise InvalidInputError(
                    f"Expected numbers of {type(self.detector).__name__} in the file. "
                    f"Received: NaN in {name!r}"
                )
        self.detector.check_fits(_output_shapes(self.network))

    def get_config(self):
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(self.network),
            "detector": to_config(self.detector),
            "threshold": np.asarray(self.threshold).tolist(),
            "class_names": self.class_names,
            "calibration": self.calibration,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        detector = _ToBeRestored(from_config(config["detector"]))
        names = ("threshold", "name", "class_names", "calibration")
        return cls(network, detector, **{name: config[name] for name in names})


class _ToBeRestored(typing.NamedTuple):
    """A detector whose arrays are read after the model is built."""

    detector: Detector


class _Untracked(typing.NamedTuple):
    """Values that Keras would wrap if they were attributes of the model."""

    class_names: tuple | None
    calibration: dict | None

    def __deepcopy__(self, memo):
        return self


def _check_detector(detector, network):
    if not isinstance(detector, Detector):
        raise InvalidInputError(f"Expected a fitted Detector. Received: detector={detector!r}")
    to_config(detector)  # whose file could not be read back is refused before it is in use
    outputs = output_names(network)
    missing = detector.missing(outputs)
    if missing:
        raise InvalidInputError(
            f"Expected an extractor that gives {', '.join(missing)} too, for "
            f"{type(detector).__name__} (build_extractor's `hidden_layers` makes hidden/...). "
            f"Received: {', '.join(outputs)}"
        )
    detector.check_fits(_output_shapes(network))


def threshold_per_image(threshold: typing.Any, logits: typing.Any) -> typing.Any:
    """The threshold of the predicted class, of equal logits the first, as in `np.argmax`.

    `ops.argmax` would put ops into the graph that TFLite lacks.
    """
    if isinstance(threshold, float):
        return threshold
    classes = np.arange(len(threshold), dtype="int32")
    is_largest = ops.equal(logits, ops.max(logits, axis=-1, keepdims=True))
    candidates = ops.where(is_largest, classes, np.int32(len(threshold)))
    is_predicted = ops.equal(candidates, ops.min(candidates, axis=-1, keepdims=True))
    values = ops.where(is_predicted, np.array(threshold, "float32"), np.float32(0))
    return ops.sum(values, axis=-1)


def is_beyond(score: typing.Any, limit: typing.Any) -> typing.Any:
    """`not (score <= limit)`, so that a score that is not a number is beyond every limit.

    Grappler and TFLite's converter rewrite logical_not(less_equal) into greater, which NaN is not;
    they leave the comparison with 0 alone.
    """
    return ops.equal(ops.cast(ops.less_equal(score, limit), "int32"), 0)


def _as_extractor(network, preprocessing):
    if not is_extractor(network):
        extractor = build_extractor(network, preprocessing=preprocessing)
    elif preprocessing is None:
        extractor = network
    else:
        raise InvalidInputError(
            "Expected preprocessing for build_extractor, where this extractor was made, so that "
            f"detectors are fitted on what is served. Received: preprocessing={preprocessing!r}"
        )
    outputs = sorted(_output_shapes(extractor))
    if "logits" not in outputs:
        raise InvalidInputError(f"Expected an output 'logits'. Received: {outputs=}")
    check_logits(extractor)
    image_shape = extractor.inputs[0].shape
    if len(image_shape) != 4:
        raise InvalidInputError(
            f"Expected a network on (N, H, W, 3). Received: shape={image_shape}"
        )
    return extractor


def _output_shapes(network):
    return network.compute_output_shape(network.inputs[0].shape)
