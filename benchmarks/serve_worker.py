"""One runtime in a process of its own, for `benchmarks.serve`: answers lines of stdin with seconds.

    python -m benchmarks.serve_worker RUNTIME PATH THREADS

A line "BATCH REPEATS" is answered by the mean seconds of a pass over BATCH images, by the clock and
of the processors.
"""

import functools
import pathlib
import sys
import time

import numpy as np

IMAGE_SHAPE = (32, 32, 3)


def saved_model(path, threads, intra_op=None):
    """The C++ session, as TF Serving runs it: warm, the outputs fetched.

    `intra_op` threads share one operation, by default all of them.
    """
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra_op or threads, inter_op_parallelism_threads=threads
    )
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(config=config)
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
    signature = meta.signature_def["serving_default"]
    fetches = {name: output.name for name, output in signature.outputs.items()}
    call = session.make_callable(
        list(fetches.values()), feed_list=[signature.inputs["images"].name]
    )
    return lambda images: dict(zip(fetches, call(images), strict=True))


def tflite(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=threads).get_signature_runner("serving_default")
    return lambda images: runner(images=images)


def onnx(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


def openvino(path, threads):
    from kerasood.export.formats.openvino import open_openvino

    model = open_openvino(path, INFERENCE_NUM_THREADS=threads)
    names = {output.get_any_name(): output for output in model.outputs}

    def run(images):
        results = model({"images": images})
        return {name: results[output] for name, output in names.items()}

    return run


def keras_predict(path, threads):
    import keras
    import tensorflow as tf

    import kerasood.networks.wide_resnet  # noqa: F401, registers its classes
    import kerasood.serving  # noqa: F401

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model = keras.models.load_model(path, compile=False)
    return functools.partial(model.predict, batch_size=1024)


# What it runs, and in which environment.
RUNTIMES = {
    "saved_model": ("saved_model", saved_model, {}),
    "saved_model, intra_op 1": (
        "saved_model",
        functools.partial(saved_model, intra_op=1),
        {},
    ),
    "saved_model, XLA": (
        "saved_model",
        saved_model,
        {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"},
    ),
    "saved_model, no oneDNN": ("saved_model", saved_model, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "saved_model, unfolded": ("unfolded", saved_model, {}),
    "tflite": ("tflite", tflite, {}),
    "onnx": ("onnx", onnx, {}),
    "openvino": ("openvino", openvino, {}),
    "keras predict": ("keras", keras_predict, {}),
}


def images_of(batch_size):
    """Random images uint8 (batch_size, 32, 32, 3)."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (batch_size, *IMAGE_SHAPE), dtype=np.uint8)


def main(runtime, path, threads):
    """Loads a file once and times it whenever it is asked to."""
    run = RUNTIMES[runtime][1](path, int(threads))
    expected = np.load(pathlib.Path(path).parent / "expected.npy")
    scores = run(images_of(len(expected)))["score"]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)
    print("ready", flush=True)
    for line in sys.stdin:
        batch_size, repeats = map(int, line.split())
        images = images_of(batch_size)
        run(images)
        start = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            run(images)
        end = time.perf_counter(), time.process_time()
        print(*((after - before) / repeats for before, after in zip(start, end, strict=True)))
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
