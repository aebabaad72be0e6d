"""The outcome of a benchmark: results, scores and fitted detectors."""

import dataclasses
import os
import pathlib

from kerasood import reporting
from kerasood.errors import InvalidInputError
from kerasood.evaluation.results import Results
from kerasood.names import choose
from kerasood.serving import OODModel
from kerasood.thresholds import read_threshold


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Results of `benchmark`; a notebook shows their table.

    Args:
        results: Results.
        scores: {(model, detector, OOD set or "in"): (N,) float32}.
        detectors: {model: {name: fitted Detector}}.
        extractors: {model: keras.Model}, images -> outputs, shared with the models measured.
        sources: {"in" or OOD set: ImageSource} of the images that were scored.
    """

    results: Results
    scores: dict
    detectors: dict
    extractors: dict
    sources: dict

    def table(self) -> str:
        """The whole report as Markdown."""
        return reporting.to_markdown(self.results.to_json())

    def summary(self, role: str | None = None) -> list[dict]:
        """Mean FPR95 and AUROC of every model and detector: list of dict, best FPR95 first.

        Args:
            role: "far", "near" or "synthetic" OOD sets; by default the first that there are.
        """
        role = role or self.results.means[0]["role"]
        rows = [entry for entry in self.results.means if entry["role"] == role]
        return sorted(rows, key=lambda entry: entry["fpr95"])

    def report(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes results.json, scores.npz and the reports; returns the HTML page's path."""
        return reporting.write_report(self.results.to_json(), self.scores, folder, self.sources)

    def guard(self, detector: str | None = None, model: str | None = None) -> OODModel:
        """The model with a detector and its calibrated threshold as one keras.Model: OODModel.

        Args:
            detector: name of a detector that was measured; by default what `detectors="auto"`
                chose, or the only one.
            model: label of a model that was measured; by default the last.

        Raises:
            ValueError: no such detector or model, or several detectors and none named.
        """
        model = choose("model", model or self.results.models[-1]["key"], self.detectors)
        detectors = self.detectors[model]
        if detector is None:
            detector = self.results.chosen.get("detector")
        if detector is None and len(detectors) == 1:
            (detector,) = detectors
        if detector is None:
            raise InvalidInputError(
                f"Expected the name of a detector out of {', '.join(detectors)}. Received: None"
            )
        name = choose("detector", detector, detectors)
        entry = next(
            entry
            for entry in self.results.thresholds
            if (entry["model"], entry["detector"]) == (model, name)
        )
        return OODModel(
            self.extractors[model],
            detectors[name],
            read_threshold(entry["threshold"]),
            class_names=self.sources["in"].class_names,
        )

    def _repr_markdown_(self):
        return self.table()
