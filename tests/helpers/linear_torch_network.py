"""The network of linear_network.py in PyTorch."""

import linear_network
import numpy as np


def tensor(values):
    import torch

    return torch.from_numpy(np.asarray(values))


def standardised(images):
    """What the network of linear_network.py makes of its images, channels first."""
    pixels = (images / 255.0 - np.array(linear_network.MEAN)) / np.array(linear_network.STD)
    return tensor(pixels.transpose(0, 3, 1, 2).astype("float32").copy())


def torch_network():
    """The network of linear_network.py after its standardisation."""
    from torch import nn

    class Flat(nn.Module):
        def forward(self, images):
            return images.permute(0, 2, 3, 1).flatten(1)

    hidden = nn.Linear(*linear_network.HIDDEN.shape, bias=False)
    head = nn.Linear(*linear_network.KERNEL.shape)
    hidden.weight.data = tensor(linear_network.HIDDEN.T.astype("float32").copy())
    head.weight.data = tensor(linear_network.KERNEL.T.astype("float32").copy())
    head.bias.data = tensor(linear_network.BIAS.astype("float32"))
    return nn.Sequential(Flat(), hidden, nn.Tanh(), head)
