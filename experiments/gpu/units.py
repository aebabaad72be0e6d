"""A job is a list of named units of work; what fits into the minutes that are left is done."""

import contextlib
import dataclasses
import gc
import pathlib
import signal
import time
import traceback
import typing

from kerasood.commands.common import console
from kerasood.files import read_json, write_json, write_text

MARKERS = pathlib.Path("done")
# Seconds that a kind of unit may take before one was timed: generous.
FIRST_GUESS = {"pretrain": 900, "finetune": 150, "evaluate": 300, "ablation": 180, "benchmark": 300}
SAFETY = 1.3
# A unit that goes on where it stopped is worth beginning with so many seconds left.
WORTH_BEGINNING = 60
# Kept back at the end, to bring files home.
RESERVE = 30


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of work that is done whole or, after an interruption, again.

    Paths are relative to the work folder, the current directory.

    Args:
        name: unique; letters, digits, `-`, `_` and `.`.
        kind: units of one kind take about as long as each other: a key of `FIRST_GUESS`.
        work: function without arguments.
        files: what must come home: texts, and networks as .keras files.
        needs: names of units that must be done before.
        resumable: whether an interrupted unit goes on where it stopped, on the same machine.
        settles: .keras files of which nothing more is to be evaluated: they travel in float16.
        drops: .keras files that are needed no more once this is done, and stay behind.
    """

    name: str
    kind: str
    work: typing.Callable[[], None]
    files: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    resumable: bool = False
    settles: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()

    @property
    def marker(self) -> pathlib.Path:
        return MARKERS / f"{self.name}.json"


def finished(units):
    """The names of the units that are done, with all their files but those that stayed behind."""
    marked = [unit for unit in units if unit.marker.is_file()]
    dropped = {path for unit in marked for path in unit.drops}
    return {
        unit.name
        for unit in marked
        if all(path in dropped or pathlib.Path(path).is_file() for path in unit.files)
    }


class OutOfTime(BaseException):
    """The minutes of this command are over; no `except Exception` on the way may keep it."""


@contextlib.contextmanager
def alarm(seconds):
    """Raises OutOfTime in the main thread when so much time has passed inside the block."""

    def ring(number, frame):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def expected_seconds(kind: str) -> float:
    """How long a unit of this kind may take: what the slowest one took and some more."""
    markers = [read_json(path) for path in MARKERS.glob("*.json")]
    taken = [marker["seconds"] for marker in markers if marker["kind"] == kind]
    return SAFETY * max(taken) if taken else FIRST_GUESS[kind]


def run_units(units, deadline: float, bring_home, clock=time.monotonic):
    """Does the units that are not done, in order, as long as there is time.

    What fails is reported, leaves `errors/<unit>.txt`, and is tried again next time; the others
    go on.

    Args:
        units: list of Units.
        deadline: on `clock`, seconds.
        bring_home: called after each unit.
        clock: function of nothing, seconds.

    Returns:
        {name: "done", "was done", "waits", "no time" or "failed"}.
    """
    states = {}
    done = finished(units)
    for unit in units:
        left = deadline - clock() - RESERVE
        if unit.name in done:
            states[unit.name] = "was done"
            continue
        if not done.issuperset(unit.needs):
            states[unit.name] = "waits"
            continue
        if left < (WORTH_BEGINNING if unit.resumable else expected_seconds(unit.kind)):
            states[unit.name] = "no time"
            continue
        console.print(f"[bold]{unit.name}[/], {left:.0f} s left")
        states[unit.name] = _attempt(unit, left, clock)
        if states[unit.name] == "done":
            done.add(unit.name)
        bring_home()
    return states


def _attempt(unit, left, clock):
    begin = clock()
    error = pathlib.Path("errors", f"{unit.name}.txt")
    try:
        with alarm(left):
            unit.work()
        missing = [path for path in unit.files if not pathlib.Path(path).is_file()]
        if missing:
            raise FileNotFoundError(f"Expected what comes home. Missing: {', '.join(missing)}")
    except OutOfTime:
        console.print(f"{unit.name}: interrupted, no time left", style="yellow")
        return "no time"
    except Exception:
        write_text(error, traceback.format_exc())
        console.print(traceback.format_exc(), style="red", markup=False)
        return "failed"
    finally:
        # Models and what was compiled for them refer to each other.
        gc.collect()
    error.unlink(missing_ok=True)
    seconds = round(clock() - begin, 1)
    write_json(unit.marker, {"unit": unit.name, "kind": unit.kind, "seconds": seconds})
    console.print(f"{unit.name}: {seconds} s")
    return "done"
