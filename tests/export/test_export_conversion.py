"""What a quantised file costs: measured on images, printed, and written beside it."""

import functools
import json
import shutil

import numpy as np
import pytest
from tiny_data import images_of

from kerasood import export, metrics
from kerasood.commands.export import export as export_command
from kerasood.data.source import ArraySource
from kerasood.data.splits import halves
from kerasood.export import ExportConfig
from kerasood.export.checks.conversion import compare_with_keras, conversion_table
from kerasood.runs import Run

LABELS = np.arange(48) % 2


class StandIn:
    """Scores an image by its mean, shifted; class 1 where it is bright; OOD above 150."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def predict(self, images, batch_size=None):
        means = images.mean(axis=(1, 2, 3)) + self.shift
        logits = np.stack([85 - means, means - 85], axis=-1)
        return {"logits": logits, "score": means, "is_ood": means > 150}


def source(labels, seed=0, with_labels=True):
    images = images_of(labels, seed)
    return ArraySource("made", images, np.asarray(labels) if with_labels else None, 2)


def test_before_and_after_by_hand():
    # Means near 50 and 120 inside, near 190 and 50 outside: class 0 stays below 85 with +30.
    outside = {"bright": source([2] * 10, with_labels=False), "same": source([0] * 10)}
    compared = compare_with_keras(StandIn(), StandIn(40).predict, source(LABELS), outside)
    assert compared["num_images"] == 48
    assert compared["accuracy"] == {"before": 1.0, "after": 0.5}
    assert compared["accepted"] == {"before": 1.0, "after": 0.5}
    assert compared["sets"]["bright"] == {
        "num_images": 10,
        "auroc": {"before": 1.0, "after": 1.0},
        "fpr95": {"before": 0.0, "after": 0.0},
        "flagged": {"before": 1.0, "after": 1.0},
    }
    assert compared["sets"]["same"]["fpr95"] == {"before": 1.0, "after": 1.0}
    named = {"file": "model.tflite", "quantization": "int8", **compared}
    head, *text = conversion_table(named).splitlines()
    assert head == "before: Keras, after: model.tflite in int8; 48 in-distribution images; %"
    assert text[0].split() == ["AUROC", "before", "after", "FPR95", "before", "after"] + [
        "flagged", "before", "after"
    ]  # fmt: skip
    assert text[1].split() == ["bright", *["100.00"] * 2, *["0.00"] * 2, *["100.00"] * 2]
    assert text[-2].split() == ["accuracy", "100.00", "50.00"]


def test_images_are_spread_and_keep_their_labels():
    labels = np.arange(100) % 2
    everything = source(labels)
    images, kept = everything.spread(4).load()
    rows = [0, 33, 66, 99]
    np.testing.assert_array_equal(images, images_of(labels)[rows])
    np.testing.assert_array_equal(kept, labels[rows])
    assert everything.spread(500).num_images == 100
    images = everything.take([3, 99])
    np.testing.assert_array_equal(images, images_of(labels)[[3, 99]])


@pytest.fixture(scope="module")
def quantised(base, tmp_path_factory):
    """A run exported in int8 with one OOD set, and what it was made from."""
    folder = tmp_path_factory.mktemp("quantised")
    run = Run.open(shutil.copytree(base.path, folder / "run"))
    np.savez(folder / "bright.npz", images=images_of([2] * 30, seed=5))
    config = ExportConfig(
        run=str(run.path),
        out=str(folder / "out"),
        format="tflite",
        quantization="int8",
        detector="energy",
        ood=(f"bright={folder / 'bright.npz'}",),
        tpr=0.8,
        download=False,
    )
    return export_command(config), config, folder


def test_the_threshold_is_calibrated_on_the_runs_own_images(quantised):
    exported, config, _ = quantised
    rows, _ = halves(48, config.seed)
    images = images_of(LABELS, seed=1)[np.sort(rows)]
    outputs = export.run_exported(exported.paths["tflite"], images)
    # k = ceil(25 * 0.8) = 20 of the 24 images.
    assert outputs["is_ood"].sum() == 4
    threshold = export.read_calibration(exported.paths["tflite"])
    assert threshold.num_images == 24 and threshold.rank == 20
    metadata = export.read_metadata(exported.paths["tflite"])
    assert metadata["quantization"] == "int8"
    assert metadata["calibration"]["calibrated_on"].startswith("24 of the 48 test images")


def test_what_it_costs_is_written_beside_it(quantised):
    exported, _, folder = quantised
    content = json.loads((exported.folder / "conversion.json").read_text())
    assert content["quantization"] == "int8"
    run = functools.partial(export.run_exported, exported.paths["tflite"])
    inside, outside = run(images_of(LABELS, seed=1)), run(images_of([2] * 30, seed=5))
    measured = content["sets"]["bright"]
    assert measured["num_images"] == 30
    assert measured["auroc"]["after"] == metrics.auroc(inside["score"], outside["score"])
    assert measured["fpr95"]["after"] == metrics.fpr_at_tpr(inside["score"], outside["score"])
    assert measured["flagged"]["after"] == outside["is_ood"].mean()
    assert content["accuracy"]["after"] == np.mean(inside["logits"].argmax(axis=-1) == LABELS)
    assert 0 <= content["accuracy"]["before"] <= 1


def test_a_quantised_version_can_be_verified(quantised, capsys):
    exported, _, _ = quantised
    reports = export_command(ExportConfig(verify=str(exported.folder)))
    assert list(reports) == ["tflite"]
    assert "of the stored answers" in capsys.readouterr().out


def test_int8_needs_training_images(base, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(
        "kerasood.evaluation.run_subjects.training_source", lambda *_, **__: None
    )
    config = ExportConfig(
        run=str(base.path), out=str(tmp_path / "out"), quantization="int8", ood=("blobs",),
        detector="energy",
    )
    assert "for the ranges of the layers in int8. Received: none" in refused(export_command, config)
    assert not (tmp_path / "out").exists()
