import importlib
import inspect

import pytest

import kerasood
from kerasood.training.parameters import OF_EVERY_TRAINER

ANNOTATED = (
    "kerasood", "kerasood.benchmarking", "kerasood.data", "kerasood.detectors", "kerasood.metrics",
    "kerasood.thresholds",
)


@pytest.mark.parametrize("name", [*kerasood.__all__, "detectors", "metrics", "thresholds", "zoo"])
def test_every_public_name_is_there(name):
    assert name in dir(kerasood)
    assert getattr(kerasood, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kerasood' has no attribute 'trust_me'"):
        _ = kerasood.trust_me


def public_callables(module):
    """{name: function or constructor} of the public names of a module."""
    module = importlib.import_module(module)
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    found = {name: getattr(module, name) for name in names}
    return {
        name: value.__init__ if inspect.isclass(value) else value
        for name, value in found.items()
        if callable(value) and not (inspect.isclass(value) and issubclass(value, Exception))
    }


@pytest.mark.parametrize("module", ANNOTATED)
def test_public_functions_and_constructors_say_their_types(module):
    found = public_callables(module)
    assert len(found) > 2
    for name, function in found.items():
        signature = inspect.signature(function)
        unsaid = [
            parameter.name for parameter in signature.parameters.values()
            if parameter.annotation is inspect.Parameter.empty
            # Of all trainers alike; types are for what becomes a parameter of the objective.
            and parameter.name not in ("args", *OF_EVERY_TRAINER)
        ]
        assert not unsaid, f"{module}.{name}: {unsaid}"
        if function.__name__ != "__init__":
            assert signature.return_annotation is not inspect.Signature.empty, name
