"""LogitNorm: the direction of the logits is trained, their length is not."""

from keras import ops

from kerasood.errors import check_positive
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining


class LogitNormFineTuning(CrossEntropyTraining):
    """Cross-entropy of normalised logits: their direction is trained and their length is not.

    The network itself keeps its logits; `ce`, `energy` and the validation loss are theirs.

    Args:
        network: keras.Model, images -> logits (N, K).
        temperature: float > 0, tau.
        augmentation: keras layer or None.

    Raises:
        ValueError: a temperature that is not positive, or a network without logits.

    Reference:
        Wei et al., "Mitigating Neural Network Overconfidence with Logit Normalization", ICML 2022.
    """

    objective = "logit_norm"
    formula = "ce of logits of norm 1 / {temperature:g}"
    help = {"temperature": "norm 1 / temperature of the logits [.04]"}

    def __init__(self, network, temperature: float = 0.04, augmentation=None, **kwargs):
        check_positive(temperature=temperature)
        super().__init__(network, augmentation, **kwargs)
        self.temperature = temperature

    def training_loss(self, labels, ce, outputs):
        return ops.mean(objectives.logit_norm(labels, outputs["logits"], self.temperature))
