"""Asks TF Serving about image files over gRPC; needs tensorflow-serving-api.

    python grpc_client.py --model cifar10 photo.jpg drawing.png
"""

import argparse
import pathlib
import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def classify(files, address, model, timeout=60):
    """Classifies JPEG or PNG files.

    Args:
        files: list of bytes.
        address: str, host:port of the server's gRPC port.
        model: str, the name it is served under.
        timeout: float, seconds.

    Returns:
        dict of arrays (N,): "label" (bytes), "probability", "score", "is_ood", and "valid", which
        is false where the bytes are no image.

    Raises:
        grpc.RpcError: the server refused the request or cannot be reached.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "classify_bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files, dtype=tf.string))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=timeout)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def main():
    parser = argparse.ArgumentParser(description="Classifies image files over gRPC.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--address", default="127.0.0.1:8500")
    parser.add_argument("--model", default="cifar10")
    arguments = parser.parse_args()
    try:
        files = [path.read_bytes() for path in arguments.files]
        answers = classify(files, arguments.address, arguments.model)
    except OSError as error:
        sys.exit(f"error: {error}")
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
    for number, path in enumerate(arguments.files):
        if not answers["valid"][number]:
            print(f"{path}: no JPEG or PNG image that can be decoded")
            continue
        verdict = "OOD" if answers["is_ood"][number] else "in-distribution"
        print(
            f"{path}: {answers['label'][number].decode()} "
            f"({answers['probability'][number]:.1%}), {verdict}, "
            f"score {answers['score'][number]:.4g}"
        )


if __name__ == "__main__":
    main()
