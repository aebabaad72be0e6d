"""What reports say of the images used, of chosen parameters, and of which class is positive."""

import pathlib
import re
import types

from example_results import example
from report_checks import Balance, printed

from kerasood import reporting
from kerasood.data import roles
from kerasood.evaluation.ood_sets import overlaps_with
from kerasood.reporting.details import choices, images_used
from kerasood.reporting.findings import Findings
from kerasood.reporting.plots import roc_figure
from kerasood.runs import Run
from kerasood.training.config import stage_config, train_config

CHOICE = {
    "chosen": {"temperature": 1000.0, "magnitude": 0.0014},
    "criterion": "lowest FPR95",
    "fpr95": 0.5,
    "auroc": 0.9,
    "images": "200 images kept out of training",
    "outliers": ["uniform", "jigsaw"],
    "tried": [],
}


def used(count, digest):
    return {"num_images": count, "sha256": digest * 32}


def detailed():
    results, scores = example(num_models=2)
    results["models"][0]["choices"] = {"odin": CHOICE}
    results["images"] = {
        "base": {"in": used(10_000, "ab"), "svhn": used(7_136, "cd"), "train": used(40, "ef")},
        "logits": {"in": used(10_000, "ab"), "svhn": used(7_136, "cd"), "train": used(50, "01")},
    }
    return results, scores


def test_images_are_named_once_where_models_share_them():
    assert images_used(Findings(detailed()[0])) == [
        ["CIFAR-10, test", "10,000", "abababababab"],
        ["SVHN", "7,136", "cdcdcdcdcdcd"],
        ["train (Base)", "40", "efefefefefef"],
        ["train (+ sparsity (logits))", "50", "010101010101"],
    ]


def test_choices_say_what_was_chosen_and_on_what():
    (line,) = choices(Findings(detailed()[0]))
    assert line == (
        "Base: odin, T = 1000, magnitude = 0.0014, chosen on 200 images kept out of training and "
        "generated outliers (uniform, jigsaw) by lowest FPR95"
    )


def test_the_default_stands_beside_what_was_chosen():
    results, _ = detailed()
    default = {"temperature": 1.0, "magnitude": 0.0, "auroc": 0.8}
    results["models"][0]["choices"] = {
        "odin": {**CHOICE, "default": default}, "msp": {**CHOICE, "chosen": {}, "default": None}
    }
    (line,) = choices(Findings(results))
    assert "magnitude = 0.0014 (by default T = 1, magnitude = 0), chosen on 200 images" in line


def test_both_reports_show_images_and_choices():
    results, scores = detailed()
    page = reporting.page(results, scores)
    Balance(page)
    for text in (reporting.to_markdown(results), page):
        assert "abababababab" in text and "7,136" in text
        assert "T = 1000, magnitude = 0.0014, chosen on 200 images" in text


def test_every_table_says_which_class_is_positive():
    results, scores = example(protocol="openood")
    text, page = reporting.to_markdown(results), reporting.page(results, scores)
    assert text.count("(OOD positive)") == 4 == page.count("<small>OOD positive</small>")
    assert len(re.findall(r"^\|[-:| ]+\|$", text, re.M)) == 4 + 1, "thresholds follow none"
    assert "ID positive" not in text + page
    terminal = printed(results)
    assert "OOD positive" in terminal and "AUPR-in" in terminal and "AUPR-out" in terminal
    assert "Base flags" in text and "of ID images at 95 % OOD recall" in text
    aupr = Findings(results).metric("base", "energy", "svhn")["aupr_out"]["mean"]
    assert f"{100 * aupr:.2f}" in text and "AUPR-out" in text
    text = reporting.to_markdown(example()[0])
    assert text.count("(ID positive)") == 4 and "AUPR-out" not in text


def test_the_dot_of_the_roc_curve_follows_the_positive_class():
    results, scores = example(protocol="openood")
    fpr95 = Findings(results).metric("base", "energy", "svhn")["fpr95"]["mean"]
    panel = roc_figure(Findings(results), scores).axes[0]
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    assert dots[0].get_xydata().tolist() == [[0.05, 1 - fpr95]]


def test_sets_that_share_images_with_training_outliers_are_called_unfair(monkeypatch):
    path = pathlib.Path("runs/tuned")
    without = Run(path, stage_config(train_config(), "pretrain"))
    trained = Run(path, types.SimpleNamespace(outliers="some"))
    assert overlaps_with([without, trained], "svhn") == []
    monkeypatch.setattr(
        roles, "overlap", lambda a, b: "the same scenes" if b == "svhn" else None
    )
    assert overlaps_with([without, trained], "svhn") == [
        "NO FAIR TEST of tuned, trained on some: the same scenes"
    ]
    assert overlaps_with([trained], "isun") == []
