"""A TFDS builder for a set that is published as one archive of images."""
import contextlib
import io
import pathlib
import tempfile

import tensorflow_datasets as tfds
from PIL import Image

from kerasood.data.archives.download import fetch_archive, md5_of
from kerasood.data.archives.extraction import unpack_images
from kerasood.data.decoding import FORMATS, PUBLISHED_SIZE, decode
from kerasood.data.folders import first_by_name, image_paths
from kerasood.data.registry import AS_THEY_ARE, DATASETS
from kerasood.errors import InvalidInputError


class ArchiveBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The images of a registered archive as the split `"test"`, in the order of their paths.

    A subclass sets `name`, which finds everything else in `DATASETS`. The images are taken from

    1. the archive in `manual_dir` or in the data directory, after its checksum was compared;
    2. an image folder that bears the name of the set, in the same places;
    3. the network: the archive is downloaded into the data directory and stays there.

    Each example holds `image` (the bytes as published, but PNG where a border was cut off) and
    `file_name`, its path within the archive or folder.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The archive as published."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Only without network: the published archive, or the folder of its images named as the set."
    )

    @property
    def spec(self):
        """The DatasetSpec."""
        return DATASETS[self.name]

    def _info(self):
        spec = self.spec
        side = PUBLISHED_SIZE if spec.resizing == AS_THEY_ARE else None
        chosen = "all" if spec.first is None else f"the first {spec.first:,} by name"
        return _LocalInfo(
            builder=self,
            description=f"{spec.title}: {chosen} of the images in {spec.archive.file}.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(side, side, 3)),
                    "file_name": tfds.features.Text(),
                }
            ),
            homepage=spec.archive.url,
            license=spec.licence,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(md5=spec.archive.md5, images=chosen),
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples(self._find(_places(self, dl_manager)))}

    def _find(self, places):
        """Returns the path of the archive or folder; downloads the archive if there is neither."""
        archive = self.spec.archive
        for place in places:
            path = place / archive.file
            if path.is_file():
                _compare(path, archive.md5)
                return path
        for place in places:
            if next(image_paths(place / self.name), None):
                return place / self.name
        return fetch_archive(self.spec, places[-1])

    def _generate_examples(self, found):
        with self._image_folder(found) as folder:
            paths = first_by_name(image_paths(folder), self.spec.first)
            if not paths:
                raise InvalidInputError(f"{found}: expected images. Received: none")
            for key, path in enumerate(paths):
                name = pathlib.Path(path).relative_to(folder).as_posix()
                try:
                    image = _checked(path, self.spec.resizing)
                except ValueError as error:
                    raise InvalidInputError(f"{found}, {name}: {error}") from error
                yield key, {"image": image, "file_name": name}

    def _chosen(self, names):
        return first_by_name(names, self.spec.first)

    @contextlib.contextmanager
    def _image_folder(self, found):
        if found.is_dir():
            yield found
            return
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=self.data_dir_root) as folder:
            unpack_images(found, folder, choose=self._chosen)
            yield folder


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self):
        """Asks no server: tensorflow-datasets up to 4.9.7 would, before anything is prepared."""


def _places(builder, dl_manager):
    """Returns the folders where a user may have put things, the data directory last."""
    data_dir = pathlib.Path(builder.data_dir_root)
    try:
        return [pathlib.Path(dl_manager.manual_dir), data_dir]
    except AssertionError:  # there is none, or nothing in it
        return [data_dir]


def _compare(path, md5):
    received = md5_of(path)
    if received != md5:
        raise InvalidInputError(
            f"{path}: wrong checksum (truncated download?): expected md5 {md5}. "
            f"Received: md5 {received}"
        )


def _checked(path, resizing):
    """Returns the bytes of an image file as a stream; raises ValueError for an unsuitable image."""
    data = pathlib.Path(path).read_bytes()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.verify()
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ... on damage
        raise InvalidInputError(f"unreadable image. Received: {type(error).__name__}") from error
    if resizing != AS_THEY_ARE:
        return io.BytesIO(data)
    pixels = decode(data, PUBLISHED_SIZE, resizing)
    if isinstance(pixels, str):
        raise InvalidInputError(f"unreadable image. Received: {pixels}")
    if image.size == (PUBLISHED_SIZE, PUBLISHED_SIZE):
        return io.BytesIO(data)
    unframed = io.BytesIO()
    Image.fromarray(pixels).save(unframed, "PNG")
    unframed.seek(0)
    return unframed
