"""What an installation brings, and what it must not bring."""

import importlib.metadata
import importlib.resources
import pathlib
import re
import subprocess
import sys

import pytest

from kerasood import __version__, export

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """The metadata that setup.py writes."""
    folder = tmp_path_factory.mktemp("info")
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return importlib.metadata.Distribution.at(folder / "kerasood.egg-info")


def required(metadata):
    """{extra or "": names of the distributions that it needs}."""
    names = {}
    for entry in metadata.requires:
        extra = re.search(r'extra == "(\w+)"', entry)
        names.setdefault(extra[1] if extra else "", set()).add(re.match(r"[\w.-]+", entry)[0])
    return names


def test_the_metadata_name_version_authors_and_readme(metadata):
    described = metadata.metadata
    assert (described["Name"], described["Version"]) == ("kerasood", __version__)
    assert described["Author"] and described.get_all("Project-URL")
    assert "Programming Language :: Python :: 3.13" in described.get_all("Classifier")
    assert (ROOT / "README.md").read_text(encoding="utf-8").split("\n")[2] in str(described)


def test_the_protobufs_of_tf_serving_stay_an_extra(metadata):
    """They ask for the distribution tensorflow, and pip puts it over tensorflow-cpu."""
    names = required(metadata)
    assert "tensorflow" in names[""] and "tensorflow-serving-api" not in names[""]
    assert names["serving"] == {"tensorflow-serving-api"}


def test_every_optional_format_has_an_extra_with_its_packages(metadata):
    names = required(metadata)
    for name, kind in export.FORMATS.items():
        assert set(kind.packages) <= names.get(name, set()), name


def test_the_tests_run_with_every_format_and_the_protobufs_of_tf_serving(metadata):
    [entry] = [entry for entry in metadata.requires if entry.startswith("kerasood[")]
    assert entry.endswith('extra == "dev"')
    extras = set(re.search(r"\[(.+)\]", entry)[1].split(","))
    assert extras >= {"serving", *export.FORMATS} - {"saved_model"}
    assert extras <= set(metadata.metadata.get_all("Provides-Extra"))


def test_the_package_says_that_it_is_typed():
    assert importlib.resources.files("kerasood").joinpath("py.typed").is_file()
