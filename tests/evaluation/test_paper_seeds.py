"""The suite's tables over training seeds: numbers worked by hand."""

import pytest
from paper_results import entry, results_of

from kerasood.reporting import paper_numbers
from kerasood.reporting.paper import averaged, compare

STEP = 0.01


def section(seed, base, sets=paper_numbers.SETS):
    """The paper's numbers, moved by STEP times the seed; the base by the number of the base."""
    results = results_of([entry(name) for name in sets])
    for metric in results["metrics"]:
        step = STEP * (seed if metric["model"] == "tuned" else base)
        for name in paper_numbers.METRICS:
            metric[name] = {"mean": metric[name]["mean"] + step, "std": 0.001}
    for model, number in zip(results["models"], (base, seed), strict=True):
        model |= {"accuracy": model["accuracy"] + STEP * number, "seed": number}
    return {
        **results, "title": "", "run": f"run{seed}", "base": f"base{base}", "recipe": "WRN",
        "protocol": {}, "comparison": compare(results),
    }


def test_means_and_spreads_over_three_runs():
    sections = [section(seed, base=seed) for seed in (1, 2, 6)]
    together = averaged(sections)
    # 1, 2 and 6: mean 3, deviations -2, -1 and 3: sqrt(14 / 2) = 2.6458.
    spread = {"std": STEP * 7**0.5}
    first = sections[0]["comparison"]
    comparison = together["comparison"]
    pairs = [
        *zip(comparison["mean"]["models"], first["mean"]["models"], strict=True),
        *zip(comparison["table2"], first["table2"], strict=True),
        *((a, b) for i in range(6) for a, b in zip(
            comparison["table1"][i]["models"], first["table1"][i]["models"], strict=True)),
    ]
    seen = 0
    for ours, one in pairs:
        assert ours["paper"] == one["paper"]
        if one["measured"] is None:
            assert ours["measured"] is None and ours["difference"] is None
            continue
        for name in paper_numbers.METRICS:
            value = one["measured"][name]
            value = value["mean"] if isinstance(value, dict) else value
            expected = {"mean": value + 2 * STEP, **spread}
            assert ours["measured"][name] == pytest.approx(expected, abs=1e-12)
            expected = one["difference"][name] + 2 * STEP
            assert ours["difference"][name] == pytest.approx(expected, abs=1e-12)
            seen += 1
    assert seen == 3 * (2 + 4 + 12), "Mahalanobis is not among the metrics"
    accuracy = comparison["accuracy"][1]
    assert accuracy["measured"] == pytest.approx({"mean": 0.80, **spread})
    assert accuracy["difference"] == pytest.approx(0.80 - accuracy["paper"])
    assert (together["seeds"], together["runs"]) == ([1, 2, 6], ["run1", "run2", "run6"])


def test_a_base_that_fine_tunes_share_counts_once():
    comparison = averaged([section(seed, base=1) for seed in (1, 3)])["comparison"]
    before, after = comparison["mean"]["models"]
    assert before["measured"]["auroc"]["std"] is None
    assert after["measured"]["auroc"]["std"] == pytest.approx(STEP * 2**0.5)
    by_method = {row["method"]: row["measured"] for row in comparison["table2"]}
    assert by_method["energy"] == before["measured"] and by_method["ours"] == after["measured"]


def test_what_does_not_compare_still_does_not():
    one = averaged([section(seed, seed, sets=("svhn", "scenes_crop")) for seed in (1, 2)])
    rows = {row["set"]: row for row in one["comparison"]["table1"]}
    assert rows["lsun_crop"]["models"][0]["difference"] is None
    assert rows["lsun_crop"]["models"][0]["measured"]["auroc"]["std"] > 0
    assert rows["isun"]["models"][0]["measured"] is None
