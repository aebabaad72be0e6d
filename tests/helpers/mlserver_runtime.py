"""An exported SavedModel inside MLServer, a server of KServe's V2 protocol."""

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

from kerasood.export import load_served

KINDS = {"f": "FP32", "b": "BOOL"}


class Runtime(MLModel):
    """Answers pixels, input `images`, with the outputs of `serving_default`."""

    async def load(self):
        self._context = load_served(self.settings.parameters.uri)
        self._served = self._context.__enter__()
        return True

    async def predict(self, payload):
        (images,) = payload.inputs
        pixels = np.array(images.data.root, np.uint8).reshape(images.shape)
        outputs = self._served.run({images.name: pixels})
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                ResponseOutput(
                    name=name,
                    shape=list(output.shape),
                    datatype=KINDS[output.dtype.kind],
                    data=output.ravel().tolist(),
                )
                for name, output in outputs.items()
            ],
        )
