"""What a client of the exported SavedModel may rely on, through the C++ loader and session."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from encoded_images import encode, huge_png, noise, picture
from real_tf_serving import BINARY, NO_BINARY, as_b64, ask_rest, real_server
from tf_serving import NO_API, raw_model, stand_in

from kerasood.data.decoding import decode
from kerasood.export import ExportMismatch, check_signatures, load_served, read_metadata
from kerasood.export.checks import requests, warmup

SIGNATURES = {
    "serving_default": ["energy", "is_ood", "logits", "probabilities", "score"],
    "classify": ["is_ood", "label", "probability", "score"],
    "serving_bytes": ["energy", "is_ood", "logits", "probabilities", "score", "valid"],
    "classify_bytes": ["is_ood", "label", "probability", "score", "valid"],
}
DTYPES = {"is_ood": tf.bool, "valid": tf.bool, "label": tf.string}
SIZES = {"logits": [4], "probabilities": [4]}
OTHER_IMAGES = {
    "no batch": np.zeros((8, 8, 3), np.uint8),
    "rank": np.zeros((2, 1, 8, 8, 3), np.uint8),
    "size": np.zeros((2, 9, 8, 3), np.uint8),
    "grey": np.zeros((2, 8, 8, 1), np.uint8),
    "rgba": np.zeros((2, 8, 8, 4), np.uint8),
    "six channels": np.zeros((2, 8, 8, 6), np.uint8),
    "floats": np.zeros((2, 8, 8, 3), np.float32),
    "nan": np.full((2, 8, 8, 3), np.nan, np.float32),
    "int64": np.zeros((2, 8, 8, 3), np.int64),
}
NOT_FILES = {
    "no batch": np.array(b"no image", dtype=object),
    "rank": np.array([[b"no image"]], dtype=object),
    "pixels": np.zeros((2, 8, 8, 3), np.uint8),
}
BAD_FILES = {
    "empty": b"",
    "text": b"no image",
    "truncated JPEG": encode(picture(20, 20), "JPEG")[:300],
    "truncated PNG": encode(noise(20, 20))[:300],
    "56 megapixels": huge_png(8000, 7000),
    "BMP": encode(noise(8, 8), "BMP"),
}


@pytest.fixture(scope="module")
def model(served_export):
    with raw_model(served_export.folder) as model:
        yield model


@pytest.fixture(scope="module")
def images():
    return np.stack([noise(8, 8, seed=seed) for seed in range(9)])


def batch_of(images, num_images):
    return np.resize(images, (num_images, *images.shape[1:]))


def assert_same(outputs, expected):
    for name, output in outputs.items():
        if output.dtype.kind == "f":
            np.testing.assert_allclose(output, expected[name], rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(output, expected[name])


def test_signatures_are_named_and_typed(model):
    assert model.calls.keys() == SIGNATURES.keys()
    for name, outputs in SIGNATURES.items():
        definition = model.signatures[name]
        assert definition.method_name == "tensorflow/serving/predict"
        (input_name,) = definition.inputs
        assert input_name == ("image_bytes" if name.endswith("_bytes") else "images")
        # Servers join requests along it.
        assert definition.inputs[input_name].tensor_shape.dim[0].size == -1
        assert sorted(definition.outputs) == outputs
        for output, info in definition.outputs.items():
            assert info.dtype == DTYPES.get(output, tf.float32)
            assert [size.size for size in info.tensor_shape.dim] == [-1, *SIZES.get(output, [])]
            # The server would send these to REST clients as base64.
            assert not output.endswith("_bytes")


@pytest.mark.parametrize("num_images", [0, 1, 7, 256])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_any_batch_size(model, images, signature, num_images):
    batch = batch_of(images, num_images)
    reference = model.run({"images": batch_of(images, max(num_images, 1))})
    inputs = {"images": batch}
    if signature.endswith("_bytes"):
        inputs = {"image_bytes": np.array([encode(image) for image in batch], dtype=object)}
    outputs = model.run(inputs, signature)
    assert sorted(outputs) == SIGNATURES[signature]
    assert {len(output) for output in outputs.values()} == {num_images}
    expected = {
        **reference,
        "label": np.array([b"abcd"[k : k + 1] for k in reference["logits"].argmax(axis=1)]),
        "probability": reference["probabilities"].max(axis=1),
        "valid": np.ones(num_images, bool),
    }
    assert_same(outputs, {name: output[:num_images] for name, output in expected.items()})


def test_other_sizes_are_prepared_as_offline(model):
    files = [encode(picture(30, 41)), encode(picture(50, 20), "JPEG"), encode(noise(11, 8, 4))]
    offline = np.stack([decode(file, 8) for file in files])
    outputs = model.run({"image_bytes": np.array(files, dtype=object)}, "serving_bytes")
    expected = model.run({"images": offline})
    # One grey level of 64 that the network divides by.
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=0.3)
    assert outputs["valid"].all()


def good_is_served(model, images):
    expected = model.run({"images": images})
    assert np.isfinite(expected["energy"]).all() and np.ptp(expected["energy"]) > 0.1


@pytest.mark.parametrize("signature", ["serving_default", "classify"])
@pytest.mark.parametrize("bad", OTHER_IMAGES)
def test_other_images_are_refused_by_the_graph(model, images, signature, bad):
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?i)shape|type|rank|expected"):
        model.run({"images": OTHER_IMAGES[bad]}, signature)
    good_is_served(model, images)


@pytest.mark.parametrize("signature", ["serving_bytes", "classify_bytes"])
@pytest.mark.parametrize("bad", NOT_FILES)
def test_what_is_no_list_of_files_is_refused_by_the_graph(model, images, signature, bad):
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?i)shape|type|rank|expected"):
        model.run({"image_bytes": NOT_FILES[bad]}, signature)
    good_is_served(model, images)


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_bad_file_is_marked_and_the_others_are_answered(model, images, bad):
    good = encode(images[0])
    files = np.array([good, BAD_FILES[bad], good], dtype=object)
    outputs = model.run({"image_bytes": files}, "serving_bytes")
    assert outputs["valid"].tolist() == [True, False, True]
    assert outputs["is_ood"][1]
    for name in ("logits", "probabilities", "energy", "score"):
        assert not outputs[name][1].any()
    expected = model.run({"images": images[[0, 1, 0]]})
    for name, output in expected.items():
        assert_same({name: outputs[name][[0, 2]]}, {name: output[[0, 2]]})
    short = model.run({"image_bytes": files}, "classify_bytes")
    assert short["valid"].tolist() == [True, False, True]
    assert (short["label"][1], short["probability"][1], short["is_ood"][1]) == (b"", 0, True)
    assert short["label"][0] == short["label"][2] != b""


def test_python_callers_are_told_what_is_wrong(served_export, images):
    with load_served(served_export.folder) as served:
        with pytest.raises(ValueError, match="out of .*'classify'.* Received: 'predict'"):
            served.run({"images": images}, "predict")
        with pytest.raises(ValueError, match=r"inputs \['images'\] of .*Received: \['pixels'\]"):
            served.run({"pixels": images})
        with pytest.raises(ValueError, match="images as uint8. Received: dtype=float32"):
            served.run({"images": images.astype("float32")})
        assert len(served.run({"image_bytes": []}, "classify_bytes")["label"]) == 0


@pytest.mark.skipif(not shutil.which(BINARY), reason=NO_BINARY)
def test_the_real_server_answers_as_the_stand_in_does(served_export, images):
    answers = []
    for serve in (stand_in, real_server):
        with serve(served_export.folder) as running:
            answers.append(ask_rest(running, images[:2].tolist())[1]["predictions"])
    for expected, received in zip(*answers, strict=True):
        assert received["is_ood"] == expected["is_ood"]
        np.testing.assert_allclose(received["score"], expected["score"], rtol=1e-5)


def test_rest_clients_get_rows(server, images):
    status, content = ask_rest(server, images[:2].tolist())
    assert status == 200
    assert sorted(content["predictions"][1]) == SIGNATURES["serving_default"]
    files = [as_b64(encode(images[0])), as_b64(b"no image")]
    status, content = ask_rest(server, files, "classify_bytes")
    assert status == 200
    good, bad = content["predictions"]
    assert good["label"] in list("abcd") and good["valid"] is True
    assert bad == {"label": "", "probability": 0, "score": 0, "is_ood": True, "valid": False}
    status, content = ask_rest(server, [{"image_bytes": file} for file in files], "classify_bytes")
    assert content["predictions"] == [good, bad]


def test_any_image_is_answered_in_json(server):
    """JSON has no NaN and no infinity, so that one would fail the whole answer."""
    black, white = np.zeros((8, 8, 3), int), np.full((8, 8, 3), 255)
    halves = np.where(np.arange(8)[:, None, None] < 4, white, black)
    status, content = ask_rest(server, [x.tolist() for x in (black, white, halves, noise(8, 8))])
    assert status == 200
    energies = [row["energy"] for row in content["predictions"]]
    assert np.all(np.isfinite(energies)) and np.ptp(energies) > 0.1


@pytest.mark.parametrize(
    ("instances", "signature"),
    [
        ([[[1, 2, 3]]], "serving_default"),
        (np.zeros((1, 8, 8, 1), int).tolist(), "serving_default"),
        (np.full((1, 8, 8, 3), np.nan).tolist(), "serving_default"),
        (np.zeros((1, 9, 9, 3), int).tolist(), "serving_default"),
        (np.full((1, 8, 8, 3), 0.5).tolist(), "serving_default"),
        (np.zeros((1, 8, 8, 3), int).tolist(), "no such signature"),
    ],
    ids=["rank", "channels", "nan", "size", "floats", "signature"],
)
def test_bad_rest_requests(server, images, instances, signature):
    status, content = ask_rest(server, instances, signature)
    assert status >= 400 and content["error"]
    assert ask_rest(server, images[:1].tolist())[0] == 200


def test_grpc_requests_and_responses(server, images):
    grpc = pytest.importorskip("grpc", reason=NO_API)
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    request = warmup.predict_request(server.model, "serving_default", {"images": images})
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=60)
        outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
        assert sorted(outputs) == SIGNATURES["serving_default"]
        for bad in OTHER_IMAGES.values():
            request.inputs["images"].CopyFrom(tf.make_tensor_proto(bad))
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=60)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
        again = stub.Predict(request, timeout=60)
    assert_same({name: tf.make_ndarray(tensor) for name, tensor in again.outputs.items()}, outputs)


def test_what_the_artefact_says_about_itself(served_export):
    metadata = read_metadata(served_export.folder)
    assert metadata["class_names"] == list("abcd")
    assert metadata["detector"] == "energy" and "threshold" in metadata


@pytest.mark.parametrize("name", ["score", "label", "valid"])
def test_a_signature_that_answers_otherwise_is_not_kept(served_export, images, monkeypatch, name):
    original = requests._expected

    def changed(outputs, class_names):
        expected = original(outputs, class_names)
        expected[name] = expected[name][::-1] if name == "score" else expected[name][:-1]
        return expected

    monkeypatch.setattr(requests, "_expected", changed)
    with load_served(served_export.folder) as served:
        with pytest.raises(ExportMismatch, match=f"Expected {name} of classify"):
            check_signatures(served, images, list("abcd"))
