"""OOD sets as a flag names them."""

from kerasood.errors import InvalidInputError
from kerasood.evaluation.ood_sets import OWN_SETS


def named_sets(items):
    """{name: name or path} of "all", names, and name=path.

    Args:
        items: sequence of str.

    Raises:
        ValueError: two sets that would be confused, with each other or with a model's own.
    """
    named = {}
    for item in items:
        name, _, path = item.partition("=")
        if name in OWN_SETS or named.get(name, path or name) != (path or name):
            raise InvalidInputError(
                "Expected every OOD set under a name of its own (name=path), other than "
                f"{', '.join(OWN_SETS)}. Received: {item}"
            )
        named[name] = path or name
    return named
