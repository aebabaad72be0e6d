"""The objectives' parameters as their classes declare them, read without importing Keras."""

import ast
import pathlib
import sys
import typing

from kerasood.training.parameters import OF_EVERY_TRAINER, Parameter, without_none

TRAINERS = "kerasood.training.trainers"


def declared_objectives():
    """{objective: {parameter: Parameter}} of all objectives, registered ones included.

    Where no trainer was imported yet, the package's own are read from their source: flags are
    parsed, and --help is answered, before Keras's import.
    """
    if TRAINERS in sys.modules:
        return {
            name: objective.own_parameters()
            for name, objective in sys.modules[TRAINERS].OBJECTIVES.items()
        }
    found = {}
    for path in sorted((pathlib.Path(__file__).parent / "trainers").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and (name := _literals(node).get("objective")):
                found[name] = _parameters(node)
    return found


def _literals(node):
    """Attributes of a class body that are literals: {name: value}."""
    found = {}
    for each in node.body:
        if isinstance(each, ast.Assign):
            try:
                found[each.targets[0].id] = ast.literal_eval(each.value)
            except ValueError:
                continue
    return found


def _parameters(node):
    """{name: Parameter} of the __init__ of a class."""
    (function,) = (
        each for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == "__init__"
    )
    arguments = function.args.args
    defaults = [None] * (len(arguments) - len(function.args.defaults)) + function.args.defaults
    literals = _literals(node)
    lines = literals.get("help", {})
    return {
        argument.arg: Parameter(
            without_none(_evaluated(argument.annotation)), _evaluated(default), lines[argument.arg]
        )
        for argument, default in zip(arguments, defaults, strict=True)
        if argument.arg not in OF_EVERY_TRAINER
    } | {
        name: Parameter(typing.Literal[values], None, lines[name])
        for name, values in literals.get("shorthands", {}).items()
    }


def _evaluated(expression):
    """Value of an annotation or default of the package's own source."""
    code = compile(ast.Expression(expression), "<declared>", "eval")
    return eval(code, {"typing": typing})  # noqa: S307
