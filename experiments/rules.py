"""Rules that choose a detector by its measurements on generated outliers, and their regrets.

The measurements of a network are what `experiments.regret` writes. A point is a detector with
parameters. FPR95 and regret are in percent; FPR95 is the mean over the OOD sets.
"""

import dataclasses
import itertools

import numpy as np
from scipy.stats import rankdata

from kerasood.data.validation_outliers import OUTLIER_KINDS
from kerasood.detectors import build
from kerasood.evaluation.auto import has_bank

ALWAYS = ("energy", "msp", "mahalanobis", "knn")


def mean_auroc(aurocs, fpr95s):
    """The mean AUROC over the kinds of outliers: (points,)."""
    return aurocs.mean(axis=1)


def mean_fpr95(aurocs, fpr95s):
    """Minus the mean FPR95 over the kinds."""
    return -fpr95s.mean(axis=1)


def worst_auroc(aurocs, fpr95s):
    """The AUROC on the hardest kind."""
    return aurocs.min(axis=1)


def vote(aurocs, fpr95s):
    """Every kind ranks the points by AUROC; the mean rank as a share of the points."""
    return (rankdata(aurocs, axis=0) / len(aurocs)).mean(axis=1)


STATISTICS = {each.__name__: each for each in (mean_auroc, mean_fpr95, worst_auroc, vote)}


@dataclasses.dataclass(frozen=True)
class Rule:
    """A way of choosing.

    Args:
        statistic: key of STATISTICS, of which the highest wins.
        tune: whether parameters are chosen too; else every detector has its defaults.
        margin: float, by which a detector with a memory bank must be better.
    """

    statistic: str = "mean_auroc"
    tune: bool = False
    margin: float = 0.0

    def __str__(self):
        parameters = "and parameters" if self.tune else "at its defaults"
        return f"{self.statistic}, detector {parameters}"

    def take(self, points):
        """The point that the rule takes."""
        points = [point for point in points if self.tune or is_default(point)]
        aurocs, fpr95s = (
            np.array([[point["kinds"][kind][key] for kind in OUTLIER_KINDS] for point in points])
            for key in ("auroc", "fpr95")
        )
        banks = np.array([has_bank(point["detector"]) for point in points])
        return points[int(np.argmax(
            STATISTICS[self.statistic](aurocs, fpr95s) - self.margin * banks
        ))]


RULES = [Rule(*choice) for choice in itertools.product(STATISTICS, (False, True))]


def is_default(point):
    """True for a detector at its default parameters."""
    detector = build(point["detector"])
    return all(getattr(detector, name) == value for name, value in point["params"].items())


def fpr95_of(point):
    """Mean FPR95 of a point over the OOD sets."""
    return 100 * float(np.mean([each["fpr95"] for each in point["sets"].values()]))


def best_of(points):
    """The point with the lowest FPR95 on the OOD sets: the best in hindsight."""
    return min(points, key=fpr95_of)


def defaults(points):
    """{detector: point} at its default parameters."""
    return {point["detector"]: point for point in points if is_default(point)}


def regret(network, point):
    """FPR95 of a point minus that of the best detector in hindsight, every one at its defaults."""
    return fpr95_of(point) - fpr95_of(best_of(defaults(network["points"]).values()))


def mean_regret(networks, rule):
    """Mean over families of the mean regret within each."""
    families = {}
    for network in networks:
        found = regret(network, rule.take(network["points"]))
        families.setdefault(network["family"], []).append(found)
    return float(np.mean([np.mean(found) for found in families.values()]))


def left_out_rule(networks, family):
    """The rule of RULES with the least regret on the networks of other families."""
    others = [network for network in networks if network["family"] != family]
    return min(RULES, key=lambda rule: mean_regret(others, rule))


def judged(networks, shipped):
    """Markdown: regrets network by network, means over families, rules, what tuning does.

    Args:
        networks: list of measurements.
        shipped: Rule that kerasood follows.
    """
    parts = [_by_network(networks, shipped), _rules(networks), _tuning(networks)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _by_network(networks, shipped):
    titles = ("network", "best in hindsight", "auto takes", "auto", "left out", *ALWAYS)
    rows, families = [], {}
    for network in networks:
        points, family = network["points"], network["family"]
        best, taken = best_of(defaults(points).values()), shipped.take(points)
        several = len({each["family"] for each in networks}) > 1
        other = left_out_rule(networks, family).take(points) if several else taken
        chosen = [taken, other, *(defaults(points)[name] for name in ALWAYS)]
        regrets = [regret(network, point) for point in chosen]
        families.setdefault(family, []).append(regrets)
        named = (f"{point['detector']} {fpr95_of(point):.1f}" for point in (best, taken))
        rows.append((network["network"], *named, *(f"{value:.1f}" for value in regrets)))
    means = np.mean([np.mean(regrets, axis=0) for regrets in families.values()], axis=0)
    rows.append(("**mean over families**", "", "", *(f"**{value:.2f}**" for value in means)))
    return _table(titles, rows)


def _rules(networks):
    found = sorted((mean_regret(networks, rule), str(rule)) for rule in RULES)
    return _table(("rule", "mean regret"), [(text, f"{value:.2f}") for value, text in found])


def _tuning(networks):
    """FPR95 of chosen minus that of default parameters, per detector and family."""
    names = sorted({p["detector"] for each in networks for p in each["points"] if p["params"]})
    families = list(dict.fromkeys(network["family"] for network in networks))
    rows = []
    for name in names:
        changes = {family: [] for family in families}
        for network in networks:
            points = [point for point in network["points"] if point["detector"] == name]
            change = fpr95_of(Rule(tune=True).take(points)) - fpr95_of(defaults(points)[name])
            changes[network["family"]].append(change)
        means = [np.mean(found) for found in changes.values()]
        rows.append((name, *(f"{value:+.1f}" for value in (*means, np.mean(means)))))
    return _table(("detector", *families, "mean"), rows)


def _table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
