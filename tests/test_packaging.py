"""What an installation brings, and what it must not bring."""

import pathlib
import re

import setuptools

from kerasood import export

ROOT = pathlib.Path(__file__).parent.parent


def requirements(monkeypatch):
    """(install_requires, {extra: requirements}) of setup.py, by name."""
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    script = (ROOT / "setup.py").read_text(encoding="utf-8")
    exec(compile(script, "setup.py", "exec"), {"__file__": str(ROOT / "setup.py")})
    names = {
        extra: {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in listed}
        for extra, listed in given["extras_require"].items()
    }
    required = {re.match(r"[\w.-]+", entry)[0].lower() for entry in given["install_requires"]}
    return required, names


def test_the_protobufs_of_tf_serving_stay_an_extra(monkeypatch):
    """They ask for the distribution tensorflow, and pip puts it over tensorflow-cpu."""
    required, extras = requirements(monkeypatch)
    with_them = {extra for extra, names in extras.items() if "tensorflow-serving-api" in names}
    assert with_them == {"serving"}
    assert "tensorflow" in required and "tensorflow-serving-api" not in required


def test_every_optional_format_has_an_extra_with_its_packages(monkeypatch):
    _, extras = requirements(monkeypatch)
    for name, kind in export.FORMATS.items():
        assert set(kind.packages) <= extras.get(name, set()), name
