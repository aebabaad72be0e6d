"""The usual PyTorch training of a WideResNet, for `benchmarks.train`; PyTorch is no dependency."""

import contextlib

import torch
from torch import nn

from kerasood.networks.augmentation import CIFAR_MEAN, CIFAR_STD


class Block(nn.Module):
    """Pre-activation block: batch norm and ReLU feed both branches where the channels change."""

    def __init__(self, channels, out, stride, dropout):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = None
        if channels != out:
            self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x):
        active = self.norm1(x).relu()
        shortcut = x if self.shortcut is None else self.shortcut(active)
        inner = self.norm2(self.conv1(active)).relu()
        return shortcut + self.conv2(self.dropout(inner))


def wide_resnet(depth, width, num_classes, dropout):
    """nn.Module from standardised images (N, 3, H, W) to logits."""
    layers, channels = [nn.Conv2d(3, 16, 3, padding=1, bias=False)], 16
    for out, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
        for block in range((depth - 4) // 6):
            layers.append(Block(channels, out, 1 if block else stride, dropout))
            channels = out
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(channels, num_classes))


def epoch_function(config, images, labels, num_classes, compiled, precision):
    """Returns a function of the epoch's number that trains for one.

    Args:
        config: TrainBenchmarkConfig.
        images: uint8 (N, H, W, 3).
        labels: int32 (N,).
        num_classes: int.
        compiled: bool, whether by torch.compile.
        precision: "float32" or "mixed_bfloat16".
    """
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.from_numpy(images).to(device)
    labels = torch.from_numpy(labels).long().to(device)
    model = wide_resnet(config.depth, config.width, num_classes, config.dropout)
    model = model.to(device, memory_format=torch.channels_last)
    network = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1_000_000)
    autocast = contextlib.nullcontext()
    if precision == "mixed_bfloat16":
        autocast = torch.autocast(device, torch.bfloat16)

    def epoch(number):
        total = torch.zeros((), device=device)
        for chosen in torch.randperm(len(images), device=device).split(config.batch_size):
            with autocast:
                logits = network(augmented(images[chosen]))
            loss = nn.functional.cross_entropy(logits.float(), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        # Waits for the device.
        return float(total)

    return epoch


def augmented(images, padding=4):
    """Each image (H, W, 3) of a batch shifted and mirrored on its own: (N, 3, H, W) standardised.

    Channels stay last in memory.
    """
    count, height, width, _ = images.shape
    draw = {"device": images.device}
    rows = torch.randint(2 * padding + 1, (count, 1), **draw) + torch.arange(height, **draw)
    columns = torch.randint(2 * padding + 1, (count, 1), **draw) + torch.arange(width, **draw)
    mirrored = torch.rand((count, 1), **draw) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = nn.functional.pad(images, (0, 0, padding, padding, padding, padding))
    of_image = torch.arange(count, **draw)[:, None, None]
    pixels = padded[of_image, rows[:, :, None], columns[:, None, :]].float()
    standardized = (pixels - pixels.new_tensor(CIFAR_MEAN)) / pixels.new_tensor(CIFAR_STD)
    return standardized.permute(0, 3, 1, 2)
