"""The one table of data sets: where each comes from, what it holds and what it may be used for."""
import dataclasses
import difflib

AS_THEY_ARE = "as they are"
SHORT_SIDE = "short side to the image size (antialiased bilinear), centre crop"
ZERO_PADDED = "zero-padded from 28x28"
UPSCALED = "upscaled from 8x8 (bilinear)"

DIGIT_SETS = ("svhn", "mnist", "digits", "digits_heldout")
CIFARS = ("cifar10", "cifar100")
ODIN = "www.dropbox.com/s/"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Args:
        name: what the user types; also the name of its npz or folder in the data directory.
        title: what the tables print.
        source: `"tfds"`, `"manual"` (the user fetches it), `"embedded"` or `"generated"`.
        tfds_name: its name in tensorflow-datasets.
        num_classes: number of classes, where the labels matter.
        splits: the splits it is published with.
        tfds_test: the TFDS splits that together are its `"test"`.
        near_for: in-distribution sets for which this one is near-OOD.
        never_for: in-distribution sets whose classes it shares: never OOD for them.
        only_for: if given, the only in-distribution sets for which this one is OOD.
        synthetic: whether the images are noise or drawn rather than photographed or written.
        in_paper: whether the paper's tables contain it.
        stand_in_for: title of the published set that this one replaces without being it.
        published_images: number of images in the published test set; where the paper took fewer
            (Places365: 10,000 of 36,500, it does not say which), as many as the paper.
        resizing: how other image sizes become the wanted one.
        licence: terms of use of the images.
        how_to_get: one line for the user who lacks it.
        md5: checksum of the published archive named in `how_to_get`.
    """

    name: str
    title: str
    source: str
    tfds_name: str | None = None
    num_classes: int | None = None
    splits: tuple[str, ...] = ("test",)
    tfds_test: tuple[str, ...] = ("test",)
    near_for: tuple[str, ...] = ()
    never_for: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()
    synthetic: bool = False
    in_paper: bool = False
    stand_in_for: str | None = None
    published_images: int | None = None
    resizing: str = SHORT_SIDE
    licence: str = ""
    how_to_get: str = ""
    md5: str | None = None


def _tfds(name, title, tfds_name, licence, **fields):
    how = (
        f"allow the download (tensorflow-datasets, {tfds_name}), or put {name}.npz "
        f"or an image folder {name}/ into the data directory"
    )
    return DatasetSpec(
        name, title, "tfds", tfds_name=tfds_name, licence=licence, how_to_get=how, **fields
    )


def _manual(name, title, archive, licence, md5=None, **fields):
    how = f"get {archive}" + (f" (md5 {md5})" if md5 else "")
    how += f", and put it unpacked at <data_dir>/{name}/ or as <data_dir>/{name}.npz"
    return DatasetSpec(name, title, "manual", licence=licence, how_to_get=how, md5=md5, **fields)


def _generated(name, title, **fields):
    return DatasetSpec(name, title, "generated", synthetic=True, resizing=AS_THEY_ARE, **fields)


TRAIN_TEST = ("train", "test")
TRAIN_VALIDATION_TEST = ("train", "validation", "test")
RESEARCH = "non-commercial research"
MINIPLACES = "MiniPlaces (a 100-class subset of Places2), its scene classes shared with LSUN"
ODIN_IMAGES = {"resizing": AS_THEY_ARE, "licence": RESEARCH}

DATASETS = {
    spec.name: spec
    for spec in (
        _tfds("textures", "Textures", "dtd", RESEARCH, num_classes=47, in_paper=True,
              tfds_test=TRAIN_VALIDATION_TEST, published_images=5_640),
        _tfds("svhn", "SVHN", "svhn_cropped", RESEARCH, num_classes=10, in_paper=True,
              splits=TRAIN_TEST, never_for=DIGIT_SETS, resizing=AS_THEY_ARE,
              published_images=26_032),
        _manual("places365", "Places365",
                "data.csail.mit.edu/places/places365/val_256.tar (36,500 images)", "CC BY",
                md5="e27b17d8d44f4af9a78502beb927f808", in_paper=True, published_images=10_000),
        _manual("lsun_crop", "LSUN-Crop", f"{ODIN}fhtsw1m3qxlwj6h/LSUN.tar.gz?dl=1",
                md5="458a0a0ab8e5f1cb4516d7400568e460", in_paper=True,
                published_images=10_000, **ODIN_IMAGES),
        _manual("lsun_resize", "LSUN-Resize", f"{ODIN}moqh2wh8696c3yl/LSUN_resize.tar.gz?dl=1",
                md5="278b7b31c8cb7e804a1465a8ce03a2dc", in_paper=True,
                published_images=10_000, **ODIN_IMAGES),
        _manual("isun", "iSUN", f"{ODIN}ssz7qxfqae0cca5/iSUN.tar.gz?dl=1",
                md5="be77b0f2c26fda898afac5f99645ee70", in_paper=True,
                published_images=8_925, **ODIN_IMAGES),
        _manual("scenes_crop", "Scenes-Crop", f"{MINIPLACES}; cut a random 32x32 patch of each",
                RESEARCH, stand_in_for="LSUN-Crop"),
        _manual("scenes_resize", "Scenes-Resize", MINIPLACES, RESEARCH,
                stand_in_for="LSUN-Resize"),
        _manual("tiny_imagenet_crop", "Tiny-ImageNet-Crop",
                f"{ODIN}avgm2u562itwpkl/Imagenet.tar.gz?dl=1", near_for=CIFARS,
                md5="7c0827e4246c3718a5ee076e999e52e5",
                published_images=10_000, **ODIN_IMAGES),
        _manual("tiny_imagenet_resize", "Tiny-ImageNet-Resize",
                f"{ODIN}kp3my3412u5k9rl/Imagenet_resize.tar.gz?dl=1", near_for=CIFARS,
                md5="0f9ff11d45babf2eff5fe12281d1ac31",
                published_images=10_000, **ODIN_IMAGES),
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
        DatasetSpec("photos", "Photo patches", "embedded", licence="CC BY (two photographs)"),
        _generated("uniform_noise", "Uniform noise"),
        _generated("gaussian_noise", "Gaussian noise"),
        _generated("blobs", "Blobs"),
    )
}


def find(name: str) -> DatasetSpec:
    """Returns the specification of a registered data set.

    Raises:
        ValueError: for an unknown name; suggests the nearest one.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name.lower(), DATASETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"Expected a data set ({', '.join(DATASETS)}), a .npz file or an image folder that "
        f"exists.{hint} Received: name={name!r}"
    )


def role(name: str, in_name: str) -> str:
    """Returns what an OOD set is to an in-distribution set: `"near"`, `"far"` or `"synthetic"`.

    Args:
        name: registered name; anything else (a user's own set) is far.
        in_name: the in-distribution set, a registered name or a path.
    """
    spec = DATASETS.get(name)
    if spec is None:
        return "far"
    if spec.synthetic:
        return "synthetic"
    return "near" if in_name in spec.near_for else "far"


def count_note(name: str, num_images: int) -> str:
    """Says how many of the published images there are, where they are not as many: or `""`.

    Args:
        name: registered name or path.
        num_images: how many there are.
    """
    spec = DATASETS.get(name)
    published = spec and spec.published_images
    if not published or num_images == published:
        return ""
    if num_images < published:
        return f"{num_images:,} of {published:,} images"
    return f"{num_images:,} images, more than the usual {published:,}"


def ood_names(in_name: str) -> tuple[str, ...]:
    """Returns the registered sets that may serve as OOD for `in_name`, in table order."""
    return tuple(name for name in DATASETS if _is_ood_for(DATASETS[name], in_name))


def _is_ood_for(spec, in_name):
    if spec.name == in_name or in_name in spec.never_for:
        return False
    return not spec.only_for or in_name in spec.only_for
