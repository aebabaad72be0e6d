"""The picture of what fine-tuning did to each OOD set."""

import numpy as np
from example_results import example

from kerasood.reporting.findings import Findings, percent
from scripts.headline import headline


def test_a_dot_for_every_model_on_every_far_set_and_their_mean():
    results, _ = example(num_models=2)
    findings = Findings(results)
    far = [entry for entry in findings.sets if entry["role"] == "far"]
    figure = headline(results, findings.primary)
    (axes,) = figure.axes
    titles = [text.get_text() for text in axes.texts]
    assert titles[-1] == f"mean of {len(far)}"
    assert set(titles[:-1]) == {entry["title"] for entry in far}
    dots = [dots.get_offsets()[0] for dots in axes.collections]
    assert len(dots) == 2 * (len(far) + 1)
    for index, model in enumerate(findings.models):
        values = {
            entry["set"]: 100 * entry["fpr95"]["mean"] for entry in results["metrics"]
            if (entry["model"], entry["detector"]) == (model["key"], findings.primary)
        }
        shown = [x for x, y in dots[index::2]]
        assert shown[-1] == np.mean([values[entry["name"]] for entry in far])
        assert sorted(shown[:-1]) == sorted(values[entry["name"]] for entry in far)
        said = [text.get_text() for text in figure.texts]
        assert f"{model['label']}, accuracy {percent(model['accuracy'])} %" in said
