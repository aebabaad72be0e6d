"""Decodes and asks: images of a job as a stream of rows."""

import collections
import concurrent.futures
import itertools

import numpy as np

from kerasood.data.decoding import DEFAULT, WORKERS, decode, to_channels


def scored(scorer, stream, threads=WORKERS):
    """Yields lists of rows, decoding in threads while the model computes.

    Args:
        scorer: Scorer.
        stream: iterable of Entry.
        threads: int, threads that decode.
    """
    ready = []
    ahead = 2 * scorer.batch_size
    for name, image in decoded(stream, scorer.image_shape, ahead, threads, scorer.resizing):
        ready.append((name, image))
        if len(ready) == scorer.batch_size:
            yield rows_of(scorer, ready)
            ready = []
    if ready:
        yield rows_of(scorer, ready)


def decoded(stream, image_shape, ahead, threads=WORKERS, resizing=DEFAULT):
    """Yields (name, uint8 (H, W, C) or the reason why not) in order, `ahead` of them at work."""
    stream, waiting = iter(stream), collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        while True:
            for entry in itertools.islice(stream, ahead - len(waiting)):
                future = pool.submit(prepared, entry.content, image_shape, resizing)
                waiting.append((entry.name, future))
            if not waiting:
                return
            name, future = waiting.popleft()
            yield name, future.result()


def prepared(content, image_shape, resizing=DEFAULT):
    """One image as the model takes it, uint8 (H, W, C), or the reason (str) why it cannot be."""
    shape = tuple(image_shape)
    if isinstance(content, np.ndarray):
        if content.shape != shape:
            return f"expected an image of shape {shape}, not {content.shape}"
        return content
    height, width, channels = shape
    if height != width or channels not in (1, 3):
        return f"files need a model of square images in colour or grey, not of shape {shape}"
    image = decode(content, height, resizing)
    return image if isinstance(image, str) else to_channels(image, channels)


def rows_of(scorer, named):
    """The rows of up to a batch of (name, image or reason)."""
    images = [image for _, image in named if not isinstance(image, str)]
    answers = scorer.answer(np.stack(images)) if images else None
    rows, answered = [], itertools.count()
    for name, image in named:
        if isinstance(image, str):
            rows.append(_unreadable(name, image))
            continue
        index = next(answered)
        rows.append(
            {
                "file": name,
                "label": answers["label"][index],
                "probability": float(answers["probability"][index]),
                "score": float(answers["score"][index]),
                "is_ood": bool(answers["is_ood"][index]),
                "valid": True,
                "reason": "",
            }
        )
    return rows


def _unreadable(name, reason):
    nothing = dict.fromkeys(("probability", "score"))
    return {
        "file": name, "label": "", **nothing, "is_ood": True, "valid": False, "reason": reason
    }
