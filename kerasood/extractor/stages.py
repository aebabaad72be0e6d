"""Picks a few layers that show an image at its several resolutions."""

import math
import typing

_MERGES = {"Add", "Concatenate"}
_PADDINGS = {"Cropping2D", "ZeroPadding2D"}  # they prepare a convolution of the next stage


class LayerOutput(typing.NamedTuple):
    """One layer's output: name, shape (N, H, W, C), layer or operation, and where it lies."""

    name: str
    shape: tuple
    operation: object
    located: object = None


def last_of_stages(outputs, image_size, count=4):
    """The last layer at each resolution, before the next one halves it.

    Where the stage has residual sums or concatenations, the last of them: what follows, such as
    the next block's batch norm, already belongs to the next stage.

    Args:
        outputs: list of LayerOutput in order of computation.
        image_size: int, height of the images in pixels.
        count: int, stages to keep at most, the last ones.

    Returns:
        list of LayerOutput, whose names are unique: a later call of "relu" becomes "relu_2".
    """
    stages, learned = {}, False
    for output in outputs:
        learned = learned or bool(getattr(output.operation, "weights", None))
        height, width = _height_and_width(output.shape)
        padding = type(output.operation).__name__ in _PADDINGS
        if not learned or padding or not height or not width or height * width == 1:
            continue
        stage = stages.setdefault(max(0, round(math.log2(image_size / height))), [])
        stage.append(output)
    chosen = []
    for _, stage in sorted(stages.items()):
        merges = [one for one in stage if type(one.operation).__name__ in _MERGES]
        chosen.append((merges or stage)[-1])
    return _uniquely_named(chosen[-count:])


def height_of(shape):
    """The height in a shape (N, H, W, C); None where it is open or the shape is another."""
    return _height_and_width(shape)[0]


def channels_last(shape, channels_first):
    """A shape (N, C, H, W) as (N, H, W, C) where channels come first; any other as it is."""
    if len(shape) == 4 and channels_first:
        return (shape[0], *shape[2:], shape[1])
    return tuple(shape)


def _uniquely_named(outputs):
    named = {}
    for one in outputs:
        name, number = one.name, 1
        while name in named:
            number += 1
            name = f"{one.name}_{number}"
        named[name] = one._replace(name=name)
    return list(named.values())


def _height_and_width(shape):
    return tuple(shape[1:3]) if len(shape) == 4 else (None, None)
