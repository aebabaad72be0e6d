"""Times several ways of doing one thing in alternation, since other work slows them all."""

import time

import numpy as np


def alternating_seconds(ways, rounds):
    """Runs every way in every round, in alternating order.

    Args:
        ways: {name: function without arguments}.
        rounds: int.

    Returns:
        {name: (rounds, 2) float64}: seconds by the clock and of the processors.
    """
    seconds = {name: np.zeros((rounds, 2)) for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=number % 2 == 1):
            start = _clocks()
            ways[name]()
            seconds[name][number] = _clocks() - start
    return seconds


def _clocks():
    return np.array([time.perf_counter(), time.process_time()])
