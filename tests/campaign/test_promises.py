"""The promises of thresholds and of the drift test, simulated over many days."""
import numpy as np
import pytest
from scipy import stats

from kerasood.thresholds import calibrate, drift_check

DISTRIBUTIONS = {
    "normal": (lambda rng, n: rng.normal(size=n), stats.norm.cdf),
    "heavy tails": (lambda rng, n: rng.standard_t(2, size=n), stats.t(2).cdf),
    "ties": (lambda rng, n: rng.poisson(3.0, size=n).astype(float), stats.poisson(3.0).cdf),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("tpr", [0.8, 0.95])
def test_promised_shares(effort, name, tpr):
    draw, accepted = DISTRIBUTIONS[name]
    rng, days = np.random.default_rng(0), 400 * effort
    rates = {guarantee: [] for guarantee in ("average", "confidence")}
    covered = 0
    for _ in range(days):
        scores = draw(rng, 150)
        for guarantee, found in rates.items():
            threshold = calibrate(scores, tpr, confidence=0.9, guarantee=guarantee)
            found.append(accepted(threshold.value))
        low, high = threshold.interval
        covered += low - 1e-9 <= found[-1] <= high + 1e-9
    average = np.mean(rates["average"])
    kept = np.mean(np.array(rates["confidence"]) >= tpr - 1e-9)
    print(f"{name}, tpr {tpr}: {days} days, average {average:.4f}, kept {kept:.3f} of 0.9, "
          f"interval {covered / days:.3f} of 0.9")
    error = np.std(rates["average"]) / np.sqrt(days)
    assert average >= tpr - 4 * error
    share_error = np.sqrt(0.9 * 0.1 / days)
    assert kept >= 0.9 - 4 * share_error
    if name != "ties":
        assert average <= tpr + 1 / 151 + 4 * error
        assert covered / days >= 0.9 - 4 * share_error


def test_false_alarms_of_drift_and_true_ones(effort):
    rng, days = np.random.default_rng(1), 400 * effort
    alarms = {0.0: 0, 1.0: 0}
    for _ in range(days):
        threshold = calibrate(rng.normal(size=300), 0.9)
        for shift in alarms:
            report = drift_check(threshold, rng.normal(shift, size=200), significance=0.05)
            alarms[shift] += report.p_value <= 0.05
    print(f"{days} days: {alarms[0.0]} false alarms, {alarms[1.0]} alarms "
          "at a shift of 1 deviation")
    assert alarms[0.0] <= days * 0.05 + 4 * np.sqrt(days * 0.05 * 0.95)
    assert alarms[1.0] > 0.95 * days
