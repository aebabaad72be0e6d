"""Results of an evaluation, as one typed value that JSON keeps."""

import dataclasses
import datetime

from kerasood.data import registry
from kerasood.data.roles import count_note
from kerasood.errors import InvalidInputError
from kerasood.evaluation.means import means_by_role, over_seeds
from kerasood.evaluation.ood_sets import size_note
from kerasood.evaluation.protocols import METRICS
from kerasood.files import read_json
from kerasood.runs import command_line, git_commit, versions

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of an evaluation, plain JSON values.

    Args:
        title: str.
        dataset: the in-distribution test images: name, title, split, num_images, note.
        protocol: name, description, convention, positive; see `Protocol.to_json`.
        detectors: names, in the order of the tables.
        primary: the detector that plots show.
        models: per model key, label, description, seed, accuracy, and what its detectors chose.
        metrics: per model, detector and set FPR95, AUROC and AUPRs, each {"mean", "std"}.
        thresholds: per model and detector the threshold, its check and the shares flagged.
        images: {model: {set: {"num_images", "sha256"}}}.
        sets: per OOD set name, title, role, num_images, published_images, note.
        missing: sets that were not at hand: name, title, how_to_get.
        means: per model, detector and role; see `means_by_role`.
        seeds: per recipe of several seeds; see `over_seeds`.
        chosen: what `detector="auto"` took and why; empty without it.
        command, commit, versions, date, seed: where the numbers come from.
        version: int, of this structure.
    """

    title: str
    dataset: dict
    protocol: dict
    detectors: list[str]
    primary: str
    models: list[dict]
    metrics: list[dict]
    thresholds: list[dict]
    images: dict
    sets: list[dict]
    missing: list[dict]
    means: list[dict]
    seeds: list[dict]
    command: str
    commit: str | None
    versions: dict
    date: str
    seed: int
    chosen: dict = dataclasses.field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> dict:
        """The results as a dictionary of JSON values; `from_json` reads it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, content: dict) -> "Results":
        """The results that `to_json` described.

        Raises:
            ValueError: another version, keys missing or unknown, or a value of another type.
        """
        if not isinstance(content, dict) or content.get("version") != VERSION:
            version = content.get("version") if isinstance(content, dict) else content
            raise InvalidInputError(
                f"Expected the results of an evaluation, version {VERSION}. Received: {version!r}"
            )
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        if content.keys() != kinds.keys():
            raise InvalidInputError(
                f"Expected results with {', '.join(kinds)}. Received: {', '.join(content)}"
            )
        for name, kind in kinds.items():
            plain = getattr(kind, "__origin__", kind)
            if not isinstance(content[name], plain):
                raise InvalidInputError(
                    f"Expected results[{name!r}] of type {kind}. Received: {content[name]!r}"
                )
        return cls(**content)

    @classmethod
    def load(cls, path) -> "Results":
        """Reads the results.json of a report.

        Raises:
            FileNotFoundError: there is none.
            ValueError: see `from_json`.
        """
        return cls.from_json(read_json(path))

    def records(self) -> list[dict]:
        """One flat dictionary per model, detector and OOD set, as `pandas.DataFrame` takes them."""
        return records(self.to_json())

    def mean(self, detector, role=None, model=None) -> dict:
        """The entry of `means` of a detector, for the first role and the last model by default."""
        role = role or self.means[0]["role"]
        model = model or self.models[-1]["key"]
        wanted = {"detector": detector, "role": role, "model": model}
        for entry in self.means:
            if wanted.items() <= entry.items():
                return entry
        raise InvalidInputError(f"Expected a mean that was measured. Received: {wanted}")


def results_of(measured, dataset, subjects, settings, sets, missing, groups=(), chosen=None):
    """The Results of measured models.

    Args:
        measured: {subject key: Measured}.
        dataset: name or path of the in-distribution set.
        subjects: list of Subjects.
        settings: Settings.
        sets: entries of `set_entry`.
        missing: entries of sets that were not at hand.
        groups: [{"label", "models": keys, "seeds"}] of models of one recipe.
        chosen: what `detector="auto"` says, or None.
    """
    spec, test = registry.DATASETS.get(dataset), subjects[0].images.testing
    title = spec.title if spec is not None else dataset
    parts = list(measured.values())
    models = [part.entry for part in parts]
    metrics = [entry for part in parts for entry in part.metrics]
    means = means_by_role(metrics, sets)
    names = list(dict.fromkeys(entry["detector"] for entry in metrics))
    notes = (count_note(dataset, test.num_images), size_note(test))
    return Results(
        title=f"OOD detection on {title}",
        dataset={
            "name": dataset,
            "title": title,
            "split": "test",
            "num_images": test.num_images,
            "note": "; ".join(filter(None, notes)),
        },
        protocol=settings.protocol.to_json(),
        detectors=names,
        primary="energy" if "energy" in names else names[0],
        models=models,
        metrics=metrics,
        thresholds=[entry for part in parts for entry in part.calibrated],
        images={key: part.images for key, part in measured.items()},
        sets=sets,
        missing=missing,
        means=means,
        seeds=over_seeds({"models": models, "metrics": metrics, "means": means}, groups),
        chosen=chosen or {},
        **provenance(settings.seed),
    )


def provenance(seed):
    """The origin of a report's numbers: command, commit, versions, date."""
    return {
        "command": command_line(),
        "commit": git_commit(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
    }


def records(results: dict) -> list[dict]:
    """One record per model, detector and OOD set, numbers as fractions; None where there is none.

    Args:
        results: as saved in results.json.

    Returns:
        Dictionaries of the same keys: model, label, base, seed, accuracy, detector, set, title,
        role, num_images, the metrics with their deviations over draws, threshold and flagged (the
        share of the set's images above it).
    """
    models = {model["key"]: model for model in results["models"]}
    sets = {entry["name"]: entry for entry in results["sets"]}
    thresholds = {(entry["model"], entry["detector"]): entry for entry in results["thresholds"]}
    found = []
    for entry in results["metrics"]:
        model, of_set = models[entry["model"]], sets[entry["set"]]
        threshold = thresholds.get((entry["model"], entry["detector"]))
        record = {
            "model": entry["model"],
            **{key: model.get(key) for key in ("label", "base", "seed", "accuracy")},
            "detector": entry["detector"],
            "set": entry["set"],
            **{key: of_set[key] for key in ("title", "role", "num_images")},
        }
        for metric in METRICS:
            record[metric] = entry[metric]["mean"]
            record[f"{metric}_std"] = entry[metric]["std"]
        record["threshold"] = threshold and threshold["threshold"]["value"]
        record["flagged"] = threshold and threshold["flagged"].get(entry["set"])
        found.append(record)
    return found
