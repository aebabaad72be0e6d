"""Requests that are joined: what batching.config says, in a server that batches as TF Serving."""

import concurrent.futures

import numpy as np
import pytest
from deploy_folder import as_yaml, text_of
from encoded_images import encode, noise
from serving_messages import parsed
from tf_serving import BatchedModel, Batching, raw_model

BATCHING_FIELDS = {
    "max_batch_size": ".google.protobuf.Int64Value",
    "batch_timeout_micros": ".google.protobuf.Int64Value",
    "max_enqueued_batches": ".google.protobuf.Int64Value",
    "num_batch_threads": ".google.protobuf.Int64Value",
    "enable_large_batch_splitting": ".google.protobuf.BoolValue",
    "max_execution_batch_size": ".google.protobuf.Int64Value",
}


def batching():
    parameters = parsed(
        text_of("batching.config"), "BatchingParameters", BatchingParameters=BATCHING_FIELDS
    )
    return {name: getattr(parameters, name).value for name in BATCHING_FIELDS}


def test_batching_parameters_are_what_the_server_takes():
    values = batching()
    assert min(values.values()) > 0
    assert values["batch_timeout_micros"] < 100_000, "no one should wait for a tenth of a second"
    # The scheduler's own conditions; the queue must hold the parts of a request that is split.
    assert values["max_execution_batch_size"] <= values["max_batch_size"]
    parts = values["max_batch_size"] / values["max_execution_batch_size"]
    assert values["max_enqueued_batches"] >= parts


def as_files(images):
    return np.array([encode(image) for image in images], dtype=object)


@pytest.fixture(scope="module")
def batched(served_export):
    """A model that joins requests as batching.config says, and waits for them a little longer."""
    values = batching()
    del values["num_batch_threads"], values["max_enqueued_batches"]
    values["batch_timeout_micros"] = 200_000
    with raw_model(served_export.folder) as model:
        yield BatchedModel(model, Batching(**values))


def together(model, requests, signature):
    """Answers of requests that arrive at the same time, or their errors."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as threads:
        futures = [threads.submit(model.run, request, signature) for request in requests]
        return [future.exception() or future.result() for future in futures]


def test_batching_splits_large_requests_and_refuses_larger_ones(batched):
    limit, at_once = batching()["max_batch_size"], batching()["max_execution_batch_size"]
    images = np.resize(noise(8, 8), (at_once + 1, 8, 8, 3))
    batched.sizes.clear()
    assert len(batched.run({"images": images}, "classify")["score"]) == at_once + 1
    assert batched.sizes == [at_once, 1]
    with pytest.raises(ValueError, match=f"larger than maximum input batch size {limit}"):
        batched.run({"images": np.zeros((limit + 1, 8, 8, 3), np.uint8)}, "classify")


def test_batching_lets_wrong_pixels_fail_others_but_no_file(batched):
    """Why compose.yaml serves without it."""
    good, bad = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 9, 9, 3), np.uint8)
    answers = together(batched, [{"images": good}, {"images": bad}], "classify")
    assert all("different shapes" in str(answer) for answer in answers)
    files = [as_files(good), np.array([b"no image"], dtype=object), as_files(bad)]
    answers = together(batched, [{"image_bytes": file} for file in files], "classify_bytes")
    assert [answer["valid"].tolist() for answer in answers] == [[True], [False], [True]]
    assert not any("batching" in argument
                   for argument in as_yaml("compose.yaml")["services"]["serving"]["command"])
