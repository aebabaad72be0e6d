"""The whole path on a few images: train, evaluate, calibrate, export, and the same answers."""

import json

import numpy as np
import pytest

from kerasood.commands.evaluate import evaluate
from kerasood.commands.export import export
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig
from kerasood.export import ExportConfig, read_metadata, run_exported
from kerasood.networks.saving import load_network
from kerasood.runs import Run
from kerasood.thresholds import Threshold
from kerasood.training.config import train_config

OUTPUTS = {"logits", "probabilities", "energy", "score", "is_ood"}
SETS = ("digits_heldout", "uniform_noise")
DETECTORS = ("msp", "odin", "mahalanobis", "energy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs the three commands once: two steps of each stage on the embedded digits."""
    folder = tmp_path_factory.mktemp("path")
    config = train_config(
        "digits",
        out=str(folder / "runs"),
        depth=10,
        width=1,
        batch_size=433,
        pretrain_epochs=1,
        finetune_epochs=1,
        site="features",
    )
    runs = train(config)
    results, page = evaluate(
        EvaluateConfig(
            run=(str(runs[-1].path),),
            ood=SETS,
            detectors=DETECTORS,
            tune=False,
            out=str(folder / "report"),
        )
    )
    exported = export(
        ExportConfig(run=str(runs[-1].path), detector="energy", out=str(folder / "exported"))
    )
    return {"runs": runs, "results": results, "page": page, "exported": exported}


def test_each_stage_takes_two_steps_and_leaves_a_complete_run(whole):
    for run in whole["runs"]:
        assert run.complete
        rows = run.history.read_text().splitlines()
        assert len(rows) == 2
        assert Run.open(run.path).config == run.config
    before, after = (load_network(run.model).get_weights() for run in whole["runs"])
    initial = load_network(whole["runs"][1].initial_model).get_weights()
    np.testing.assert_array_equal(np.concatenate([w.ravel() for w in before]),
                                  np.concatenate([w.ravel() for w in initial]))
    assert any(not np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_the_report_compares_before_and_after_on_every_set(whole):
    results = whole["results"]
    assert [model["label"] for model in results["models"]] == ["base", "+ sparsity (features)"]
    measured = {(m["model"], m["detector"], m["set"]) for m in results["metrics"]}
    models = [model["key"] for model in results["models"]]
    assert measured == {
        (m, d, s) for m in models for d in DETECTORS for s in SETS
    }
    assert json.loads((whole["page"].parent / "results.json").read_text()) == results
    text = whole["page"].read_text()
    assert "<svg" in text and "src=\"http" not in text
    for name in SETS:
        assert any(entry["name"] == name for entry in results["sets"])


def test_the_threshold_is_calibrated_on_images_kept_out_of_training(whole):
    entry = json.loads(whole["runs"][-1].thresholds.read_text())["energy"]
    threshold = Threshold.from_json(entry["threshold"])
    assert entry["calibrated_on"] == "289 images kept out of training"
    metadata = read_metadata(whole["exported"].folder)
    assert metadata["threshold"] == threshold.value
    assert metadata["calibration"]["tpr"] == 0.95


def test_keras_saved_model_and_tflite_give_the_same_answers(whole):
    from kerasood.detectors import Energy
    from kerasood.serving import OODModel

    images = np.random.default_rng(3).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    paths = whole["exported"].paths
    threshold = read_metadata(whole["exported"].folder)["threshold"]
    model = OODModel(load_network(whole["runs"][-1].model), Energy(), threshold)
    expected = model.predict(images)
    assert np.ptp(expected["energy"]) > 1e-3
    for answers in (run_exported(paths["saved_model"], images),
                    run_exported(paths["tflite"], images)):
        assert set(answers) == OUTPUTS
        for name in ("logits", "energy", "score", "probabilities"):
            np.testing.assert_allclose(answers[name], expected[name], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(answers["is_ood"], expected["is_ood"])


def test_a_second_call_finds_the_training_done(whole, caplog):
    runs = whole["runs"]
    written = runs[-1].model.stat().st_mtime_ns
    config = train_config(
        "digits",
        out=str(runs[0].path.parent),
        depth=10,
        width=1,
        batch_size=433,
        pretrain_epochs=1,
        finetune_epochs=1,
        site="features",
    )
    with caplog.at_level("INFO"):
        train(config)
    assert "already complete" in caplog.text
    assert runs[-1].model.stat().st_mtime_ns == written
