"""--help: examples, groups and names, before Keras is imported."""

import json
import re
import subprocess
import sys

import pytest

from kerasood.commands import help as helping
from kerasood.commands.entries import COMMANDS
from kerasood.commands.flags import flag_names
from kerasood.detectors import DETECTORS
from kerasood.networks import zoo
from kerasood.training.trainers import OBJECTIVES

# What a new process knows before Keras is imported, and what it took.
FRESH = """
import json, sys, time
from kerasood.commands import help as helping
from kerasood.commands.entries import COMMANDS
from kerasood.training.declared import declared_objectives
texts = {
    name: helping.help_text(config, helping.HELP[name]) for name, (config, _) in COMMANDS.items()
}
print(json.dumps({
    "keras": "keras" in sys.modules, "tensorflow": "tensorflow" in sys.modules, "texts": texts,
    "detectors": helping.detector_names(), "seconds": time.process_time(),
    "objectives": {
        name: {each: repr(described) for each, described in parameters.items()}
        for name, parameters in declared_objectives().items()
    },
}))
"""


@pytest.fixture(scope="module")
def fresh():
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_help_needs_no_keras_and_less_than_a_second_for_all_commands(fresh):
    assert not fresh["keras"] and not fresh["tensorflow"]
    assert fresh["seconds"] < 1


def test_what_is_read_from_the_source_is_what_the_classes_say(fresh):
    built_in = [n for n, kind in DETECTORS.items() if kind.__module__.startswith("kerasood.")]
    assert fresh["detectors"] == sorted(built_in)
    described = {
        name: {each: repr(parameter) for each, parameter in kind.own_parameters().items()}
        for name, kind in OBJECTIVES.items()
        if kind.__module__.startswith("kerasood.")
    }
    assert fresh["objectives"] == described


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_in_one_place_and_every_example_can_be_typed(name, fresh):
    config_class, _ = COMMANDS[name]
    described, text = helping.HELP[name], fresh["texts"][name]
    grouped = [flag for flags in described.groups.values() for flag in flags]
    assert len(grouped) == len(set(grouped)) and set(grouped) <= set(flag_names(config_class))
    # The parameters of objectives have a group of their own, and short commands none.
    assert ("\nFlags:" in text) == (not described.groups)
    for flag in flag_names(config_class):
        assert len(re.findall(rf"^  --(?:\[no\])?{flag}\b", text, re.M)) == 1
    for example in described.examples:
        assert example in text
        given = re.findall(r" --(\w+)", example)
        assert set(given) <= set(flag_names(config_class))
    assert max(map(len, text.splitlines())) <= 120


def test_names_that_can_be_given_are_listed(fresh):
    assert ", ".join(sorted(zoo.names())[:1]) in fresh["texts"]["train"]
    assert "sparsity" in fresh["texts"]["train"] and "svhn" in fresh["texts"]["evaluate"]
    assert "relative_mahalanobis" in fresh["texts"]["export"]


def test_the_command_prints_it_and_a_default():
    done = subprocess.run(
        [sys.executable, "-m", "export", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and not done.stderr
    assert re.search(r"--tpr=X +Share .*\n +\[0\.95\]", done.stdout)
