"""An exported SavedModel inside the Triton server of nvidia-pytriton: FOLDER HTTP GRPC METRICS."""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from tensorflow import dtypes

from kerasood.export import load_served


def main(folder, *ports):
    """Serves every signature as a model of its name, until the process is stopped."""
    names = ("http_port", "grpc_port", "metrics_port")
    config = TritonConfig(
        **dict(zip(names, map(int, ports), strict=True)),
        http_address="127.0.0.1", grpc_address="127.0.0.1", metrics_address="127.0.0.1",
    )
    with load_served(folder) as served, Triton(config=config) as triton:
        for signature, definition in served.signatures.items():
            if definition.inputs:
                triton.bind(
                    model_name=signature,
                    infer_func=_answering(served, signature),
                    inputs=_tensors(definition.inputs),
                    outputs=_tensors(definition.outputs),
                    config=ModelConfig(max_batch_size=64),
                )
        triton.serve()


def _answering(served, signature):
    @batch
    def answer(**inputs):
        # Triton knows no (N,).
        inputs = {name: v[:, 0] if v.ndim == 2 else v for name, v in inputs.items()}
        outputs = served.run(inputs, signature)
        return {name: v[:, None] if v.ndim == 1 else v for name, v in outputs.items()}

    return answer


def _tensors(infos):
    return [
        Tensor(
            name=name,
            dtype=np.bytes_ if info.dtype == dtypes.string.as_datatype_enum
            else dtypes.as_dtype(info.dtype).as_numpy_dtype,
            shape=tuple(dim.size for dim in info.tensor_shape.dim[1:]) or (1,),
        )
        for name, info in infos.items()
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
