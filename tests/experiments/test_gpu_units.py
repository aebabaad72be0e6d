"""Slices of GPU time: what is begun, what is interrupted, what is left for the next one."""

import json
import time

import pytest

from experiments.gpu.units import (
    FIRST_GUESS,
    RESERVE,
    WORTH_BEGINNING,
    OutOfTime,
    Unit,
    alarm,
    expected_seconds,
    finished,
    run_units,
)

pytestmark = pytest.mark.slow


class Clock:
    """A clock that stands still but for the work of units."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Clock()


def unit(name, clock, seconds=10, kind="evaluate", **values):
    """A unit that takes so many seconds and writes NAME.json."""

    def work():
        clock.now += seconds
        with open(f"{name}.json", "w") as file:
            json.dump({}, file)

    return Unit(name, kind, work, (f"{name}.json",), **values)


def run(units, clock, seconds, bring_home=lambda: None):
    return run_units(units, clock.now + seconds, bring_home, clock)


def test_units_run_once_in_order_and_each_is_brought_home(clock):
    units = [unit("a", clock), unit("b", clock, needs=("a",))]
    homes = []
    states = run(units, clock, 5000, lambda: homes.append(sorted(finished(units))))
    assert states == {"a": "done", "b": "done"}
    assert homes == [["a"], ["a", "b"]] and clock.now == 1020
    assert run(units, clock, 5000) == {"a": "was done", "b": "was done"}
    assert clock.now == 1020


def test_what_does_not_fit_is_not_begun_and_what_fits_is(clock):
    long, short = unit("long", clock), unit("short", clock, kind="finetune")
    after = unit("after", clock, needs=("long",), kind="finetune")
    seconds = RESERVE + FIRST_GUESS["evaluate"] - 1
    states = run([long, after, short], clock, seconds)
    assert states == {"long": "no time", "after": "waits", "short": "done"}


def test_a_resumable_unit_is_begun_while_a_minute_is_left(clock):
    resumable = unit("a", clock, kind="pretrain", resumable=True)
    assert run([resumable], clock, RESERVE + WORTH_BEGINNING - 1) == {"a": "no time"}
    assert run([resumable], clock, RESERVE + WORTH_BEGINNING) == {"a": "done"}


def test_what_is_expected_follows_the_slowest_of_a_kind(clock):
    assert expected_seconds("evaluate") == FIRST_GUESS["evaluate"]
    run([unit("a", clock, 10), unit("b", clock, 20), unit("c", clock, 30, "finetune")], clock, 5000)
    assert expected_seconds("evaluate") == pytest.approx(26)
    assert run([unit("d", clock)], clock, RESERVE + 25.9) == {"d": "no time"}
    assert run([unit("d", clock)], clock, RESERVE + 26.1) == {"d": "done"}


def test_a_failure_is_kept_tried_again_and_stops_no_other(clock, tmp_path):
    def work():
        raise ZeroDivisionError("by nothing")

    units = [Unit("bad", "evaluate", work), unit("good", clock)]
    assert run(units, clock, 5000) == {"bad": "failed", "good": "done"}
    assert "ZeroDivisionError: by nothing" in (tmp_path / "errors" / "bad.txt").read_text()
    assert run([unit("bad", clock)], clock, 5000) == {"bad": "done"}
    assert not (tmp_path / "errors" / "bad.txt").exists()


def test_a_unit_that_does_not_leave_its_files_has_failed(clock, tmp_path):
    silent = Unit("silent", "evaluate", lambda: None, ("result.json",))
    assert run([silent], clock, 5000) == {"silent": "failed"}
    assert "Missing: result.json" in (tmp_path / "errors" / "silent.txt").read_text()


def test_a_unit_is_done_with_all_its_files_but_those_left_behind(clock, tmp_path):
    first = unit("first", clock)
    last = unit("last", clock, needs=("first",), drops=("first.json",))
    run([first, last], clock, 5000)
    (tmp_path / "first.json").unlink()
    assert finished([first, last]) == {"first", "last"}
    assert finished([first]) == set()
    (tmp_path / "last.json").unlink()
    assert finished([first, last]) == {"first"}


def test_the_alarm_passes_through_what_catches_errors():
    with pytest.raises(OutOfTime), alarm(0.05):
        while True:
            try:
                time.sleep(1)
            except Exception:
                pytest.fail("caught")
    with alarm(0.05):
        pass
    time.sleep(0.1)


def test_an_interrupted_unit_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun = []

    def work():
        begun.append(len(begun))
        if len(begun) == 1:
            time.sleep(5)

    slow = Unit("slow", "pretrain", work, resumable=True)
    monkeypatch.setattr("experiments.gpu.units.WORTH_BEGINNING", 0)
    states = run_units([slow], time.monotonic() + RESERVE + 0.1, lambda: None)
    assert states == {"slow": "no time"} and finished([slow]) == set()
    assert run_units([slow], time.monotonic() + 60, lambda: None) == {"slow": "done"}
    assert begun == [0, 1]
