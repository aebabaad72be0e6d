"""Run directories: everything one training run is made of and everything it left."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shlex
import subprocess
import sys

from kerasood.config import StageConfig
from kerasood.errors import InvalidInputError
from kerasood.files import is_temporary, read_json, visible, write_json
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network

PACKAGES = ("kerasood", "keras", "tensorflow", "jax", "numpy", "scikit-learn")
# Where networks of the zoo become run directories. Not below runs/, where the newest run is the
# one that was trained last.
UNPACKED = pathlib.Path("zoo-runs")


class RunConflictError(InvalidInputError):
    """A run directory holds something else than what was asked for."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and the names of the files in it.

    Args:
        path: Path of the directory.
        config: StageConfig it was started with.
    """

    path: pathlib.Path
    config: StageConfig

    @property
    def checkpoint(self):
        """State after the last finished epoch: weights, optimiser, random streams, history."""
        return self.path / "checkpoint.npz"

    @property
    def model(self):
        """The trained network, written once training is complete."""
        return self.path / "model.keras"

    @property
    def initial_model(self):
        """The network a fine-tune started from, so that before and after can be compared."""
        return self.path / "initial.keras"

    @property
    def history(self):
        return self.path / "history.csv"

    @property
    def thresholds(self):
        """Calibrated thresholds of the trained network, one per detector."""
        return self.path / "thresholds.json"

    @property
    def outputs(self):
        """Outputs of the run's networks for the data sets they were evaluated on."""
        return self.path / "outputs"

    @property
    def detectors(self):
        """Fitted detectors of the trained network, one file each."""
        return self.path / "detectors"

    @property
    def evaluation(self):
        return self.path / "evaluation"

    @property
    def complete(self):
        return self.model.exists()

    def check_complete(self):
        """Refuses a run whose training has not finished.

        Raises:
            ValueError: it has not.
        """
        if not self.complete:
            raise InvalidInputError(
                f"Expected a complete run. Received: {self.path}, whose training has not finished "
                "(continue it with `train.py --resume`)"
            )

    def check(self, resume=False):
        """Refuses a directory that this run must not write to; changes nothing.

        Args:
            resume: bool, whether an unfinished run of the same configuration may go on.

        Raises:
            RunConflictError: the directory holds another configuration, or an unfinished run and
                `resume` is false, or something that is no run at all.
        """
        if (self.path / "config.json").exists():
            self._refuse_other_configuration(Run.open(self.path))
            if self.checkpoint.exists() and not self.complete and not resume:
                raise RunConflictError(
                    f"{self.path} holds an unfinished run: continue it with --resume, or give "
                    "another --run."
                )
            return
        if self.path.exists() and (not self.path.is_dir() or visible(self.path)):
            raise RunConflictError(
                f"Expected a new or empty run directory. Received: {self.path}, which holds "
                "something else"
            )

    def start(self, resume=False, images=None):
        """Checks the directory and claims it for this configuration with a `config.json`.

        Args:
            resume: bool, see `check`.
            images: digests of the images it trains on, from `TrainingData.digests`, or None.

        Raises:
            RunConflictError: see `check`; or the run was started on other images.
        """
        self.check(resume)
        if (self.path / "config.json").exists():
            self._refuse_other_images(images)
            return
        content = {
            "config": dataclasses.asdict(self.config),
            "images": images,
            "command": command_line(),
            "commit": git_commit(),
            "versions": versions(),
        }
        write_json(self.path / "config.json", content)

    def with_stored_margins(self):
        """This run with the margins that its directory derived from the base, where it has them."""
        if self.config.margins is None or not (self.path / "config.json").exists():
            return self
        stored = Run.open(self.path).config
        margins = {"margin_in": stored.margin_in, "margin_out": stored.margin_out}
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **margins))

    def _refuse_other_configuration(self, stored):
        ours, theirs = dataclasses.asdict(self.config), dataclasses.asdict(stored.config)
        differing = [name for name in ours if ours[name] != theirs[name]]
        # Unknown before the base is there, and to runs older than the field.
        if None in (ours["init_hash"], theirs["init_hash"]) and "init_hash" in differing:
            differing.remove("init_hash")
        if differing == ["init_hash"]:
            raise RunConflictError(
                f"{self.path} was fine-tuned from another model than {self.config.init} now "
                "holds, which was trained again since. Give another --run or --out, or delete "
                "that directory."
            )
        if differing:
            listed = ", ".join(f"{n}={theirs[n]!r} there, {ours[n]!r} now" for n in differing)
            raise RunConflictError(
                f"{self.path} holds a run of another configuration ({listed}). "
                "Give another --run or --out, or delete that directory."
            )

    def _refuse_other_images(self, images):
        stored = read_json(self.path / "config.json").get("images")
        if not stored or not images:
            return
        differing = [
            f"{name}: {_counted(stored.get(name))} there, {_counted(images.get(name))} now"
            for name in sorted({*stored, *images})
            if stored.get(name) != images.get(name)
        ]
        if differing:
            raise RunConflictError(
                f"{self.path} was started on other images ({'; '.join(differing)}). "
                "Give another --run or --out, or delete that directory."
            )

    @staticmethod
    def open(path):
        """Opens an existing run directory.

        Raises:
            ValueError: `path` is no run directory.
        """
        path = pathlib.Path(path)
        if not (path / "config.json").is_file():
            raise InvalidInputError(
                f"Expected a run directory (with a config.json). Received: {path}"
            )
        stored = read_json(path / "config.json")
        try:
            return Run(path, StageConfig(**stored["config"]))
        except (KeyError, TypeError) as error:
            raise InvalidInputError(
                f"Expected the configuration of a training run in {path / 'config.json'}. "
                f"Received: {error}"
            ) from error


def _counted(digest):
    if digest is None:
        return "none"
    return f"{digest['count']} of sha256 {digest['sha256'][:12]}"


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


def base_config(config):
    """The StageConfig of what a fine-tune starts from; None where nothing tells it any more.

    Args:
        config: StageConfig or TrainConfig.
    """
    if not config.init:
        return None
    name = zoo.name_in(config.init)
    if name is not None:
        return StageConfig(**zoo.describe(name)["config"])
    folder = pathlib.Path(config.init)
    folder = folder.parent if folder.suffix == ".keras" else folder
    return Run.open(folder).config if (folder / "config.json").is_file() else None


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
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "runs.py"],
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
