"""Outputs of a made-up classifier, with which detectors are compared and timed."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Images:
    """Outputs of a classifier for images, and their labels; -1 is an image of no class."""

    outputs: dict
    labels: np.ndarray


class Classifier:
    """A made-up classifier's last layers: features as after a ReLU and pooling, and a head.

    Each class has its pattern of activations, images of a class vary together in a few directions
    and by themselves in all, four in ten activations are zero, and images of no class show half of
    the patterns of two.

    Args:
        num_classes: int.
        num_features: int.
        seed: int.
    """

    def __init__(self, num_classes, num_features=128, seed=0):
        generator = np.random.default_rng(seed)
        patterns = generator.gamma(1.0, 1.0, (num_classes, num_features))
        self.means = patterns * (generator.random(patterns.shape) < 0.3)
        self.mixing = generator.normal(0, 1, (12, num_features)) / np.sqrt(12)
        kernel = (self.means - self.means.mean(axis=0)).T
        self.kernel = (kernel * 8 / np.linalg.norm(kernel, axis=0)).astype("float32") / 4
        self.bias = generator.normal(0, 0.1, num_classes).astype("float32")

    def images(self, num_images, seed, share_out=0.0):
        """Images of all classes in turn, the last share of them of no class.

        Args:
            num_images: int.
            seed: int.
            share_out: float in [0, 1].

        Returns:
            Images.
        """
        generator = np.random.default_rng(seed)
        num_classes, num_features = self.means.shape
        labels = np.arange(num_images) % num_classes
        typical = self.means[labels]
        labels[num_images - int(share_out * num_images):] = -1
        others = self.means[generator.integers(0, num_classes, num_images)]
        typical = np.where(labels[:, None] < 0, (typical + others) / 2, typical)
        noise = generator.normal(0, 0.5, (num_images, 12)) @ self.mixing
        noise += generator.normal(0, 0.3, (num_images, num_features))
        features = np.maximum(typical + noise, 0).astype("float32")
        hidden = np.maximum(features[:, ::2] - 0.2, 0)
        hidden += generator.random(hidden.shape) / 8
        outputs = {
            "features": features,
            "logits": features @ self.kernel + self.bias,
            "hidden/early": hidden,
        }
        return Images(outputs, labels)
