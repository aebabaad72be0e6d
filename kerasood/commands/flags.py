"""Command-line flags out of a configuration's fields, and the configuration out of its flags."""

import dataclasses
import types
import typing

from absl import flags

from kerasood.errors import InvalidInputError
from kerasood.training.recipe import PRESETS


def define_flags(config_class, flag_values=flags.FLAGS):
    """Defines one absl flag per field of `config_class`, with its default, type and choices.

    A field whose metadata hold "fields", a function that returns another dataclass, has that one's
    flags instead; its value is the dict of those given.
    """
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if "fields" in field.metadata:
            define_flags(field.metadata["fields"](), flag_values)
            continue
        kind, text = _plain_type(hints[field.name]), field.metadata["help"]
        arguments = (field.name, field.default, text)
        choices = field.metadata["choices"]
        if choices:
            name, default, text = arguments
            choices = choices() if callable(choices) else choices
            flags.DEFINE_enum(name, default, choices, text, flag_values=flag_values)
        elif typing.get_origin(kind) is tuple:
            name, default, text = arguments
            flags.DEFINE_list(name, list(default), text, flag_values=flag_values)
        else:
            _DEFINERS[kind](*arguments, flag_values=flag_values)


def flag_names(config_class):
    """The names of the flags that `define_flags` defines, in its order."""
    for field in dataclasses.fields(config_class):
        nested = field.metadata.get("fields")
        yield from flag_names(nested()) if nested else (field.name,)


def described_flags(config_class):
    """{name: (flag with its kind of value, help and default)} in the order of `define_flags`."""
    hints, found = typing.get_type_hints(config_class), {}
    for field in dataclasses.fields(config_class):
        if "fields" in field.metadata:
            found |= described_flags(field.metadata["fields"]())
            continue
        kind, text = _plain_type(hints[field.name]), field.metadata["help"]
        choices = field.metadata["choices"]
        choices = choices() if callable(choices) else choices
        # Longer tables are listed below, by name.
        few = choices if choices and len(choices) <= MOST_CHOICES else ()
        value = "|".join(few) or _VALUES.get(kind, "A,B")
        default = field.default
        if kind is bool:
            flag, default = f"--[no]{field.name}", "yes" if default else "no"
        else:
            flag = f"--{field.name}={value}"
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        is_shown = default in (None, "") or text.endswith(("]", "]."))
        found[field.name] = flag, text if is_shown else f"{text} [{default}]"
    return found


def from_flags(config_class, flag_values=flags.FLAGS):
    """Builds `config_class` from parsed flags; a data set's preset fills those not given.

    Raises:
        ValueError: values that do not fit, or flags that would not act (`check_given`).
    """
    values = {
        field.name: flag_values[field.name].value
        for field in dataclasses.fields(config_class)
        if "fields" not in field.metadata
    }
    given = {name for name in values if flag_values[name].present}
    for name in given:
        _check_given(name, values[name], flag_values[name].present)
    preset = PRESETS.get(values.get("dataset"), {})
    if preset.keys() <= values.keys():  # a training's; others have a --batch_size of their own
        values |= {name: preset[name] for name in preset.keys() - given}
    hints = typing.get_type_hints(config_class)
    nested = {
        field.name: _given(from_flags(field.metadata["fields"](), flag_values))
        for field in dataclasses.fields(config_class)
        if "fields" in field.metadata
    }
    config = config_class(
        **nested,
        **{
            name: _items(name, value, hints[name]) if isinstance(value, list) else value
            for name, value in values.items()
        },
    )
    if hasattr(config, "check_given"):
        config.check_given(given)
    return config


def _check_given(name, value, times):
    """Refuses what an unset shell variable leaves, and a list of which only the last would count.

    Args:
        name: of the flag.
        value: as parsed.
        times: int, how often it was given.
    """
    if value in ("", []) or (isinstance(value, list) and "" in value):
        raise InvalidInputError(f"Expected a value for --{name}. Received: an empty one")
    if isinstance(value, list) and times > 1:
        raise InvalidInputError(
            f"Expected --{name} once, its values comma-separated. Received: it {times} times"
        )


def _given(options):
    return {name: value for name, value in vars(options).items() if value is not None}


def _items(name, values, hint):
    """The values of a list flag, in the type of the field's items."""
    kind = typing.get_args(hint)[0]
    try:
        return tuple(kind(value) for value in values)
    except ValueError as error:
        raise InvalidInputError(
            f"Expected numbers, comma-separated, in --{name}. Received: {','.join(values)}"
        ) from error


# What --help shows for a value.
MOST_CHOICES = 8
_VALUES = {int: "N", float: "X", str: "TEXT"}
_DEFINERS = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def _plain_type(hint):
    """`float | None` -> float."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint
