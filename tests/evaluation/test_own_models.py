"""A model from a file and its photographs: no run directory, and the pixels of its training."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from tiny_models import random_images, small_network

import kerasood
from kerasood.commands.evaluate import evaluate
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig
from kerasood.data import DataOptions
from kerasood.evaluation.calibration import calibrate_model
from kerasood.export import ExportConfig, export_run, read_metadata
from kerasood.extractor import Preprocessing, options_for
from kerasood.serving import OODModel, recalibrate
from kerasood.training import train_config

CLASSES = ("cherry", "moss", "sky")
IMAGES, LABELS = random_images((8, 8, 3), 60), np.arange(60) % 4


def write_photos(folder, names, num_images):
    """Photographs 30 pixels high and 40 wide, one channel brighter by class, in class folders."""
    generator = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(num_images):
            pixels = generator.integers(0, 160, (30, 40, 3))
            pixels[..., CLASSES.index(name)] += 90
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "train", CLASSES, 8)
    write_photos(folder / "val", CLASSES, 20)
    write_photos(folder.parent / "lacking", CLASSES[::2], 20)
    return folder


@pytest.fixture(scope="module")
def network():
    """Colour minus grey times 20, of pixels in 0..1 of 24x24 images: their class, as softmax."""
    keras.utils.set_random_seed(0)
    body = [layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")]
    network = keras.Sequential([keras.Input((24, 24, 3)), *body])
    network.layers[-1].kernel.assign(20 * (np.eye(3) - 1 / 3))
    return network


def as_keras_reads(folder):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(24, 24), shuffle=False, verbose=False
    )


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_evaluate_takes_a_model_s_file_and_its_folder(photos, network, tmp_path, suffix):
    network.save(tmp_path / f"mine{suffix}")
    config = EvaluateConfig(
        model=str(tmp_path / f"mine{suffix}"), dataset=str(photos), preprocessing="scale_0_1",
        resizing="stretch", antialias=False, ood=("gaussian_noise",), detectors=("energy",),
        out=str(tmp_path / "report"),
    )
    results, page = evaluate(config)
    assert page == tmp_path / "report" / "report.html" and page.exists()
    assert results["models"][0]["key"] == "mine" and results["models"][0]["accuracy"] == 1.0
    (threshold,) = results["thresholds"]
    assert threshold["threshold"]["num_images"] == 30  # half of the validation images
    pixels = np.concatenate([batch for batch, _ in as_keras_reads(photos / "val")])
    features = np.rint(pixels).mean(axis=(1, 2)) / 255
    energies = -np.log(np.exp(features @ np.asarray(network.layers[-1].kernel)).sum(axis=1))
    scores = np.load(tmp_path / "report" / "scores.npz")
    in_scores = next(scores[name] for name in scores.files if "in" in name.split("/"))
    np.testing.assert_allclose(in_scores, energies, atol=6e-3)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"dataset": "digits"}, "Expected --model=FILE with --dataset. Received: none"),
        ({"model": "x.keras"}, "Expected --dataset and no --run with --model"),
        ({"model": "x.keras", "dataset": "d", "run": ("r",)}, "no --run with --model"),
    ],
)
def test_flags_of_own_models_that_do_not_fit_together(flags, message):
    with pytest.raises(ValueError, match=message):
        evaluate(EvaluateConfig(**flags))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_train_takes_softmax_and_size_of_its_base(photos, network, tmp_path, suffix):
    inner = keras.Sequential([keras.Input((24, 24, 3)), layers.Rescaling(1 / 255), network])
    inner.save(tmp_path / f"mine{suffix}")
    config = train_config(
        str(photos), stage="finetune", init=str(tmp_path / f"mine{suffix}"), finetune_epochs=2,
        batch_size=8, precision="float32", out=str(tmp_path / "runs"),
    )
    (run,) = train(config)
    tuned = keras.saving.load_model(run.model)
    assert tuned.input_shape == (None, 24, 24, 3)
    before, after = (
        np.concatenate([model.predict(x, verbose=0) for x, _ in as_keras_reads(photos / "val")])
        for model in (inner, tuned)
    )
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)
    # The penalty on the absolute logits brings the probabilities nearer to each other.
    assert 0 < np.abs(after - before).max() < 0.5
    assert (tmp_path / "runs" / "finetune-sparsity-logits" / "config.json").exists()


def test_a_binary_model_is_fine_tuned_on_both_its_logits():
    one = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(1)]
    )
    tuned, history = kerasood.fine_tune(one, IMAGES, LABELS % 2, epochs=3, verbose=0)
    assert tuned.output_shape == (None, 1)
    assert history.history["ce"][-1] < history.history["ce"][0]


def test_fine_tune_feeds_what_preprocessing_says():
    keras.utils.set_random_seed(0)
    plain = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    tuned, _ = kerasood.fine_tune(
        plain, IMAGES, LABELS, epochs=1, verbose=0, preprocessing="scale_0_1", learning_rate=1e-9
    )
    expected = plain.predict(IMAGES / np.float32(255), verbose=0)
    np.testing.assert_allclose(tuned.predict(IMAGES, verbose=0), expected, atol=1e-4)
    with pytest.warns(UserWarning, match="no layer that rescales pixels before its first weights"):
        kerasood.fine_tune(plain, IMAGES, LABELS, epochs=1, verbose=0, learning_rate=1e-9)


def test_images_come_as_a_model_takes_them(network):
    grey = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(4)])
    assert options_for([grey], DataOptions()) == DataOptions(image_size=28, channels=1)
    stretched = kerasood.build_extractor(
        network, preprocessing=Preprocessing("none", "stretch", antialias=False)
    )
    expected = DataOptions(image_size=24, resizing="stretch", antialias=False)
    assert options_for([stretched], DataOptions()) == expected
    with pytest.raises(ValueError, match="resized in one way .*stretch"):
        options_for([stretched, network], DataOptions())


def test_a_model_of_one_channel_takes_named_sets():
    keras.utils.set_random_seed(0)
    body = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8)]
    grey = keras.Sequential([keras.Input((28, 28, 1)), *body])
    measured = kerasood.benchmark(grey, "digits", "gaussian_noise", "energy")
    assert measured.sources["in"].load()[0].shape[1:] == (28, 28, 1)
    assert measured.sources["gaussian_noise"].load()[0].shape[1:] == (28, 28, 1)


def test_class_names_map_folders_to_outputs(photos, network):
    lacking = str(photos.parent / "lacking")
    ways = {"preprocessing": Preprocessing("scale_0_1", "stretch", antialias=False)}
    with pytest.raises(ValueError, match="of the 3 classes of model; name the outputs"):
        kerasood.benchmark(network, lacking, "gaussian_noise", "energy", **ways)
    dataset = as_keras_reads(lacking)
    for in_data in (lacking, dataset, {"test": dataset}):
        # OOD sets have class folders of their own.
        measured = kerasood.benchmark(
            network, in_data, {"others": str(photos / "val")}, "energy", class_names=CLASSES,
            tpr=0.8, **ways,
        )
        assert measured.results.models[0]["accuracy"] == 1.0
        assert measured.guard().class_names == CLASSES


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        rows = slice(10 * index, 10 * index + 10)
        return IMAGES[rows], LABELS[rows]


def test_keras_data_benchmarks_and_recalibrates_as_arrays_do():
    import tensorflow as tf

    network = small_network()
    forms = {
        "arrays": (IMAGES, LABELS),
        "tf.data": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(7),
        "floats": tf.data.Dataset.from_tensor_slices((IMAGES.astype("float32"), LABELS)).batch(7),
        "PyDataset": Batches(),
    }
    found = {
        name: kerasood.benchmark(network, {"test": form}, {"noise": IMAGES[:9]}, "energy", tpr=0.8)
        for name, form in forms.items()
    }
    model = OODModel(network, kerasood.detectors.Energy(), 0.0)
    expected = recalibrate(model, IMAGES)[1]
    for name, form in forms.items():
        ours, arrays = found[name], found["arrays"]
        key = "model", "energy", "in"
        np.testing.assert_array_equal(ours.scores[key], arrays.scores[key])
        assert ours.results.models[0]["accuracy"] == arrays.results.models[0]["accuracy"]
        assert recalibrate(model, form)[1].value == pytest.approx(expected.value, rel=1e-6)


def test_an_unexpected_accuracy_is_refused():
    network = small_network()
    accuracy = kerasood.benchmark(
        network, {"test": (IMAGES, LABELS)}, {"noise": IMAGES[:9]}, "energy", tpr=0.8
    ).results.models[0]["accuracy"]
    call = (network, {"test": (IMAGES, LABELS)}, {"noise": IMAGES[:9]}, "energy")
    kerasood.benchmark(*call, tpr=0.8, expected_accuracy=accuracy)
    with pytest.raises(ValueError, match="Expected an accuracy of 99.00% from 'model'.*on 60 test"):
        kerasood.benchmark(*call, tpr=0.8, expected_accuracy=0.99)


def test_a_benchmark_s_cache_spares_the_second_one_the_network(tmp_path, monkeypatch):
    network = small_network()
    call = (network, {"test": (IMAGES, LABELS)}, {"noise": IMAGES[:9]}, ["energy", "msp"])
    first = kerasood.benchmark(*call, tpr=0.8, cache=tmp_path)

    def compute(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("kerasood.evaluation.outputs_cache.collect_source", compute)
    again = kerasood.benchmark(*call, tpr=0.8, cache=tmp_path)
    for key, scores in first.scores.items():
        np.testing.assert_array_equal(again.scores[key], scores)
    with pytest.raises(AssertionError, match="computed again"):
        kerasood.benchmark(network, {"test": (255 - IMAGES, LABELS)}, *call[2:], cache=tmp_path)


def test_a_model_s_detector_and_threshold_without_a_run_directory(photos, network):
    found = calibrate_model(
        network, str(photos), "energy",
        preprocessing=Preprocessing("scale_0_1", "stretch", antialias=False),
    )
    assert found.name == "energy" and found.threshold.num_images == 30
    model = OODModel(found.subject.extractor, found.detector, found.threshold)
    assert np.sum(~model.predict(found.subject.images.calibrating.load()[0])["is_ood"]) == (
        found.threshold.rank
    )
    assert (found.options.image_size, found.options.resizing) == (24, "stretch")


def test_export_takes_a_model_s_file_and_its_folder(photos, network, tmp_path):
    network.save(tmp_path / "mine.keras")
    exported = export_run(ExportConfig(
        model=str(tmp_path / "mine.keras"), dataset=str(photos), preprocessing="scale_0_1",
        resizing="stretch", antialias=False, out=str(tmp_path / "out"), name="mine",
        format="saved_model", detector="energy",
    ))
    metadata = read_metadata(exported.folder)
    assert exported.folder == tmp_path / "out" / "mine" / "1"
    assert metadata["class_names"] == list(CLASSES) and metadata["model"] == "mine.keras"
    assert metadata["preprocessing"] == {"resizing": "stretch", "antialias": False}
    # Half of the 60 validation images, which take the place of test images.
    assert metadata["calibration"]["num_images"] == 30


def test_images_of_its_first_classes_alone_export_a_model_of_more(tmp_path):
    small_network().save(tmp_path / "mine.keras")
    kept = LABELS < 3
    np.savez(tmp_path / "some.npz", x_test=IMAGES[kept], y_test=LABELS[kept])
    exported = export_run(ExportConfig(
        model=str(tmp_path / "mine.keras"), dataset=str(tmp_path / "some.npz"),
        out=str(tmp_path / "out"), format="saved_model", detector="energy", tpr=0.9,
    ))
    assert read_metadata(exported.folder)["class_names"] == ["0", "1", "2", "3"]
