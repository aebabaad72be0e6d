"""NTOM and ATOM: the outliers of an epoch are those that the network finds hard."""

import keras
import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError, check_not_negative
from kerasood.extractor.input_gradient import gradient_of, with_float_input
from kerasood.training import objectives
from kerasood.training.trainers.reject_classes import RejectTraining, joint_logits

# Sets the draws of the pools apart from other random numbers of the same seed.
MINING_STREAM = 0x6E746F6D
# As published: 400,000 outliers for 50,000 images, of which 100,000 are mined.
POOL_PER_IMAGE = 8
MINED_SHARE = 0.25
QUANTILES = {"cifar10": 0.125, "cifar100": 0.5}


class OutlierMining(RejectTraining):
    """One reject class, trained on outliers that are neither the easiest nor the very hardest.

    Before every epoch a pool of at most eight outliers for each training image is drawn and sorted
    by its probability of the reject class, least first; the quarter of it that follows its
    quantile `quantile` is what the epoch trains on. Published for pretraining.

    Args:
        network: keras.Model of `network_for`, with the outputs "logits" and "reject_logits".
        quantile: float in [0, 0.75], q; 0 takes the hardest.
        weight: float >= 0.
        augmentation: keras layer or None.

    Reference:
        Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
        ECML 2021, algorithm 1 and section 4; NTOM is ATOM without attacks.
    """

    objective = "ntom"
    formula = "ce of K + 1 classes + {weight:g} * ce of outliers mined at quantile {quantile:g}"
    help = {
        "quantile": "of the pool's OOD probability, where mining starts [.125, CIFAR-100: .5]",
        "weight": "weight of the outliers' cross-entropy [1]",
    }

    def __init__(
        self, network, quantile: float | None = None, weight: float = 1.0, augmentation=None,
        **kwargs,
    ):
        quantile = QUANTILES["cifar10"] if quantile is None else quantile
        if not 0 <= quantile <= 1 - MINED_SHARE:
            raise InvalidInputError(
                f"Expected 0 <= quantile <= {1 - MINED_SHARE}. Received: quantile={quantile}"
            )
        super().__init__(network, weight, augmentation, **kwargs)
        self.quantile = quantile

    @classmethod
    def settle(cls, given, dataset=None):
        usual = QUANTILES.get(dataset, QUANTILES["cifar10"])
        return {"quantile": usual, **super().settle(given, dataset)}

    def begin_training(self, batches):
        self._seed = batches.seed
        self._pool_size = POOL_PER_IMAGE * batches.num_images

    def begin_epoch(self, epoch, outliers):
        generator = np.random.default_rng([self._seed, MINING_STREAM, epoch])
        size = min(self._pool_size, len(outliers))
        pool = generator.choice(len(outliers), size, replace=False).astype("int32")
        outputs = self.outputs_between_epochs(outliers[pool])
        odds = objectives.log_odds(outputs["logits"], outputs["reject_logits"])
        return pool[mined(odds, self.quantile)]


class AdversarialOutlierMining(OutlierMining):
    """Outlier mining with every second outlier changed so that the network accepts it sooner.

    The change is projected gradient ascent on the cross-entropy of the reject class, from a random
    start: `attack_steps` steps of `attack_step` grey levels in the sign of the gradient, within
    `attack` grey levels of the image.

    Args:
        network: as in `OutlierMining`; one that can be differentiated by its pixels.
        quantile: as in `OutlierMining`.
        weight: float >= 0.
        attack: float >= 0, largest change, pixels 0-255.
        attack_step: float >= 0, pixels 0-255.
        attack_steps: int >= 0.
        augmentation: keras layer or None.

    Reference:
        Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
        ECML 2021, eq. 4 and algorithm 1.
    """

    objective = "atom"
    formula = (
        "ce of K + 1 classes + {weight:g} * ce of outliers mined at quantile {quantile:g}, half of "
        "them attacked: {attack_steps} steps of {attack_step:g} within {attack:g} grey levels"
    )
    help = {
        "quantile": "of the pool's OOD probability, where mining starts [.125, CIFAR-100: .5]",
        "weight": "weight of the outliers' cross-entropy [1]",
        "attack": "largest change of a pixel, 0-255 [8]",
        "attack_step": "change of a pixel in a step, 0-255 [2]",
        "attack_steps": "steps of the attack [5]",
    }

    def __init__(
        self,
        network,
        quantile: float | None = None,
        weight: float = 1.0,
        attack: float = 8.0,
        attack_step: float = 2.0,
        attack_steps: int = 5,
        augmentation=None,
        **kwargs,
    ):
        check_not_negative(attack=attack, attack_step=attack_step, attack_steps=attack_steps)
        super().__init__(network, quantile, weight, augmentation, **kwargs)
        self.attack = attack
        self.attack_step = attack_step
        self.attack_steps = attack_steps
        self.seed_generator = keras.random.SeedGenerator()
        self.on_pixels = with_float_input(network)

    def perturbed(self, images, inputs):
        half = ops.shape(inputs["images"])[0] + ops.shape(inputs["outliers"])[0] // 2
        return ops.concatenate([images[:half], self.attacked(images[half:])])

    def attacked(self, images):
        """Images (M, H, W, C) after the attack, whole grey levels, in the type of `images`."""
        start = ops.cast(images, "float32")
        lowest, highest = (
            ops.clip(start + change, 0.0, 255.0) for change in (-self.attack, self.attack)
        )
        shape = ops.shape(start)
        noise = keras.random.uniform(shape, -self.attack, self.attack, seed=self.seed_generator)
        pixels = ops.clip(start + ops.round(noise), lowest, highest)
        for _ in range(self.attack_steps):
            step = self.attack_step * ops.sign(gradient_of(self._loss_out, pixels))
            pixels = ops.clip(pixels + step, lowest, highest)
        return ops.stop_gradient(ops.cast(ops.round(pixels), images.dtype))

    def _loss_out(self, pixels):
        outputs = self.on_pixels(pixels, training=False)
        rejected = -objectives.energy(outputs["reject_logits"])
        return ops.sum(-objectives.energy(joint_logits(outputs)) - rejected)


def mined(odds, quantile):
    """Rows of the quarter of a pool that follows a quantile of its odds, hardest first.

    Args:
        odds: (P,) float, of the reject class.
        quantile: float in [0, 0.75].

    Returns:
        int array of P // 4 rows, at least one.
    """
    start = int(quantile * len(odds))
    count = max(1, int(MINED_SHARE * len(odds)))
    return np.argsort(odds, kind="stable")[start : start + count]
