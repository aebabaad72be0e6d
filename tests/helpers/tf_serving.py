"""A stand-in for TF Serving on this machine, and the real server where there is one.

The stand-in speaks TF Serving's REST and, with tensorflow-serving-api, its gRPC stubs. It holds the
model in a C++ session and hands the arrays over unchecked, so that the graph itself must refuse
what it cannot answer: Python's Session.run would check shapes and cast dtypes.
"""

import base64
import concurrent.futures
import contextlib
import dataclasses
import http.server
import json
import re
import threading
import time

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from kerasood.export import load_served

LABEL = "stable"
NO_API = "needs the extra 'serving': pip install --no-deps tensorflow-serving-api"


@dataclasses.dataclass
class Server:
    """Where a server listens; no gRPC port without tensorflow-serving-api."""

    model: str
    rest_port: int
    grpc_port: int | None
    # Paths of the REST requests so far; a stand-in's alone.
    asked: list[str] = dataclasses.field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.rest_port}/v1/models/{self.model}"


class RawModel:
    """A SavedModel in a C++ session that is asked by signature, without any check in Python."""

    def __init__(self, served):
        self.signatures = served.signatures
        self.calls = {
            name: served.session._make_callable_from_options(
                config_pb2.CallableOptions(
                    feed=[tensor.name for tensor in definition.inputs.values()],
                    fetch=[tensor.name for tensor in definition.outputs.values()],
                )
            )
            for name, definition in served.signatures.items()
            if definition.inputs
        }

    def run(self, inputs, signature="serving_default"):
        """Answers a dict of arrays with a dict of arrays.

        Raises:
            ValueError: signature or inputs are unknown.
            tf.errors.OpError: the graph refuses.
        """
        signature = signature or "serving_default"
        if signature not in self.calls:
            raise ValueError(f"no signature {signature!r}")
        definition = self.signatures[signature]
        if inputs.keys() != definition.inputs.keys():
            raise ValueError(f"inputs {sorted(definition.inputs)}, not {sorted(inputs)}")
        outputs = self.calls[signature](*(inputs[name] for name in definition.inputs))
        return dict(zip(definition.outputs, outputs, strict=True))


@dataclasses.dataclass(frozen=True)
class Batching:
    """The fields of TF Serving's BatchingParameters that decide what is answered.

    As in its batching_session.cc and in TensorFlow's shared_batch_scheduler.h.
    """

    max_batch_size: int
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    batch_timeout_micros: int = 0


class BatchedModel:
    """A RawModel that joins requests of one signature as TF Serving's BatchingSession does."""

    def __init__(self, model, batching):
        self.signatures, self.calls = model.signatures, model.calls
        self.sizes = []
        self._model, self._batching = model, batching
        self._waiting, self._lock = {}, threading.Lock()

    def run(self, inputs, signature="serving_default"):
        """Answers as `RawModel.run`; refuses what the scheduler or the merging refuses."""
        signature = signature or "serving_default"
        (values,) = inputs.values()
        if np.ndim(values) == 0:
            raise ValueError("Input tensors must have at least one dimension")
        if len(values) > self._batching.max_batch_size:
            raise ValueError(
                f"Task size {len(values)} is larger than maximum input batch size "
                f"{self._batching.max_batch_size}"
            )
        task = {"inputs": inputs, "done": threading.Event(), "answer": None}
        with self._lock:
            tasks = self._waiting.setdefault(signature, [])
            tasks.append(task)
            first = len(tasks) == 1
        if first:
            time.sleep(self._batching.batch_timeout_micros / 1e6)
            with self._lock:
                tasks = self._waiting.pop(signature)
            self._process(tasks, signature)
        task["done"].wait()
        if isinstance(task["answer"], Exception):
            raise task["answer"]
        return task["answer"]

    def _process(self, tasks, signature):
        try:
            answers = self._answers([task["inputs"] for task in tasks], signature)
        except (ValueError, KeyError, tf.errors.OpError) as error:
            answers = [error] * len(tasks)
        for task, answer in zip(tasks, answers, strict=True):
            task["answer"] = answer
            task["done"].set()

    def _answers(self, requests, signature):
        (name,) = requests[0]
        arrays = [request[name] for request in requests]
        if len({array.shape[1:] for array in arrays}) > 1:
            raise ValueError(
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off."
            )
        joined = np.concatenate(arrays)
        size = self._batching.max_batch_size
        if self._batching.enable_large_batch_splitting:
            size = self._batching.max_execution_batch_size or size
        parts = []
        for start in range(0, max(len(joined), 1), size):
            part = joined[start : start + size]
            self.sizes.append(len(part))
            parts.append(self._model.run({name: part}, signature))
        merged = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        ends = np.cumsum([len(array) for array in arrays])
        return [
            {key: values[end - len(array) : end] for key, values in merged.items()}
            for end, array in zip(ends, arrays, strict=True)
        ]


@contextlib.contextmanager
def raw_model(folder):
    """Loads a SavedModel as a RawModel."""
    with load_served(folder) as served:
        yield RawModel(served)


@contextlib.contextmanager
def stand_in(folder, state="AVAILABLE"):
    """Serves MODEL/VERSION until the block ends; yields a Server.

    Args:
        folder: Path of MODEL/VERSION, which is served as its version label `stable` too.
        state: str, of the version, as TF Serving names it.
    """
    asked = []
    with raw_model(folder) as model:
        rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _RestHandler)
        rest.model, rest.name, rest.version = model, folder.parent.name, folder.name
        rest.asked, rest.state = asked, state
        thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with _grpc_server(model) as grpc_port:
                yield Server(folder.parent.name, rest.server_port, grpc_port, asked)
        finally:
            rest.shutdown()
            thread.join()
            rest.server_close()


class _RestHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if not self._path_matches(r""):
            return self._send(404, {"error": f"Malformed request: GET {self.path}"})
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": self.server.version, "state": self.server.state, "status": status}
        self._send(200, {"model_version_status": [version]})

    def do_POST(self):
        if not self._path_matches(r":predict"):
            return self._send(404, {"error": f"Malformed request: POST {self.path}"})
        try:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = _predict_rows(self.server.model, content)
        except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            return self._send(400, {"error": str(error)})
        self._send(200, answer)

    def _path_matches(self, verb):
        name, version = re.escape(self.server.name), re.escape(self.server.version)
        place = f"/v1/models/{name}(/versions/{version}|/labels/{LABEL})?"
        return re.fullmatch(f"{place}{verb}", self.path)

    def _send(self, status, content):
        self.server.asked.append(self.path)
        body = json.dumps(content, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def _predict_rows(model, content):
    """TF Serving's row format: every instance is the value of the one input, or {name: value}."""
    signature = content.get("signature_name", "serving_default")
    if signature not in model.calls:
        raise ValueError(f"no signature {signature!r}")
    ((name, tensor),) = model.signatures[signature].inputs.items()
    rows = [row[name] if _names_inputs(row) else row for row in content["instances"]]
    dtype = tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype
    if dtype is object:
        values = np.array([_decoded(row) for row in rows], dtype=object)
    else:
        values = np.array(rows)
        if values.dtype.kind not in "iu":
            raise ValueError("JSON Value not formatted correctly for uint8")
    outputs = model.run({name: values.astype(dtype)}, signature)
    columns = {name: [_as_json(value) for value in output] for name, output in outputs.items()}
    return {"predictions": [dict(zip(columns, row)) for row in zip(*columns.values())]}  # noqa: B905


def _names_inputs(row):
    return isinstance(row, dict) and row.keys() != {"b64"}


def _decoded(row):
    return base64.b64decode(row["b64"], validate=True) if isinstance(row, dict) else row.encode()


def _as_json(value):
    return value.decode() if isinstance(value, bytes) else np.asarray(value).tolist()


@contextlib.contextmanager
def _grpc_server(model):
    """Yields the port of a PredictionService, or None without tensorflow-serving-api."""
    try:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc
    except ImportError:
        yield None
        return

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            try:
                if request.model_spec.version_label not in ("", LABEL):
                    raise ValueError(f"Unrecognized label {request.model_spec.version_label!r}")
                return answer(model, request)
            except (ValueError, tf.errors.OpError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def answer(model, request):
    """The PredictResponse of a RawModel to a PredictRequest."""
    from tensorflow_serving.apis import predict_pb2

    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    outputs = model.run(inputs, request.model_spec.signature_name)
    wanted = request.output_filter or outputs
    response = predict_pb2.PredictResponse()
    response.model_spec.CopyFrom(request.model_spec)
    for name in wanted:
        response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
    return response
