"""Networks of the zoo as run directories, for the commands that work on these."""

import dataclasses
import pathlib

from kerasood.config import StageConfig
from kerasood.files import write_json
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network
from kerasood.runs import Run, RunConflictError

# Not below runs/, where the newest run is the one that was trained last.
UNPACKED = pathlib.Path("zoo-runs")


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
    config = StageConfig(**entry["config"])
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
    told = {key: entry[key] for key in ("images", "command", "commit", "versions")}
    write_json(run.path / "config.json", {"config": dataclasses.asdict(config), **told})
    if entry["base"]:
        save_network(zoo.load(entry["base"]), run.initial_model)
    save_network(network, run.model)
    return run
