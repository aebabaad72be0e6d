"""TFDS builders of the sets that tensorflow-datasets lacks.

Once this package is imported, `tfds.load("lsun_crop", data_dir=...)` and its siblings work. The
archive (or its unpacked images) is looked for before it is downloaded.
"""
from kerasood.data.archives.builders.archive_builder import ArchiveBuilder
from kerasood.data.archives.builders.odin import (
    Isun,
    LsunCrop,
    LsunResize,
    TinyImagenetCrop,
    TinyImagenetResize,
)
from kerasood.data.archives.builders.places365 import Places365

BUILDERS = {
    builder.name: builder
    for builder in (LsunCrop, LsunResize, Isun, TinyImagenetCrop, TinyImagenetResize, Places365)
}

__all__ = ["BUILDERS", "ArchiveBuilder", *sorted(builder.__name__ for builder in BUILDERS.values())]
