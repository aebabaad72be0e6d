"""Warm-up requests through TF Serving's own messages."""

import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from tf_serving import NO_API
from tiny_models import ood_model, random_images, small_network

from kerasood.detectors import Energy
from kerasood.export import FORMATS, ExportMismatch, export_model, load_served
from kerasood.export.checks import warmup
from kerasood.export.checks.warmup import FILE_NAME, predict_request, replay_warmup, write_warmup
from kerasood.export.formats import saved_model


@pytest.fixture(scope="module")
def prediction_log_pb2():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    from tensorflow_serving.apis import prediction_log_pb2

    return prediction_log_pb2


@pytest.fixture
def folder(served_export, tmp_path):
    """A copy of the SavedModel to write to."""
    return shutil.copytree(served_export.folder, tmp_path / "1")


def warmup_path(folder):
    return folder / "assets.extra" / FILE_NAME


def test_every_signature_is_warmed_up_with_one_and_with_many(served_export, prediction_log_pb2):
    path = warmup_path(served_export.folder)
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    # TF Serving reads at most 1,000.
    assert len(requests) == 8
    assert served_export.notes["saved_model"].startswith("8 warm-up requests")
    asked = []
    for request in requests:
        assert request.model_spec.name == "tiny"
        ((name, tensor),) = request.inputs.items()
        asked.append((request.model_spec.signature_name, name, tensor.tensor_shape.dim[0].size))
    assert asked == [
        (signature, "image_bytes" if "bytes" in signature else "images", num_images)
        for signature in ("classify", "classify_bytes", "serving_bytes", "serving_default")
        for num_images in (1, 8)
    ]


def test_a_request_that_fails_is_named(folder, prediction_log_pb2):
    log = prediction_log_pb2.PredictionLog()
    inputs = {"images": np.zeros((1, 8, 8, 3), np.float32)}
    log.predict_log.request.CopyFrom(predict_request("tiny", "serving_default", inputs))
    with tf.io.TFRecordWriter(str(warmup_path(folder))) as writer:
        writer.write(log.SerializeToString())
    with load_served(folder) as served:
        with pytest.raises(ExportMismatch, match="request 0 of .* Received: Expected images as"):
            replay_warmup(served, folder)


def test_a_version_whose_warm_up_fails_is_not_kept(prediction_log_pb2, tmp_path, monkeypatch):
    """The server would refuse the model for one such record."""
    model = ood_model(small_network(), Energy())
    floats = np.zeros((1, 8, 8, 3), np.float32)
    monkeypatch.setattr(
        warmup,
        "_requests",
        lambda *_: [predict_request("tiny", "serving_default", {"images": floats})],
    )
    with pytest.raises(ExportMismatch, match="Expected an answer to warm-up request 0"):
        export_model(
            model,
            tmp_path / "out",
            images=random_images(model.image_shape),
            formats=("saved_model",),
        )
    assert not list(tmp_path.iterdir())


def test_without_the_protobufs_there_is_no_file(folder, monkeypatch):
    warmup_path(folder).unlink(missing_ok=True)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    assert write_warmup(None, folder, "tiny", (8, 8, 3)) == 0
    assert not warmup_path(folder).exists()


def test_the_export_says_that_there_are_none(served_export, monkeypatch):
    monkeypatch.setattr(saved_model, "write_warmup", lambda *_: 0)
    images = random_images((8, 8, 3))
    metadata = {"class_names": list("abcd")}
    kind = FORMATS["saved_model"]
    note = kind.finish(served_export.folder, images, metadata, "tiny")
    assert "pip install --no-deps tensorflow-serving-api" in note
