"""Reads ahead, so that images are decoded while the network computes."""

import concurrent.futures

_END = object()


def image_batches(source, batch_size: int):
    """Yields the images of an ImageSource in order, the next batch being read meanwhile.

    Args:
        source: ImageSource.
        batch_size: images per batch; only the last batch may hold fewer.

    Yields:
        uint8 `(B, S, S, 3)`, 0-255.
    """
    return prefetched(images for images, _ in source.batches(batch_size))


def prefetched(items):
    """Yields the same items, each made in a thread while the caller works on the one before it.

    An error surfaces as it is, at the item that could not be made.
    """
    iterator = iter(items)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item
