"""The five archives of 32x32 images that the ODIN code published.

Reference: Liang, Li, Srikant, "Enhancing the Reliability of Out-of-distribution Image Detection in
Neural Networks", ICLR 2018.
"""
from kerasood.data.archives.builders.archive_builder import ArchiveBuilder


class LsunCrop(ArchiveBuilder):
    """10,000 patches of the LSUN test images."""

    name = "lsun_crop"


class LsunResize(ArchiveBuilder):
    """The 10,000 LSUN test images, downsampled."""

    name = "lsun_resize"


class Isun(ArchiveBuilder):
    """8,925 images of iSUN, downsampled."""

    name = "isun"


class TinyImagenetCrop(ArchiveBuilder):
    """10,000 patches of the Tiny-ImageNet test images."""

    name = "tiny_imagenet_crop"


class TinyImagenetResize(ArchiveBuilder):
    """The 10,000 Tiny-ImageNet test images, downsampled."""

    name = "tiny_imagenet_resize"
