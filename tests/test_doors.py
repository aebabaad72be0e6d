import importlib
import inspect

import pytest

import kerasood
from kerasood.training.parameters import OF_EVERY_TRAINER

ANNOTATED = (
    "kerasood", "kerasood.benchmarking", "kerasood.data", "kerasood.detectors", "kerasood.export",
    "kerasood.extractor", "kerasood.metrics", "kerasood.monitoring", "kerasood.networks.zoo",
    "kerasood.reporting", "kerasood.scoring", "kerasood.serving", "kerasood.thresholds",
    "kerasood.training",
)


@pytest.mark.parametrize("name", [*kerasood.__all__, "detectors", "metrics", "thresholds", "zoo"])
def test_every_public_name_is_there(name):
    assert name in dir(kerasood)
    assert getattr(kerasood, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kerasood' has no attribute 'trust_me'"):
        _ = kerasood.trust_me


def public_callables(module):
    """{name: function} of a module's public functions, constructors, methods and properties."""
    module = importlib.import_module(module)
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    found = {}
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value):
            found |= {f"{name}.{method}": each for method, each in methods(value)}
        elif callable(value):
            found[name] = value
    return found


def methods(cls):
    """(name, function) of what a class defines and no class above it does."""
    for name, value in vars(cls).items():
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        inherited = any(hasattr(base, name) for base in cls.__mro__[1:])
        if inspect.isfunction(value) and not name.startswith("_") and not inherited:
            yield name, value
    if inspect.isfunction(cls.__init__) and not issubclass(cls, Exception):
        yield "__init__", cls.__init__


@pytest.mark.parametrize("module", ANNOTATED)
def test_public_functions_and_methods_say_their_types(module):
    found = public_callables(module)
    assert len(found) > 2
    for name, function in found.items():
        signature = inspect.signature(function)
        unsaid = [
            parameter.name for parameter in signature.parameters.values()
            if parameter.annotation is inspect.Parameter.empty
            # Of all trainers alike; types are for what becomes a parameter of the objective.
            and parameter.name not in ("self", "cls", "args", *OF_EVERY_TRAINER)
        ]
        assert not unsaid, f"{module}.{name}: {unsaid}"
        if function.__name__ != "__init__":
            assert signature.return_annotation is not inspect.Signature.empty, name
