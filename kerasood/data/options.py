"""Options of finding and reading images: one object, passed on whole."""
import dataclasses
from typing import Any

from kerasood.data.decoding import RESIZINGS
from kerasood.errors import InvalidInputError
from kerasood.names import choose


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Places where data sets are looked for, and the treatment of their images.

    Args:
        data_dir: folder that is searched before any download; `$KERASOOD_DATA_DIR` by default.
        download: whether the network may be used.
        strict: whether an unreadable image file is an error instead of being skipped.
        image_size: side of the images, pixels. What is published in 32x32 must come in 32x32 where
            that is wanted, and so must arrays; to any other size everything is resized.
        resizing: `"crop"`: the short side becomes `image_size`, then the centre is cropped;
            `"stretch"`: both sides do, as `keras.utils.image_dataset_from_directory` does it;
            `"pad"`: the long side does, black bars fill the rest.
        antialias: whether what becomes smaller is averaged (bilinear over all pixels that fall
            into one), or interpolated between the nearest four, as TensorFlow does by default.
        channels: 3, or 1 for grey images.
        class_names: names of the classes in the order of a model's outputs. Class folders, and
            names in lists of files, are mapped to outputs by them; images may lack some classes.
    """

    data_dir: str | None = None
    download: bool = True
    strict: bool = False
    image_size: int = 32
    resizing: str = "crop"
    antialias: bool = True
    channels: int = 3
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        choose("resizing", self.resizing, RESIZINGS)
        if self.channels not in (1, 3):
            raise InvalidInputError(f"Expected 1 or 3 channels. Received: {self.channels}")
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
            if len(set(self.class_names)) < len(self.class_names):
                raise InvalidInputError(
                    f"Expected class names that differ. Received: {self.class_names}"
                )

    def replace(self, **changes: Any) -> "DataOptions":
        """Returns the same options but for `changes`."""
        return dataclasses.replace(self, **changes)


DEFAULTS = DataOptions()
