"""State dicts of the outlier-exposure code's WideResNet, and its forward pass in NumPy float64.

Written from the description of that network, in its own layout (N, C, H, W), apart from ours.
"""

import numpy as np

MEAN, STD = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])


def torch_state(depth=10, width=1, num_classes=4, seed=0):
    """{key: float32 array} with batch statistics and biases that are not those of a fresh one."""
    generator = np.random.default_rng(seed)
    state = {}

    def convolution(name, out, channels, size):
        std = (2 / (size * size * out)) ** 0.5
        state[f"{name}.weight"] = generator.normal(0, std, (out, channels, size, size))

    def batch_norm(name, channels):
        state[f"{name}.weight"] = generator.uniform(0.5, 1.5, channels)
        state[f"{name}.bias"] = generator.normal(0, 0.3, channels)
        state[f"{name}.running_mean"] = generator.normal(0, 0.3, channels)
        state[f"{name}.running_var"] = generator.uniform(0.5, 2, channels)

    convolution("conv1", 16, 3, 3)
    channels = 16
    for stage, out in enumerate((16 * width, 32 * width, 64 * width), start=1):
        for block in range((depth - 4) // 6):
            name = f"block{stage}.layer.{block}"
            batch_norm(f"{name}.bn1", channels)
            convolution(f"{name}.conv1", out, channels, 3)
            batch_norm(f"{name}.bn2", out)
            convolution(f"{name}.conv2", out, out, 3)
            if channels != out:
                convolution(f"{name}.convShortcut", out, channels, 1)
            channels = out
    batch_norm("bn1", channels)
    state["fc.weight"] = generator.normal(0, 3 * channels**-0.5, (num_classes, channels))
    state["fc.bias"] = generator.normal(0, 1, num_classes)
    return {key: array.astype("float32") for key, array in state.items()}


class TorchTwin:
    """uint8 images (N, H, W, 3) -> logits (N, K), both in float64, from a state dict."""

    def __init__(self, state, mean=MEAN, std=STD):
        self.state = {key: array.astype("float64") for key, array in state.items()}
        self.mean, self.std = mean, std

    def convolution(self, x, name, stride=1):
        kernel = self.state[f"{name}.weight"]
        size = kernel.shape[-1]
        x = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
        rows = [x[:, :, row : x.shape[2] - size + 1 + row : stride] for row in range(size)]
        return sum(
            np.einsum(
                "nchw,oc->nohw",
                rows[i][:, :, :, j : x.shape[3] - size + 1 + j : stride],
                kernel[:, :, i, j],
            )
            for i in range(size)
            for j in range(size)
        )

    def batch_norm_relu(self, x, name):
        gamma, beta, mean, variance = (
            self.state[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)

    def block(self, x, name, stride):
        active = self.batch_norm_relu(x, f"{name}.bn1")
        residual = self.convolution(active, f"{name}.conv1", stride)
        residual = self.convolution(self.batch_norm_relu(residual, f"{name}.bn2"), f"{name}.conv2")
        if residual.shape[1] == x.shape[1]:
            return x + residual
        return self.convolution(active, f"{name}.convShortcut", stride) + residual

    def __call__(self, images):
        x = (images / 255 - self.mean / 255) / (self.std / 255)
        x = self.convolution(x.transpose(0, 3, 1, 2), "conv1")
        blocks = sum(key.startswith("block1.") and "conv2" in key for key in self.state)
        for stage in (1, 2, 3):
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = self.block(x, f"block{stage}.layer.{block}", stride)
        features = self.batch_norm_relu(x, "bn1").mean(axis=(2, 3))
        return features @ self.state["fc.weight"].T + self.state["fc.bias"]
