"""Run directories: everything one training run is made of and everything it left."""

import dataclasses
import pathlib

from kerasood.errors import InvalidInputError
from kerasood.files import read_json, visible, write_json
from kerasood.provenance import command_line, git_commit, versions
from kerasood.training.config import StageConfig


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

    def with_derived(self):
        """This run with the parameters that its directory derived from the base, if it has any."""
        if not (self.path / "config.json").exists():
            return self
        derived = Run.open(self.path).config.derived
        return dataclasses.replace(self, config=dataclasses.replace(self.config, derived=derived))

    def _refuse_other_configuration(self, stored):
        ours, theirs = dataclasses.asdict(self.config), dataclasses.asdict(stored.config)
        differing = [name for name in ours if ours[name] != theirs[name]]
        hashes = ours["init_hash"], theirs["init_hash"]
        # Unknown before the base is there.
        if None in hashes and "init_hash" in differing:
            differing.remove("init_hash")
        # A path is only where to look; the base is what its weights are.
        if None not in hashes and "init" in differing:
            differing.remove("init")
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

    def recorded_images(self):
        """Digests of the images that it was started on, {set: {"count", "sha256"}}, or None."""
        return read_json(self.path / "config.json").get("images")

    def _refuse_other_images(self, images):
        stored = self.recorded_images()
        if not stored or not images:
            return
        if differing := differing_digests(stored, images):
            raise RunConflictError(
                f"{self.path} was started on other images ({differing}). "
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
            return Run(path, StageConfig.from_dict(stored["config"]))
        except (KeyError, TypeError) as error:
            raise InvalidInputError(
                f"Expected the configuration of a training run in {path / 'config.json'}. "
                f"Received: {error}"
            ) from error


def differing_digests(stored, images):
    """Sets of images that differ, in words; "" where none does.

    Args:
        stored, images: {set: {"count", "sha256"}}, then and now.
    """
    return "; ".join(
        f"{name}: {_counted(stored.get(name))} there, {_counted(images.get(name))} now"
        for name in sorted({*stored, *images})
        if stored.get(name) != images.get(name)
    )


def _counted(digest):
    if digest is None:
        return "none"
    return f"{digest['count']} of sha256 {digest['sha256'][:12]}"
