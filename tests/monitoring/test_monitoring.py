import json

import numpy as np
import pytest

from kerasood import calibrate, calibrate_per_class
from kerasood.commands import monitor as command
from kerasood.commands.monitor import run
from kerasood.config import MonitorConfig
from kerasood.export.metadata import FILE_NAME
from kerasood.monitoring import monitor, page, prometheus
from kerasood.monitoring.answers import read_answers
from kerasood.scoring.tables import write_rows

SCORES = np.random.default_rng(0).normal(size=1000).astype("float32")


@pytest.fixture(scope="module")
def threshold():
    return calibrate(SCORES, tpr=0.95)


@pytest.fixture
def exported(tmp_path, threshold):
    """What an export says of itself, without the graph."""
    folder = tmp_path / "model" / "1"
    (folder / "assets.extra").mkdir(parents=True)
    content = {"calibration": threshold.to_json(), "class_names": ["a", "b"]}
    (folder / "assets.extra" / FILE_NAME).write_text(json.dumps(content))
    return folder


def log_of(path, flags, start=1000.0, names="ab"):
    """A client's log with an answer a second."""
    lines = (
        {"time": start + number, "label": names[number % 2], "is_ood": bool(flag), "valid": True}
        for number, flag in enumerate(flags)
    )
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def flags(share, number, seed=0):
    return np.random.default_rng(seed).random(number) < share


def test_answers_as_promised_are_no_drift(tmp_path, threshold):
    log = log_of(tmp_path / "a.jsonl", flags(0.05, 2050))
    found = monitor(log, threshold, window=200)
    assert len(found.windows) == 10 and found.waiting == 50
    assert not found.drifted and str(found).endswith("no drift shown in 10 windows.")
    assert found.promised == pytest.approx(0.05)
    again = monitor(log_of(tmp_path / "b.jsonl", flags(0.05, 2050)[:1000]), threshold, window=200)
    assert again.windows == found.windows[:5]


@pytest.mark.parametrize("share", [0.3, 0.0])
def test_a_window_of_another_share_is_drift(tmp_path, threshold, share):
    mixed = np.concatenate([flags(0.05, 1000), flags(share, 500, seed=1)])
    found = monitor(log_of(tmp_path / "a.jsonl", mixed), threshold, window=500)
    assert [window.report.drifted for window in found.windows] == [False, False, True]
    assert found.drifted and "DRIFT. window 3: Drift:" in str(found)
    assert (found.windows[2].started, found.windows[2].ended) == (2000.0, 2499.0)


def test_a_slow_drift_adds_up_to_evidence(tmp_path, threshold):
    found = monitor(log_of(tmp_path / "a.jsonl", flags(0.08, 8000, seed=2)), threshold, window=30)
    assert not found.drifted_windows
    assert found.enough_evidence and "all answers together: evidence" in str(found)


def test_there_is_hardly_ever_a_false_alarm(tmp_path):
    """Calibration and traffic of one distribution, 200 times 20 windows."""
    generator, alarms = np.random.default_rng(1), 0
    for number in range(200):
        own = calibrate(generator.normal(size=200).astype("float32"), tpr=0.95)
        traffic = generator.normal(size=600) > own.value
        log = log_of(tmp_path / f"{number}.jsonl", traffic)
        alarms += monitor(log, own, window=30, significance=0.05).drifted
    assert alarms <= 10


def test_answers_are_put_in_order_of_time_over_files(tmp_path, threshold):
    later = log_of(tmp_path / "a.jsonl", [True] * 100, start=5000.0)
    earlier = log_of(tmp_path / "b.jsonl", [False] * 100)
    found = monitor([later, earlier], threshold, window=100)
    assert [window.flagged_share for window in found.windows] == [0.0, 1.0]


def test_scored_files_are_answers_too(tmp_path, threshold):
    row = {"label": "a", "probability": 1.0, "score": 0.0, "reason": ""}
    rows = [{**row, "file": str(n), "is_ood": n < 30, "valid": n % 10 != 9} for n in range(60)]
    write_rows(tmp_path / "s.csv", rows)
    found = monitor(tmp_path / "s.csv", threshold, window=54)
    assert found.windows[0].report.num_flagged == 27 and found.windows[0].started is None


def test_thresholds_per_class_are_checked_by_class(tmp_path, exported):
    logits = np.eye(2, dtype="float32")[np.arange(1000) % 2]
    per_class = calibrate_per_class(SCORES, logits.argmax(axis=1), num_classes=2, tpr=0.95)
    path = exported / "assets.extra" / FILE_NAME
    content = {"calibration": per_class.to_json(), "class_names": ["a", "b"]}
    path.write_text(json.dumps(content))
    only_b = np.arange(400) % 2 == 1
    found = monitor(log_of(tmp_path / "a.jsonl", only_b), exported, window=400)
    by_class = found.windows[0].report.by_class
    assert by_class[1].num_flagged == 200 and by_class[0].num_flagged == 0
    assert found.drifted and found.evidence is None
    path.write_text(json.dumps({**content, "class_names": ["x", "y"]}))
    with pytest.raises(ValueError, match="class names of the model.*Received: 'a'"):
        monitor(log_of(tmp_path / "a.jsonl", only_b), exported, window=400)


def test_classes_without_names_are_numbers_in_the_answers(tmp_path, exported):
    per_class = calibrate_per_class(SCORES, np.arange(1000) % 2, num_classes=2, tpr=0.95)
    content = {"calibration": per_class.to_json()}
    (exported / "assets.extra" / FILE_NAME).write_text(json.dumps(content))
    log = log_of(tmp_path / "a.jsonl", np.arange(400) % 2 == 1, names="01")
    for model in (exported, per_class):
        by_class = monitor(log, model, window=400).windows[0].report.by_class
        assert {label: part.num_flagged for label, part in by_class.items()} == {0: 0, 1: 200}


def test_a_window_of_classes_that_are_not_checked_is_no_drift(tmp_path, exported):
    predicted = np.r_[np.zeros(990, int), np.ones(10, int)]
    per_class = calibrate_per_class(SCORES, predicted, num_classes=2, tpr=0.95)
    log = log_of(tmp_path / "a.jsonl", np.ones(40, bool), names="11")
    found = monitor(log, per_class, window=40)
    assert not found.drifted and found.windows[0].flagged_share == 0
    assert "Monitoring of threshold" in page(found) and "kerasood_drift" in prometheus(found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "JSON in .*x.jsonl:1"),
        ('{"score": 1.0}', "a is_ood in .*x.jsonl:1. Received: None"),
        ('{"is_ood": 1}', "a is_ood in .*Received: 1"),
        ('{"is_ood": true, "time": "noon"}', "a time in .*Received: 'noon'"),
        ("[1]", "a is_ood in"),
    ],
)
def test_lines_that_are_no_answers(tmp_path, line, message):
    (tmp_path / "x.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=message):
        read_answers(tmp_path / "x.jsonl")


def test_a_line_that_is_being_written_waits(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"is_ood": true}\n{"is_ood": tr')
    assert len(read_answers(tmp_path / "x.jsonl")) == 1
    with pytest.raises(FileNotFoundError, match="gone.jsonl, which is missing"):
        read_answers(tmp_path / "gone.jsonl")


def test_the_page_says_what_was_found(tmp_path, threshold):
    mixed = np.concatenate([flags(0.05, 400), flags(0.5, 200, seed=1)])
    text = page(monitor(log_of(tmp_path / "a.jsonl", mixed), threshold, window=200))
    assert "DRIFT" in text and "<svg" in text and "1970-01-01 00:16 UTC" in text
    assert text.count("<tr") == 4 and "<script" not in text
    empty = page(monitor(log_of(tmp_path / "b.jsonl", flags(0, 5)), threshold, window=200))
    assert "no whole window yet, 5 answers wait" in empty


def test_metrics_are_prometheus_text(tmp_path, threshold):
    found = monitor(log_of(tmp_path / "a.jsonl", flags(0.5, 400)), threshold, window=200)
    lines = prometheus(found).splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['kerasood_drift{model="threshold"}'] == "1"
    assert values['kerasood_images{model="threshold"}'] == "400"
    share = float(values['kerasood_flagged_share{model="threshold"}'])
    assert share == pytest.approx(found.windows[1].flagged_share)
    assert sum(line.startswith("# TYPE") for line in lines) == len(values)


def test_the_command_ends_with_an_alert(tmp_path, exported, capsys, refused):
    log = log_of(tmp_path / "a.jsonl", flags(0.5, 400))
    config = MonitorConfig(
        model=str(exported), log=(str(log),), window=200,
        html=str(tmp_path / "m.html"), prometheus=str(tmp_path / "m.prom"),
    )
    with pytest.raises(SystemExit) as stop:
        command.alert(config)
    assert stop.value.code == command.ALERT
    assert "DRIFT" in capsys.readouterr().out
    assert "<svg" in (tmp_path / "m.html").read_text()
    assert "kerasood_drift" in (tmp_path / "m.prom").read_text()
    quiet = log_of(tmp_path / "q.jsonl", flags(0.05, 400))
    command.alert(MonitorConfig(model=str(exported), log=(str(quiet),), window=200))
    assert "Expected --model and --log" in refused(run, MonitorConfig())
    few = MonitorConfig(model=str(exported), log=(str(log),), window=2)
    assert "Expected window >= 20. Received: 2" in refused(run, few)
