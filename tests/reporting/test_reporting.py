import copy
import csv
import json
import re

import numpy as np
import pytest
from example_results import SETS, example
from report_checks import Balance, printed

from kerasood import metrics, reporting
from kerasood.reporting import latex, sections
from kerasood.reporting.decision import comparison_sentences, decision
from kerasood.reporting.findings import AUROC, FPR95, Findings, with_best
from kerasood.reporting.sections import detectors_by_sets

NASTY = '<script>alert("x|y")</script> & $a$ 字'


def headline(results):
    return " ".join(comparison_sentences(Findings(results)))


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
    better = headline(with_fpr(results, {"base": 0.5, "logits": 0.4}))
    assert "Base accepts 50.00 % of OOD images at 95 % ID recall (mean of 3 far sets" in better
    assert "+ sparsity (logits) lowers this by 10.00 points to 40.00 %" in better
    assert "accuracy 90.80 %" in better
    worse = headline(with_fpr(results, {"base": 0.5, "logits": 0.5481}))
    assert "raises this by 4.81 points to 54.81 %" in worse
    same = headline(with_fpr(results, {"base": 0.5, "logits": 0.500001}))
    assert "leaves this at 50.00 %" in same


def test_headline_without_far_sets_or_without_any():
    results, _ = example(sets=SETS[3:])
    assert "mean of 1 near set," in headline(results)
    results, _ = example(sets=())
    assert decision(Findings(results))[0].startswith("No OOD set was at hand")


def test_best_is_marked_by_what_is_printed():
    fractions = [0.40001, 0.4, 0.41, None]
    cells = with_best([{"mean": value, "std": None} for value in fractions], FPR95)
    assert [cell.style for cell in cells] == ["best", "best", "", ""]
    cells = with_best([{"mean": value, "std": value and 0.01} for value in fractions], AUROC)
    assert [cell.style for cell in cells] == ["", "", "best", ""]
    assert cells[0].full_text == "40.00 ± 1.00" and cells[3].full_text == "–"
    (alone,) = with_best([{"mean": 0.4, "std": None}], FPR95)
    assert alone.style == ""


def test_the_decision_names_the_best_detector_and_what_it_flags():
    results, _ = example(num_models=2)
    for entry in results["means"]:
        best = (entry["model"], entry["detector"]) == ("logits", "msp")
        entry["fpr95"] = 0.1 if best else 0.2
    for entry in results["thresholds"]:
        share = {"msp": 0.9, "energy": 0.8, "max_logit": 0.7}[entry["detector"]]
        entry["flagged"] = dict.fromkeys(entry["flagged"], share)
    first, second = decision(Findings(results))
    assert first.startswith(
        "Take msp on + sparsity (logits): at 95 % of good images kept it flags 90 % of SVHN, "
        "90 % of Textures"
    )
    assert "; energy flags 80 % of SVHN" in first and "max_logit" not in first
    assert "Of 3 detectors it has the lowest mean FPR95 over the 3 far sets" in second
    for text in (reporting.to_markdown(results), " ".join(printed(results).split())):
        assert first in text
    for entry in results["means"]:
        if (entry["model"], entry["role"]) == ("logits", "far"):
            entry.update(fpr95=0.1, auroc=0.9)
    assert "over the 3 far sets below, level with " in decision(Findings(results))[1]
    results["chosen"] = {"detector": "max_logit", "reason": "Chosen on generated outliers."}
    first, second = decision(Findings(results))
    assert first.startswith("Take max_logit on ") and second == "Chosen on generated outliers."


def test_without_thresholds_the_decision_tells_the_metric():
    results, _ = example(num_models=1, sets=SETS[:1])
    results["thresholds"] = []
    fpr95 = {entry["detector"]: entry["fpr95"]["mean"] for entry in results["metrics"]}
    best = min(fpr95, key=fpr95.get)
    assert f"it flags {100 * (1 - fpr95[best]):.0f} % of SVHN" in decision(Findings(results))[0]


def test_detectors_are_sorted_in_a_table_with_every_set():
    results, _ = example(num_models=1)
    findings = Findings(results)
    table = detectors_by_sets(findings, findings.groups[0])
    means = {d: findings.mean("base", d, "far")["fpr95"] for d in results["detectors"]}
    assert [row.title for row in table.rows] == sorted(means, key=means.get)
    assert table.titles[:2] == ("far FPR95 ↓", "far AUROC ↑")
    assert table.titles[-5:] == tuple(title for _, title, *_ in SETS)
    for row in table.rows:
        for name, cell in zip([name for name, *_ in SETS], row.cells[-5:], strict=True):
            fpr95 = findings.metric("base", row.title, name)["fpr95"]["mean"]
            assert cell.text == f"{100 * fpr95:.2f}"
    assert table.rows[0].cells[0].style == "best"


def test_markdown_shows_the_numbers_and_the_convention():
    results, scores = example()
    text = reporting.to_markdown(results)
    fpr95 = metrics.fpr_at_tpr(scores["base", "energy", "in"], scores["base", "energy", "svhn"])
    assert re.search(rf"^\| SVHN \| \**{100 * fpr95:.2f}\** \|", text, re.MULTILINE)
    auroc = metrics.auroc(scores["base", "energy", "in"], scores["base", "energy", "svhn"])
    assert re.search(rf"^\| SVHN (\| [^|]+){{2}}\| \**{100 * auroc:.2f}\** \|", text, re.M)
    assert "ID is the positive class" in text
    assert "*Mean of 3 far sets*" in text
    assert "LSUN-Resize: stand-in: scenes" in text
    assert "**iSUN**: put iSUN.tar.gz in data/" in text
    assert "python evaluate.py --ood=all --run=runs/digits" in text
    assert "Commit unknown; seed 0" in text and "keras 3.15.0" in text
    assert text.endswith("\n")


def test_markdown_tables_are_rectangular():
    results, _ = example(num_models=3, protocol="paper")
    results["sets"][0]["title"] = NASTY
    widths = []
    for block in re.findall(r"(?:^\|.*\n)+", reporting.to_markdown(results), re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1
        widths += counts
    assert len(widths) == 6, "compared, three of detectors, thresholds, models"


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
    assert "FPR95" in text and "AUROC" in text and "AUPR" in text
    assert "ID is the positive class" in " ".join(text.split())


def test_terminal_shows_the_numbers():
    results, _ = example()
    text = printed(with_fpr(results, {"base": 1.0, "logits": 0.0123}))
    assert re.search(r"LSUN-Resize\* +100\.00 +1\.23 ", text)
    assert re.search(r"Accuracy +91\.20 +90\.80", text)
    assert "lowers this by 98.77 points" in " ".join(text.split())


def test_the_terminal_shows_the_means_of_every_detector():
    results, _ = example()
    text = printed(results)
    means = text[re.search(r"^Detectors$", text, re.M).start() :]
    for entry in results["means"]:
        assert f" {100 * entry['fpr95']:.2f} " in means
    for name in results["detectors"]:
        assert re.search(rf"^{name} ", means, re.M)
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
    assert parsed.tags.count("svg") == 2
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
        "report.tex",
        "results.csv",
        "results.json",
        "scores.npz",
    ]
    assert json.loads((page.parent / "results.json").read_text()) == results
    assert page.read_text(encoding="utf-8") == reporting.page(results, scores)
    with open(page.parent / "results.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(results["metrics"])
    for line, entry in zip(lines, results["metrics"], strict=True):
        assert float(line["auroc"]) == entry["auroc"]["mean"]
        assert (line["model"], line["set"]) == (entry["model"], entry["set"])
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


def test_latex_escapes_and_has_as_many_cells_in_every_line():
    results, _ = example(num_models=3, protocol="paper")
    results["sets"][0]["title"] = "50 % of $x$_y & {z}\\w"
    text = latex.render(sections.report(results))
    assert r"50 \% of \$x\$\_y \& \{z\}\textbackslash{}w" in text
    for table in re.findall(r"\\begin{tabular}{(l[lr]+)}(.*?)\\end{tabular}", text, re.DOTALL):
        for line in table[1].splitlines():
            if "&" in line and "multicolumn" not in line and not line.startswith(r"\textit"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(table[0]) - 1
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == 6
    assert r"$\pm$" in text
