"""TFDS builders of the sets that tensorflow-datasets lacks, published as one archive of images.

Once this module is imported, `tfds.load("lsun_crop", data_dir=...)` and its siblings work.

Reference: Liang, Li, Srikant, "Enhancing the Reliability of Out-of-distribution Image Detection in
Neural Networks", ICLR 2018 (LSUN, iSUN and Tiny-ImageNet); Zhou et al., "Places: A 10 Million Image
Database for Scene Recognition", TPAMI 2018.
"""
import pathlib
import posixpath
import tarfile
import tempfile
import zlib

import tensorflow_datasets as tfds

from kerasood.data.archives.download import fetch_archive, md5_of
from kerasood.data.folders import first_by_name
from kerasood.data.image_files import image_paths, is_visible_image
from kerasood.data.registry import DATASETS
from kerasood.errors import InvalidInputError

MAX_BYTES = 4 << 30


class ArchiveBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The images of a registered archive as the split `"test"`, in the order of their paths.

    The archive is looked for in `manual_dir` and in the data directory, then downloaded into the
    latter, where it stays; its checksum decides. Each example holds `image`, the bytes as
    published, and `file_name`, its path within the archive.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The archive as published."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Only without network: the published archive."

    @property
    def spec(self):
        """The DatasetSpec."""
        return DATASETS[self.name]

    def _info(self):
        archive = self.spec.archive
        images = tfds.features.Image(shape=(None, None, 3))
        return _LocalInfo(
            builder=self,
            description=f"{self.spec.title}: images of {archive.file}.",
            features=tfds.features.FeaturesDict(
                {"image": images, "file_name": tfds.features.Text()}
            ),
            homepage=archive.url,
            license=self.spec.licence,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(md5=archive.md5),
        )

    def _split_generators(self, dl_manager):
        folders = [pathlib.Path(self.data_dir_root)]
        try:
            folders.insert(0, pathlib.Path(dl_manager.manual_dir))
        except AssertionError:  # there is none, or nothing in it
            pass
        found = (folder / self.spec.archive.file for folder in folders)
        path = next((path for path in found if path.is_file()), None)
        return {"test": self._generate_examples(path or fetch_archive(self.spec, folders[-1]))}

    def _generate_examples(self, path):
        received = md5_of(path)
        if received != self.spec.archive.md5:
            raise InvalidInputError(
                f"{path}: wrong checksum (truncated download?): expected md5 "
                f"{self.spec.archive.md5}. Received: md5 {received}"
            )
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=self.data_dir_root) as folder:
            unpack_images(path, folder)
            files = first_by_name(image_paths(folder), self.spec.first)
            if not files:
                raise InvalidInputError(f"{path}: expected images. Received: none")
            for key, file in enumerate(files):
                name = pathlib.Path(file).relative_to(folder).as_posix()
                yield key, {"image": file, "file_name": name}


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self):
        """Asks no server: tensorflow-datasets up to 4.9.7 would, before anything is prepared."""


def unpack_images(archive, folder):
    """Unpacks the visible images of a .tar or .tar.gz file into a folder.

    Raises:
        InvalidInputError: the archive is damaged, holds more than `MAX_BYTES`, or a member that
            tarfile's data filter refuses (a path or link that leaves the folder, a device): then
            nothing was written.
    """
    try:
        with tarfile.open(archive) as stream:
            images, size = [], 0
            for member in stream:
                tarfile.data_filter(member, folder)
                if member.name.startswith(("/", "\\")):
                    raise tarfile.AbsolutePathError(member)
                size += member.size
                if not 0 <= size <= MAX_BYTES:
                    raise tarfile.ReadError(f"it unpacks to more than {MAX_BYTES:,} bytes")
                if member.isfile() and is_visible_image(posixpath.normpath(member.name)):
                    images.append(member)
            stream.extractall(folder, members=images, filter="data")
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise InvalidInputError(f"{archive}: not an archive to unpack: {error}") from error


def _builder(spec):
    """A subclass per set: TFDS finds builders by their name."""
    title = "".join(part.capitalize() for part in spec.name.split("_"))
    return type(title, (ArchiveBuilder,), {"name": spec.name, "__doc__": f"{spec.title}.",
                                           "__module__": __name__})


BUILDERS = {
    spec.name: _builder(spec)
    for spec in list(DATASETS.values())
    if spec.archive is not None and spec.prepared_name
}
