"""Run directories, found and opened; networks of the zoo become some."""

import dataclasses
import pathlib

from kerasood.errors import InvalidInputError
from kerasood.files import is_temporary, write_json
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network
from kerasood.provenance import command_line, git_commit, versions
from kerasood.training.config import StageConfig
from kerasood.training.initial_network import base_config
from kerasood.training.run import Run, RunConflictError

__all__ = [
    "Run", "RunConflictError", "base_config", "command_line", "complete_runs", "git_commit",
    "newest_run", "open_run", "versions",
]

# Where networks of the zoo become run directories. Not below runs/, where the newest run is the
# one that was trained last.
UNPACKED = pathlib.Path("zoo-runs")


def complete_runs(root="runs"):
    """The complete run directories under `root`, the one finished last first: iterator of Runs."""
    found = [
        path
        for path in pathlib.Path(root).glob("**/model.keras")
        if not is_temporary(path) and (path.parent / "config.json").is_file()
    ]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return (Run.open(path.parent) for path in found)


def newest_run(root="runs"):
    """The complete run directory under `root` that was finished last.

    Raises:
        ValueError: there is none.
    """
    run = next(complete_runs(root), None)
    if run is None:
        raise InvalidInputError(
            f"No complete run under {root}/: train one with `python train.py`, or name one "
            "with --run."
        )
    return run


def open_run(path):
    """Opens a run directory; a network of the zoo is unpacked into one first.

    Args:
        path: str, of a run directory, or "zoo:NAME".

    Returns:
        Run.

    Raises:
        ValueError: there is no such run or network.
        RunConflictError: where the network is unpacked to there is something else.
    """
    name = zoo.name_in(path)
    return Run.open(path) if name is None else _unpacked(name)


def _unpacked(name):
    entry = zoo.describe(name)
    config = StageConfig.from_dict(entry["config"])
    if entry["base"]:
        config = dataclasses.replace(config, init=f"{zoo.PREFIX}{entry['base']}")
    run = Run(UNPACKED / name, config)
    run.check()
    network = zoo.load(name)
    if run.complete:
        if weights_hash(load_network(run.model)) != weights_hash(network):
            raise RunConflictError(
                f"{run.path} holds other weights than the zoo's {name}: delete that directory"
            )
        return run
    origin = {key: entry[key] for key in ("images", "command", "commit", "versions")}
    write_json(run.path / "config.json", {"config": dataclasses.asdict(config), **origin})
    if entry["base"]:
        save_network(zoo.load(entry["base"]), run.initial_model)
    save_network(network, run.model)
    return run
