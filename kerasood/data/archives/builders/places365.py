"""Places365: the small validation images (short side 256 or square, JPEG).

Reference: Zhou et al., "Places: A 10 Million Image Database for Scene Recognition", TPAMI 2018.
"""
from kerasood.data.archives.builders.archive_builder import ArchiveBuilder


class Places365(ArchiveBuilder):
    """The first 10,000 of the 36,500 validation images by file name.

    The paper used 10,000 and never said which. The names number images of all classes in no
    particular order, so the first are as good a sample as any, and one that needs no list.
    """

    name = "places365"
