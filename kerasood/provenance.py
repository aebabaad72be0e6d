"""Origin of a result: the command, the commit and the versions of what computed it."""

import importlib.metadata
import os
import pathlib
import shlex
import subprocess
import sys

PACKAGES = ("kerasood", "keras", "tensorflow", "jax", "numpy", "scikit-learn")


def versions():
    """Installed versions of the packages that decide results: {name: version}."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit():
    """Commit of the checkout this package lies in, with `+` when it was changed; or None.

    A copy without its history has the one that `$KERASOOD_COMMIT` names.
    """
    elsewhere = os.environ.get("KERASOOD_COMMIT")
    here = pathlib.Path(__file__).resolve().parent
    git = ["git", "-C", str(here)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "provenance.py"],
                                 capture_output=True, check=False)
        if tracked.returncode:
            return elsewhere
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"],
                                capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"],
                                 capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return elsewhere
    return commit.stdout.strip() + ("+" if changed.stdout else "")


def command_line():
    """The command that does again what this process does, quoted for a shell."""
    return _command_of(sys.argv, getattr(sys.modules["__main__"], "__spec__", None), os.environ)


def _command_of(arguments, spec, environment):
    program = pathlib.Path(arguments[0] or "-c")
    module = spec.name.removesuffix(".__main__") if spec is not None else ""
    if program.name == "-c" or module.startswith("ipykernel"):
        return "# called in an interactive session"
    if module:
        start = ["python", "-m", module]
    elif program.suffix == ".py":
        start = ["python", str(arguments[0])]
    else:
        start = [program.name]
    command = shlex.join([*start, *arguments[1:]])
    backend = environment.get("KERAS_BACKEND")
    return f"KERAS_BACKEND={shlex.quote(backend)} {command}" if backend else command
