"""The one table of data sets: where each comes from, what it holds and what it may be used for."""
import dataclasses
from collections.abc import Callable
from typing import Any

from kerasood.errors import InvalidInputError
from kerasood.names import choose

AS_THEY_ARE = "as they are"
SHORT_SIDE = "short side to the image size (antialiased bilinear), centre crop"
ZERO_PADDED = "zero-padded from 28x28"
UPSCALED = "upscaled from 8x8 (bilinear)"

DIGIT_SETS = ("svhn", "mnist", "digits", "digits_heldout")
CIFARS = ("cifar10", "cifar100")
ODIN = "https://www.dropbox.com/s/"


@dataclasses.dataclass(frozen=True)
class Archive:
    """The one published file that holds a data set.

    Args:
        file: its name in the data directory, where it is looked for and downloaded to.
        url: where it is published.
        md5: its checksum.
    """

    file: str
    url: str
    md5: str


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Args:
        name: what the user types; also the name of its npz or folder in the data directory.
        title: what the tables print.
        source: `"tfds"`, `"archive"`, `"manual"` (the user fetches it), `"embedded"` or
            `"generated"`, or `"registered"` by `register`.
        tfds_name: its name in tensorflow-datasets, with a configuration where it has several.
        archive: the published file, for `"archive"`.
        num_classes: number of classes, where the labels matter.
        splits: the splits it is published with.
        tfds_test: the TFDS splits that together are its `"test"`.
        near_for: in-distribution sets for which this one is near-OOD.
        never_for: in-distribution sets whose classes it shares: never OOD for them.
        only_for: if given, the only in-distribution sets for which this one is OOD.
        synthetic: whether the images are noise or drawn rather than photographed or written.
        outliers: whether these are auxiliary images to train with, and never a test set.
        collection: larger collection that its images were taken from: sets of one collection may
            share images. None where no other registered set draws on it.
        first: how many images, the first by file name, an archive or folder of them contributes;
            None for all.
        stand_in_for: title of the published set that this one replaces without being it.
        published_images: number of images in the published test set; where the paper took fewer
            (Places365: 10,000 of 36,500, it does not say which), as many as the paper.
        resizing: how other image sizes become the wanted one.
        licence: terms of use of the images.
        how_to_get: one line for the user who lacks it.
        opener: makes the images of `(split, DataOptions)`, where they lie in no data directory.
    """

    name: str
    title: str
    source: str
    tfds_name: str | None = None
    archive: Archive | None = None
    num_classes: int | None = None
    splits: tuple[str, ...] = ("test",)
    tfds_test: tuple[str, ...] = ("test",)
    near_for: tuple[str, ...] = ()
    never_for: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()
    synthetic: bool = False
    outliers: bool = False
    collection: str | None = None
    first: int | None = None
    stand_in_for: str | None = None
    published_images: int | None = None
    resizing: str = SHORT_SIDE
    licence: str = ""
    how_to_get: str = ""
    opener: Callable | None = None

    @property
    def downloadable(self) -> bool:
        """True where `open_source` can fetch it."""
        return self.source in ("tfds", "archive")

    @property
    def prepared_name(self) -> str | None:
        """Name of its prepared TFDS directory: an archive of images has a builder of ours."""
        if self.archive is not None and not self.archive.file.endswith(".npy"):
            return self.name
        return self.tfds_name


def _tfds(name, title, tfds_name, licence, **fields):
    how = (
        f"allow the download (tensorflow-datasets, {tfds_name}), or put {name}.npz "
        f"or an image folder {name}/ into the data directory"
    )
    return DatasetSpec(
        name, title, "tfds", tfds_name=tfds_name, licence=licence, how_to_get=how, **fields
    )


def _archive(name, title, file, url, md5, licence, note="", **fields):
    how = (
        f"allow the download ({url}{note}), or put {file} (md5 {md5}), its images unpacked as "
        f"{name}/, or {name}.npz into the data directory"
    )
    return DatasetSpec(name, title, "archive", archive=Archive(file, url, md5), licence=licence,
                       how_to_get=how, **fields)


def _odin(name, title, key, file, md5, **fields):
    url = f"{ODIN}{key}/{file}?dl=1"
    return _archive(name, title, file, url, md5, RESEARCH, resizing=AS_THEY_ARE, **fields)


def _manual(name, title, images, licence, **fields):
    how = f"get {images}, and put it unpacked at <data_dir>/{name}/ or as <data_dir>/{name}.npz"
    return DatasetSpec(name, title, "manual", licence=licence, how_to_get=how, **fields)


def _generated(name, title, **fields):
    return DatasetSpec(name, title, "generated", synthetic=True, resizing=AS_THEY_ARE, **fields)


TRAIN_TEST = ("train", "test")
TRAIN_VALIDATION_TEST = ("train", "validation", "test")
RESEARCH = "non-commercial research"
MINIPLACES = "MiniPlaces (a 100-class subset of Places2), its scene classes shared with LSUN"
FIRST_PLACES = 10_000  # the paper used 10,000 of 36,500 and never said which

DATASETS = {
    spec.name: spec
    for spec in (
        _tfds("textures", "Textures", "dtd", RESEARCH, num_classes=47,
              tfds_test=TRAIN_VALIDATION_TEST, published_images=5_640),
        _tfds("svhn", "SVHN", "svhn_cropped", RESEARCH, num_classes=10,
              splits=TRAIN_TEST, never_for=DIGIT_SETS, resizing=AS_THEY_ARE,
              published_images=26_032),
        _archive("places365", "Places365", "val_256.tar",
                 "http://data.csail.mit.edu/places/places365/val_256.tar",
                 "e27b17d8d44f4af9a78502beb927f808", "CC BY", first=FIRST_PLACES,
                 note=f": 36,500 images, the first {FIRST_PLACES:,} by name are used",
                 collection="Places2", published_images=FIRST_PLACES),
        _odin("lsun_crop", "LSUN-Crop", "fhtsw1m3qxlwj6h", "LSUN.tar.gz",
              "458a0a0ab8e5f1cb4516d7400568e460", collection="LSUN",
              published_images=10_000),
        _odin("lsun_resize", "LSUN-Resize", "moqh2wh8696c3yl", "LSUN_resize.tar.gz",
              "278b7b31c8cb7e804a1465a8ce03a2dc", collection="LSUN",
              published_images=10_000),
        _odin("isun", "iSUN", "ssz7qxfqae0cca5", "iSUN.tar.gz",
              "be77b0f2c26fda898afac5f99645ee70", published_images=8_925),
        _manual("scenes_crop", "Scenes-Crop", f"{MINIPLACES}; cut a random 32x32 patch of each",
                RESEARCH, stand_in_for="LSUN-Crop", collection="Places2"),
        _manual("scenes_resize", "Scenes-Resize", MINIPLACES, RESEARCH,
                stand_in_for="LSUN-Resize", collection="Places2"),
        _odin("tiny_imagenet_crop", "Tiny-ImageNet-Crop", "avgm2u562itwpkl", "Imagenet.tar.gz",
              "7c0827e4246c3718a5ee076e999e52e5", near_for=CIFARS, collection="ImageNet",
              published_images=10_000),
        _odin("tiny_imagenet_resize", "Tiny-ImageNet-Resize", "kp3my3412u5k9rl",
              "Imagenet_resize.tar.gz", "0f9ff11d45babf2eff5fe12281d1ac31", near_for=CIFARS,
              collection="ImageNet", published_images=10_000),
        _tfds("cifar10", "CIFAR-10", "cifar10", "none stated (research use)", num_classes=10,
              splits=TRAIN_TEST, near_for=("cifar100",), resizing=AS_THEY_ARE,
              published_images=10_000),
        _tfds("cifar100", "CIFAR-100", "cifar100", "none stated (research use)", num_classes=100,
              splits=TRAIN_TEST, near_for=("cifar10",), resizing=AS_THEY_ARE,
              published_images=10_000),
        _tfds("mnist", "MNIST", "mnist", "CC BY-SA 3.0", num_classes=10, splits=TRAIN_TEST,
              never_for=DIGIT_SETS, resizing=ZERO_PADDED, published_images=10_000),
        DatasetSpec("digits", "Digits 0-7", "embedded", num_classes=8, never_for=DIGIT_SETS,
                    splits=TRAIN_VALIDATION_TEST, resizing=UPSCALED, licence="CC BY 4.0"),
        DatasetSpec("digits_heldout", "Digits 8-9", "embedded", near_for=("digits",),
                    only_for=("digits",), resizing=UPSCALED, licence="CC BY 4.0"),
        DatasetSpec("photos", "Photo patches", "embedded", licence="CC BY (a photograph)"),
        _generated("uniform_noise", "Uniform noise"),
        _generated("gaussian_noise", "Gaussian noise"),
        _generated("blobs", "Blobs"),
        _tfds("imagenet32", "ImageNet 32x32", "imagenet_resized/32x32", RESEARCH,
              splits=("train",), outliers=True, collection="ImageNet", resizing=AS_THEY_ARE),
        _archive("random_images_300k", "300K random images", "300K_random_images.npy",
                 "https://people.eecs.berkeley.edu/~hendrycks/300K_random_images.npy",
                 "64ca64357de98351f28454274a112dc3", "none stated (research use)",
                 splits=("train",), outliers=True, resizing=AS_THEY_ARE),
        # Whose images these are is the user's to know; most such sets are cut out of ImageNet.
        _manual("outliers", "Outliers", "any images unrelated to all classes and test sets",
                "that of the images", splits=("train",), outliers=True, collection="ImageNet"),
    )
}


def find(name: str) -> DatasetSpec:
    """Returns the specification of a registered data set.

    Raises:
        ValueError: for an unknown name; suggests the nearest one.
    """
    return DATASETS[choose("path of images that exists, or a data set", name, DATASETS)]


def built_in(name, opener):
    """Says how a set of the table is made that lies in no data directory."""
    DATASETS[name] = dataclasses.replace(DATASETS[name], opener=opener)


def register(name: str, **fields: Any) -> Callable:
    """Adds a data set of one's own under a name that every command and call then takes.

    The decorated function takes (split, DataOptions) and returns an ImageSource, or anything that
    `kerasood.data.as_source` does, such as `(images, labels)`::

        @kerasood.data.register("microscopy", splits=("train", "test"), num_classes=3)
        def microscopy(split, options):
            return load_slides(split, options.image_size)

    Args:
        name: a name that no data set has yet.
        **fields: of `DatasetSpec`: splits, num_classes, title, near_for...

    Raises:
        InvalidInputError: the name is taken, or could be a path.
    """
    if name in DATASETS or not name.isidentifier():
        raise InvalidInputError(
            "Expected a name of letters, digits and _ that no data set has yet. "
            f"Received: name={name!r}"
        )

    def add(opener):
        spec = {"title": name, "resizing": SHORT_SIDE, **fields}
        DATASETS[name] = DatasetSpec(name, source="registered", opener=opener, **spec)
        return opener

    return add
