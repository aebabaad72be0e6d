"""Generalized ODIN: a head whose logits are a class's evidence over the evidence for the domain."""

import typing

from kerasood.networks.decomposed_head import DeconfHead
from kerasood.training.optimizers import NesterovSGD
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining
from kerasood.training.trainers.heads import with_outputs


class DecomposedConfidence(CrossEntropyTraining):
    """Cross-entropy of logits h_k(x) / g(x), whose numerators h_k keep out of weight decay.

    The network gets a `DeconfHead` in the place of its own, newly initialised, and has the outputs
    "numerators" and "divisor" that the detector `g_odin` scores. Published for pretraining.

    Args:
        network: keras.Model of `network_for`.
        similarity: what h_k is, "cosine", "inner" or "euclid": DeConf-C, -I and -E.
        augmentation: keras layer or None.

    Reference:
        Hsu et al., "Generalized ODIN: Detecting Out-of-distribution Image without Learning from
        Out-of-distribution Data", CVPR 2020, section 3.
    """

    objective = "g_odin"
    formula = "ce of {similarity} h_k / g, no decay on h"
    scored_by = "g_odin"
    help = {"similarity": "what a class's numerator measures [cosine]"}

    def __init__(
        self,
        network,
        similarity: typing.Literal["cosine", "inner", "euclid"] = "cosine",
        augmentation=None,
        **kwargs,
    ):
        super().__init__(network, augmentation, **kwargs)
        self.similarity = similarity

    @classmethod
    def network_for(cls, network, parameters):
        def head(features, logits):
            return DeconfHead(logits.shape[-1], parameters["similarity"], name="deconf")(features)

        return with_outputs(network, "numerators", head)

    def own_optimizers(self, optimizer):
        head = next(layer for layer in self.network.layers if isinstance(layer, DeconfHead))
        numerators = [head.kernel] + ([head.bias] if head.bias is not None else [])
        undecayed = NesterovSGD.from_config({**optimizer.get_config(), "l2": 0.0})
        return [(numerators, undecayed)]
