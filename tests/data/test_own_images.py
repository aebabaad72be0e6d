import logging

import keras
import numpy as np
import pytest
from PIL import Image

import kerasood.data
from kerasood.data import DataOptions, as_source, open_source
from kerasood.data.registry import DATASETS
from kerasood.data.source import ArraySource
from kerasood.evaluation.image_checks import check_classes
from kerasood.evaluation.subject import open_labelled

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
LABELS = np.arange(12) % 3


def write(path, value=100, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)


def classes(folder, names, per_class=6):
    for label, name in enumerate(names):
        for number in range(per_class):
            write(folder / name / f"{number}.png", 10 * label + number)


def test_class_names_map_folders_to_outputs(tmp_path):
    classes(tmp_path / "test", ("wolf", "bee"))
    options = DataOptions(image_size=8, class_names=("ant", "wolf", "bee"))
    source = open_source(str(tmp_path), "test", options)
    assert (source.num_classes, source.class_names) == (3, ("ant", "wolf", "bee"))
    np.testing.assert_array_equal(source.labels, [2] * 6 + [1] * 6)
    check_classes(source, 3)
    with pytest.raises(ValueError, match="Expected a class folder out of ant, fox.*'bee'"):
        open_source(str(tmp_path), "test", options.replace(class_names=("ant", "fox")))


def test_another_number_of_classes_is_refused(tmp_path):
    classes(tmp_path / "test", ("wolf", "bee"))
    source = open_source(str(tmp_path), "test", DataOptions(image_size=8))
    with pytest.raises(ValueError, match="3 classes of the model.*Received: 2 classes .bee, wolf"):
        check_classes(source, 3)


@pytest.mark.parametrize("labels", [[1, 2, 3], [-1, 0, 1], [0, 1, 3_000_000_000]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match="expected labels from 0 to 2"):
        ArraySource("mine", IMAGES[:3], np.array(labels), 3)


def test_a_label_of_a_hundred_million_asks_for_no_outputs(tmp_path):
    np.savez(tmp_path / "a.npz", test_images=IMAGES[:2], test_labels=np.array([0, 10**8]))
    with pytest.raises(ValueError, match="Received: labels from 0 to 100000000"):
        open_source(str(tmp_path / "a.npz"), "test", DataOptions(image_size=8))
    with pytest.raises(ValueError, match="Received: labels from 0 to 100000000"):
        as_source((IMAGES[:2], np.array([0, 10**8])))


def test_masked_arrays_are_refused():
    masked = np.ma.masked_array(IMAGES, mask=np.zeros(IMAGES.shape, bool))
    for value in (masked, (IMAGES, np.ma.masked_array(LABELS))):
        with pytest.raises(ValueError, match="a mask would be ignored"):
            as_source(value)


def test_val_is_the_validation_split(tmp_path):
    classes(tmp_path / "train", ("a", "b"))
    classes(tmp_path / "val", ("a", "b"), 2)
    assert open_source(str(tmp_path), "validation", DataOptions(image_size=8)).num_images == 4
    classes(tmp_path / "validation", ("a", "b"), 2)
    with pytest.raises(ValueError, match="one folder of validation images. Received: validation,"):
        open_source(str(tmp_path), "train")


def test_one_stray_file_beside_class_folders(tmp_path, caplog):
    classes(tmp_path / "test", ("a", "b"))
    write(tmp_path / "test" / "preview.png")
    with caplog.at_level(logging.WARNING):
        source = open_source(str(tmp_path), "test", DataOptions(image_size=8))
    assert source.num_images == 12 and source.num_classes == 2
    assert "left out 1 images that lie beside the class folders: preview.png" in caplog.text


def test_the_reason_why_a_folder_has_no_labels_is_said(tmp_path):
    options = DataOptions(image_size=8)
    classes(tmp_path / "one piece", ("a", "b"))
    write(tmp_path / "one piece" / "b" / "deep" / "0.png")
    deep = r"no labels: .*one piece/b/deep/0.png lies in no class folder of .*one piece"
    with pytest.raises(ValueError, match=rf"no split 'train'; splits there: test \(.*{deep}"):
        open_source(str(tmp_path / "one piece"), "train", options)
    with pytest.raises(ValueError, match=rf"Expected labelled test images in .*{deep}"):
        open_labelled(str(tmp_path / "one piece"), "test", options)
    write(tmp_path / "alone" / "a" / "0.png")
    with pytest.raises(ValueError, match="fewer than two class folders in .*alone"):
        open_source(str(tmp_path / "alone"), "train", options)
    np.savez(tmp_path / "bare.npz", images=IMAGES)
    (tmp_path / "bare.txt").write_text("alone/a/0.png\n")
    for name in ("bare.npz", "bare.txt"):
        with pytest.raises(ValueError, match=r"there: test \(labelled images .* no labels\)"):
            open_source(str(tmp_path / name), "train", options)


def test_tiff(tmp_path):
    write(tmp_path / "a.tif", 7)
    write(tmp_path / "b.TIFF", 9)
    images, _ = open_source(str(tmp_path), "test", DataOptions(image_size=8)).load()
    assert images[:, 0, 0, 0].tolist() == [7, 9]


def test_lists_of_files(tmp_path):
    for number in range(3):
        write(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "all.txt").write_text("photos/2.png\n\nphotos/0.png\n")
    options = DataOptions(image_size=8)
    images, labels = open_source(str(tmp_path / "all.txt"), "ood", options).load()
    assert images[:, 0, 0, 0].tolist() == [2, 0] and labels is None
    rows = ("path,label,split", "photos/0.png,wolf,test", "photos/1.png,bee,train",
            "photos/2.png,bee,test")
    (tmp_path / "all.csv").write_text("\n".join(rows))
    source = open_source(str(tmp_path / "all.csv"), "test", options)
    assert source.labels.tolist() == [1, 0] and source.class_names == ("bee", "wolf")
    assert kerasood.data.available_splits(str(tmp_path / "all.csv")) == ("test", "train")
    named = options.replace(class_names=("ant", "bee", "wolf"))
    assert open_source(str(tmp_path / "all.csv"), "test", named).labels.tolist() == [2, 1]
    (tmp_path / "n.csv").write_text("file,label\nphotos/0.png,4\nphotos/1.png,0\n")
    assert open_source(str(tmp_path / "n.csv"), "ood", options).num_classes == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "expected paths of images"), ("name\na.png\n", "a column named file"),
     ("file,label\na.png,\n", "a label in every row")],
)
def test_lists_of_another_form(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_source(str(tmp_path / "a.csv"), "ood")


def test_grey_images(tmp_path):
    grey = IMAGES[..., :1]
    np.savez(tmp_path / "a.npz", test_images=grey)
    np.savez(tmp_path / "b.npz", test_images=grey[..., 0])
    options = DataOptions(image_size=8, channels=1)
    for name in "ab":
        images, _ = open_source(str(tmp_path / f"{name}.npz"), "test", options).load()
        np.testing.assert_array_equal(images, grey)
        images, _ = open_source(str(tmp_path / f"{name}.npz"), "test",
                                DataOptions(image_size=8)).load()
        np.testing.assert_array_equal(images, np.repeat(grey, 3, axis=-1))
    Image.fromarray(IMAGES[0]).save(tmp_path / "photo.png")
    images, _ = open_source(str(tmp_path), "test", options).load()
    luma = IMAGES[0].astype(float) @ [0.299, 0.587, 0.114]
    assert images.shape == (1, 8, 8, 1) and np.abs(images[0, ..., 0] - luma).max() <= 0.51
    np.testing.assert_array_equal(images[0, ..., 0], Image.fromarray(IMAGES[0]).convert("L"))
    digits, _ = open_source("digits", "test", DataOptions(channels=1)).load()
    np.testing.assert_array_equal(digits, open_source("digits").load()[0][..., :1])


def test_image_dataset_from_directory(tmp_path):
    pytest.importorskip("tensorflow")
    classes(tmp_path, ("bee", "wolf"))
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(8, 8), shuffle=False, verbose=False
    )
    source = as_source(dataset)
    folder = open_source(str(tmp_path), "ood", DataOptions(image_size=8))
    assert source.class_names == ("bee", "wolf")
    for theirs, ours in zip(source.load(), folder.load(), strict=True):
        np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(20, 30), (30, 20), (5, 7)])
def test_resizing_equals_tensorflow(tmp_path, method, antialias, size):
    tf = pytest.importorskip("tensorflow")
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = DataOptions(image_size=10, resizing=method, antialias=antialias)
    image = open_source(str(tmp_path), "test", options).load()[0][0]
    side = {"pad": max, "crop": min}.get(method, lambda size: None)(size)
    inner = (10, 10) if side is None else tuple(length * 10 // side for length in size)
    resized = tf.image.resize(pixels.astype("float32"), inner, antialias=antialias).numpy()
    if method == "pad":
        before = [(10 - length) // 2 for length in inner]
        expected = np.zeros((10, 10, 3))
        expected[before[0] : before[0] + inner[0], before[1] : before[1] + inner[1]] = resized
    else:
        top, left = ((length - 10) // 2 for length in inner)
        expected = resized[top : top + 10, left : left + 10]
    assert np.abs(image - expected).max() <= 1.01


def test_options_of_another_kind():
    for wrong in ({"resizing": "cover"}, {"channels": 4}, {"class_names": ("a", "a")}):
        with pytest.raises(ValueError, match="Expected"):
            DataOptions(**wrong)


def test_a_registered_set_is_found_by_name(monkeypatch):
    monkeypatch.setattr("kerasood.data.registry.DATASETS", DATASETS)

    @kerasood.data.register("microscopy", splits=("train", "test"), num_classes=3)
    def microscopy(split, options):
        return IMAGES[: 6 if split == "test" else 12], LABELS[: 6 if split == "test" else 12]

    try:
        assert open_source("microscopy", "ood").num_images == 6
        assert open_source("microscopy", "train").num_classes == 3
        assert kerasood.data.availability("microscopy", "test") is None
        assert "no split 'validation'" in kerasood.data.availability("microscopy", "validation")
        assert "microscopy" in kerasood.data.ood_names("cifar10")
        with pytest.raises(ValueError, match="that no data set has yet"):
            kerasood.data.register("microscopy")
    finally:
        del DATASETS["microscopy"]
