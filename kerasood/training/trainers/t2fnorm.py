"""T2FNorm: features of one length while the network trains, their own length when it scores."""

import keras
from keras import ops

from kerasood.errors import check_positive
from kerasood.extractor.build import attached_extractor, head_layer
from kerasood.extractor.head import LinearHead, linear
from kerasood.networks.augmentation import Standardize
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining

SCALED = "scaled_features"
SMALLEST_NORM = 1e-12


class FeatureNormTraining(CrossEntropyTraining):
    """Cross-entropy of the head on features of length 1 / temperature.

    The network divides its features by the temperature before its head, always; their length is
    taken away in training alone, so that it tells in-distribution images when they are scored.
    `ce`, `energy` and the validation loss are those of the network as it is scored. Published for
    pretraining.

    Args:
        network: keras.Model of `network_for`.
        temperature: float > 0, tau.
        augmentation: keras layer or None.

    Raises:
        ValueError: a temperature that is not positive, or a network whose head cannot be found.

    Reference:
        Regmi et al., "T2FNorm: Train-time Feature Normalization for OOD Detection in Image
        Classification", CVPR Workshops 2024, eq. 4.
    """

    objective = "t2fnorm"
    formula = "ce of features of norm 1 / {temperature:g}"
    help = {"temperature": "norm 1 / temperature of the features [.1]"}

    def __init__(self, network, temperature: float = 0.1, augmentation=None, **kwargs):
        check_positive(temperature=temperature)
        super().__init__(network, augmentation, **kwargs)
        self.temperature = temperature
        self.read_features()
        self._head = head_layer(network)

    @classmethod
    def network_for(cls, network, parameters):
        extractor = attached_extractor(network)
        if any(layer.name == SCALED for layer in network.layers):
            return network
        features = extractor.output["features"]
        width = features.shape[-1]
        temperatures = (parameters["temperature"],) * width
        scale = Standardize((0.0,) * width, temperatures, dtype="float32", name=SCALED)
        logits = LinearHead(head_layer(network), name="logits_of_scaled")(scale(features))
        return keras.Model(network.inputs[0], logits, name=network.name)

    def training_loss(self, labels, ce, outputs):
        features = outputs["features"]
        norms = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + SMALLEST_NORM)
        logits = linear(self._head, features / (self.temperature * norms))
        return ops.mean(objectives.cross_entropy(labels, logits))
