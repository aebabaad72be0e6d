import copy
import json
import re

import numpy as np
import pytest
from example_results import SETS, example
from report_checks import Balance, printed

from kerasood import metrics, reporting
from kerasood.reporting.findings import Findings

NASTY = '<script>alert("x|y")</script> & $a$ 字'


def with_fpr(results, values):
    """`results` with these far means and set values of FPR95 for the primary detector."""
    results = copy.deepcopy(results)
    for entry in results["means"] + results["metrics"]:
        if entry["detector"] == results["primary"]:
            value = values[entry["model"]]
            entry["fpr95"] = {"mean": value, "std": None} if "set" in entry else value
    return results


def test_headline_says_better_and_worse():
    results, _ = example(num_models=2)
    better = Findings(with_fpr(results, {"base": 0.5, "logits": 0.4})).headline()
    assert "Base accepts 50.00 % of OOD images at 95 % ID recall (mean of 3 far sets" in better
    assert "+ sparsity (logits) lowers this by 10.00 points to 40.00 %" in better
    assert "accuracy 90.80 %" in better
    worse = Findings(with_fpr(results, {"base": 0.5, "logits": 0.5481})).headline()
    assert "raises this by 4.81 points to 54.81 %" in worse
    same = Findings(with_fpr(results, {"base": 0.5, "logits": 0.500001})).headline()
    assert "leaves this at 50.00 %" in same


def test_headline_without_far_sets_or_without_any():
    results, _ = example(sets=SETS[3:])
    assert "mean of 1 near set," in Findings(results).headline()
    results, _ = example(sets=())
    assert Findings(results).headline().startswith("No OOD set was at hand")


def test_best_is_marked_by_what_is_printed():
    results, _ = example(num_models=3)
    tied = with_fpr(results, {"base": 0.40001, "logits": 0.4, "features": 0.41})
    row = Findings(tied).rows()[0]
    assert [row.cells[key][0].best for key in ("base", "logits", "features")] == [True, True, False]
    highest = max(row.cells.values(), key=lambda cells: cells[1].value)
    assert highest[1].best
    alone, _ = example(num_models=1)
    assert not any(cell.best for row in Findings(alone).rows() for cell in row.cells["base"])


def test_markdown_shows_the_numbers_and_the_convention():
    results, scores = example()
    text = reporting.to_markdown(results)
    fpr95 = metrics.fpr_at_tpr(scores["base", "energy", "in"], scores["base", "energy", "svhn"])
    assert re.search(rf"^\| SVHN \| \**{100 * fpr95:.2f}\** \|", text, re.MULTILINE)
    assert "ID is the positive class" in text
    assert "*Mean of 3 far sets*" in text
    assert "LSUN-Resize: stand-in: scenes" in text
    assert "iSUN (`isun`): put iSUN.tar.gz in data/" in text
    assert "python evaluate.py --ood=all --run=runs/digits" in text
    assert "Commit unknown; seed 0" in text and "keras 3.15.0" in text
    assert text.endswith(".\n")


def test_markdown_tables_are_rectangular():
    results, _ = example(num_models=3, protocol="paper")
    results["sets"][0]["title"] = NASTY
    widths = []
    for block in re.findall(r"(?:^\|.*\n)+", reporting.to_markdown(results), re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1
        widths += counts
    assert len(widths) == 6


def test_paper_protocol_shows_the_spread():
    results, _ = example(protocol="paper")
    spread = results["metrics"][-1]["auroc"]["std"]
    assert spread > 0
    assert f"± {100 * spread:.2f}" in reporting.to_markdown(results)
    assert "±" not in re.sub(r"Protocol.*", "", reporting.to_markdown(example()[0]))


@pytest.mark.parametrize(("num_models", "width"), [(1, 100), (4, 100), (4, 80), (4, 40)])
def test_terminal_table_fits(num_models, width):
    many = [(f"set{i}", f"OOD set with a long name {i}", "far", 1, "") for i in range(13)]
    results, _ = example(num_models, sets=(*many, SETS[4]))
    text = printed(results, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.count("AUROC  AUPR") >= num_models
    assert "ID is the positive class" in " ".join(text.split())


def test_terminal_shows_the_numbers():
    results, _ = example()
    text = printed(with_fpr(results, {"base": 1.0, "logits": 0.0123}))
    assert re.search(r"LSUN-Resize\* +100\.0 .* 1\.23 ", text)
    assert "accuracy 91.20" in text
    assert "lowers this by 98.77 points" in " ".join(text.split())


def test_the_terminal_shows_the_means_of_every_detector():
    results, _ = example()
    text = printed(results)
    means = text[re.search(r"^Detector {5}", text, re.M).start() :]
    for entry in results["means"]:
        assert f"{100 * entry['fpr95']:.2f}"[:5] in means
    for name in results["detectors"]:
        assert re.search(rf"^  {name} ", means, re.M)
    alone = {**results, "detectors": ["energy"]}
    assert "max_logit" not in printed(alone)


def test_terminal_without_a_terminal(capsys):
    results, _ = example()
    results["sets"][0]["title"] = "[bold]mine[/bold]"
    reporting.print_summary(results)
    output = capsys.readouterr().out
    assert "[bold]mine[" in output
    assert "\x1b" not in output


def test_page_is_one_well_formed_file_without_requests():
    results, scores = example(num_models=4, protocol="paper")
    text = reporting.page(results, scores)
    parsed = Balance(text)
    assert parsed.tags.count("svg") == 3
    assert not {"script", "link", "img", "iframe", "image"} & set(parsed.tags)
    for name, value in parsed.attributes:
        assert name != "src" and not name.startswith("on")
        if name in ("href", "xlink:href"):
            assert value.startswith("#")
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_page_says_whether_the_threshold_holds():
    results, scores = example()
    entry = Findings(results).threshold("base")
    rate = entry["realised"]["rate"]
    for inside, word in ((True, "inside"), (False, "outside")):
        entry["realised"]["inside"] = inside
        text = re.sub(r"<[^>]*>", "", reporting.page(results, scores))
        assert "95 % of in-distribution images should be accepted" in text
        assert f"measured {100 * rate:.1f} % on 200 fresh images, {word} the promised" in text


def test_names_are_escaped_everywhere():
    results, scores = example()
    results["title"] = results["command"] = results["dataset"]["title"] = NASTY
    results["missing"][0]["how_to_get"] = results["thresholds"][0]["calibrated_on"] = NASTY
    for entry in (*results["models"], *results["sets"]):
        entry[next(key for key in ("label", "title") if key in entry)] = NASTY
    text = reporting.page(results, scores)
    assert "<script" not in text
    assert "alert(" in text and "$a$" in text and "字" in text
    Balance(text)
    assert "<script" not in reporting.to_markdown(results).replace(f"```\n{NASTY}\n```", "")
    assert "alert(" in printed(results)


@pytest.mark.parametrize("damage", ["no sets", "no thresholds", "no scores", "no metric"])
def test_incomplete_results_still_give_reports(damage):
    results, scores = example(sets=() if damage == "no sets" else SETS)
    if damage == "no thresholds":
        results["thresholds"] = []
    if damage == "no scores":
        scores = {}
    if damage == "no metric":
        results["metrics"] = [entry for entry in results["metrics"] if entry["set"] != "svhn"]
        assert "| SVHN | – |" in reporting.to_markdown(results)
    Balance(reporting.page(results, scores))
    assert "91.20 %" in reporting.to_markdown(results)
    printed(results)


def test_write_report(tmp_path):
    results, scores = example()
    page = reporting.write_report(results, scores, tmp_path / "new" / "report")
    assert page == tmp_path / "new" / "report" / "report.html"
    assert sorted(file.name for file in page.parent.iterdir()) == [
        "report.html",
        "report.md",
        "results.json",
        "scores.npz",
    ]
    assert json.loads((page.parent / "results.json").read_text()) == results
    assert page.read_text(encoding="utf-8") == reporting.page(results, scores)
    loaded = reporting.load_scores(page.parent / "scores.npz")
    assert loaded.keys() == scores.keys()
    for key, values in scores.items():
        assert loaded[key].dtype == np.float32
        np.testing.assert_array_equal(loaded[key], values)


def test_sets_named_by_a_path_survive_the_scores_file(tmp_path):
    results, scores = example(sets=(("/data/my images/..", "mine", "far", 1, ""),))
    page = reporting.write_report(results, scores, tmp_path)
    assert ("base", "energy", "/data/my images/..") in reporting.load_scores(
        page.parent / "scores.npz"
    )


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        reporting.write_report(*example(), tmp_path / "file")
