"""Records inputs and outputs of layers while a model runs, for models without a graph."""

import contextlib
import functools
import threading
import typing

_lock = threading.Lock()
_wrapped = {}  # id of a layer -> [blocks that record it, its own instance attribute `call`]
_open = threading.local()
_MISSING = object()


class Call(typing.NamedTuple):
    """One call of a layer: its first argument and what it returned."""

    layer: object
    inputs: object
    output: object


@contextlib.contextmanager
def recorded(layers):
    """Records the calls of some layers that this thread makes inside the block.

    Works wherever Python runs the layers: eagerly and while a function is traced, since the
    recorded tensors belong to the same trace. For as long as any block is open, its layers have an
    instance attribute `call` that shadows the method of their class; other threads may use the
    layers meanwhile and are not recorded.

    Args:
        layers: list of keras.layers.Layer.

    Yields:
        list of Call, in the order in which the layers return.
    """
    record = _Record(layers)
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(_unwrap, layer)
            _wrap(layer)
        records = _open.__dict__.setdefault("records", [])
        records.append(record)
        stack.callback(records.remove, record)
        yield record.calls


class _Record:
    def __init__(self, layers):
        self.ids = {id(layer) for layer in layers}
        self.calls = []


def _wrap(layer):
    with _lock:
        entry = _wrapped.setdefault(id(layer), [0, _MISSING])
        entry[0] += 1
        if entry[0] == 1:
            entry[1] = vars(layer).get("call", _MISSING)
            # Not by setattr: Keras and TensorFlow track what is assigned to a layer.
            vars(layer)["call"] = _recording(layer, layer.call)


def _unwrap(layer):
    with _lock:
        entry = _wrapped[id(layer)]
        entry[0] -= 1
        if entry[0]:
            return
        del _wrapped[id(layer)]
        if entry[1] is _MISSING:
            del vars(layer)["call"]
        else:
            vars(layer)["call"] = entry[1]


def _recording(layer, call):
    @functools.wraps(call)
    def call_and_record(*args, **kwargs):
        output = call(*args, **kwargs)
        for record in getattr(_open, "records", ()):
            if id(layer) in record.ids:
                inputs = args[0] if args else next(iter(kwargs.values()), None)
                record.calls.append(Call(layer, inputs, output))
        return output

    return call_and_record
