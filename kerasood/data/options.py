"""How images are found and read: one object, passed on whole."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Where data sets are looked for, and what becomes of their images.

    Args:
        data_dir: folder that is searched before any download; `$KERASOOD_DATA_DIR` by default.
        download: whether the network may be used.
        strict: whether an unreadable image file is an error instead of being skipped.
        image_size: side of the images, pixels. What is published in 32x32 must come in 32x32 where
            that is wanted, and so must arrays; to any other size everything is resized.
    """

    data_dir: str | None = None
    download: bool = True
    strict: bool = False
    image_size: int = 32

    def replace(self, **changes) -> "DataOptions":
        """Returns the same options but for `changes`."""
        return dataclasses.replace(self, **changes)


DEFAULTS = DataOptions()
