"""The folder that is written beside an export for servers, of a model named cifar10."""

import functools
import importlib.util
import sys
import tempfile

import pytest

from kerasood.export.deploy import write_deploy

MODEL = "cifar10"


@functools.cache
def deploy():
    """The folder as it is written for a model of that name."""
    kept = tempfile.TemporaryDirectory()
    folder = write_deploy(kept.name, "deploy", MODEL, 3)
    # It lives as long as the object that the cache holds.
    deploy.kept = kept
    return folder


def text_of(name):
    return (deploy() / name).read_text(encoding="utf-8")


def as_yaml(name):
    return pytest.importorskip("yaml").safe_load(text_of(name))


def client(name):
    """A client as a module; one imports the other, as scripts of one folder do."""
    spec = importlib.util.spec_from_file_location(name, deploy() / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(deploy()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(deploy()))
    return module
