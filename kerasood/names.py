"""Names looked up in a table, with a suggestion where one is misspelt."""

import difflib
import os
import pathlib

from kerasood.errors import InvalidInputError


def choose(kind, name, table):
    """Returns `name` if `table` has it.

    Args:
        kind: str, what the table holds, for the message: "detector".
        name: str.
        table: mapping or sequence of names.

    Raises:
        InvalidInputError: it has not; suggests the nearest name.
    """
    if name in table:
        return name
    near = difflib.get_close_matches(str(name).lower(), table, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidInputError(
        f"Expected a {kind} out of {', '.join(table)}.{hint} Received: {name!r}"
    )


def check_keys(kind, table):
    """Raises InvalidInputError unless each key of a mapping is a str, as files will have it."""
    for name in table:
        if not isinstance(name, str):
            raise InvalidInputError(f"Expected a str to name each {kind}. Received: {name!r}")


def short_name(dataset):
    """Returns what folders and models of a data set are called: the last part of its path.

    Args:
        dataset: str, a registered name or a path, "." too.
    """
    return pathlib.Path(os.path.abspath(os.path.expanduser(dataset))).stem


def shown(text):
    """Returns a text from outside, such as a file name, without line breaks or terminal escapes."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in str(text)
    )
