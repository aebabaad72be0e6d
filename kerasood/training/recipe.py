"""Recipe of a stage: optimiser, schedule and augmentation of the paper, and data sets' presets."""

import dataclasses
import typing

# What a data set wants instead of the recipe's values, unless a flag says otherwise.
PRESETS = {
    "digits": {
        "depth": 10,
        "width": 1,
        "dropout": 0.0,
        "pretrain_epochs": 15,
        "finetune_epochs": 10,
        "batch_size": 64,
        "crop": 2,
        "flip": False,
        # So small a network gains nothing from bfloat16.
        "precision": "float32",
    }
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Recipe of a training; by default the paper's fine-tuning.

    Args:
        epochs: int > 0.
        batch_size: int > 0, in-distribution images in a step.
        learning_rate: float > 0, of the first step; a cosine from there, step by step.
        final_learning_rate: float > 0, of the last step.
        momentum: float, of Nesterov's SGD.
        weight_decay: float >= 0, L2 inside the gradient of all parameters.
        crop: int >= 0, pixels of zero padding before the random crop; 0: no crop.
        flip: bool, whether images are mirrored at random.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.001
    final_learning_rate: float = 1e-6
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 4
    flip: bool = True

    def optimizer(self, steps_per_epoch: int | None = None) -> typing.Any:
        """The optimiser over all epochs; its learning rate stays where their length is unknown."""
        from kerasood.training.optimizers import NesterovSGD, cosine_schedule

        learning_rate = self.learning_rate
        if steps_per_epoch:
            learning_rate = cosine_schedule(
                learning_rate, self.final_learning_rate, steps_per_epoch * self.epochs
            )
        return NesterovSGD(learning_rate, momentum=self.momentum, l2=self.weight_decay)

    def augmentation(self, seed: int) -> typing.Any:
        """The augmentation layer, or None where nothing is to be done."""
        from kerasood.networks.augmentation import RandomCropFlip

        return RandomCropFlip(self.crop, self.flip, seed=seed) if self.crop or self.flip else None
