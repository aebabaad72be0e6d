"""The decision that an evaluation leads to: the detector to take, and what fine-tuning did."""

import numpy as np

from kerasood.evaluation.means import spread
from kerasood.reporting.findings import Findings, Group, count_of_sets, percent

_LISTED = 6


def best_pair(findings: Findings) -> tuple[Group, str] | None:
    """The group and detector to take; None where nothing was measured.

    The detector is the one that was chosen without the OOD sets, where there is such a choice;
    otherwise the one with the lowest mean FPR95 over the sets of the first role, of several such
    the one with the highest AUROC.
    """
    if not findings.roles or not findings.groups:
        return None
    role = findings.roles[0]
    chosen = findings.results.get("chosen", {}).get("detector")
    pairs = [
        (group, detector)
        for group in findings.groups
        for detector in ([chosen] if chosen else findings.ranked(group, role)[:1])
    ]
    best = min(pairs, key=lambda pair: findings.rank(*pair, role))
    return best if np.isfinite(findings.rank(*best, role)[0]) else None


def decision(findings: Findings) -> list[str]:
    """Sentences: what to take, what it flags beside the energy, and what chose it."""
    pair = best_pair(findings)
    if pair is None:
        return ["No OOD set was at hand, so there is nothing to compare."]
    group, detector = pair
    model = f" on {group.label}" if len(findings.groups) > 1 else ""
    flags = _flags(findings, group, detector)
    sentence = f"Take {detector}{model}: {_kept(findings, group, detector)} it flags {flags}"
    others = [name for name in findings.ranked(group, findings.roles[0]) if name != detector]
    other = findings.primary if findings.primary in others else next(iter(others), None)
    if other:
        sentence += f"; {other} flags {_flags(findings, group, other)}"
    return [f"{sentence}.", _chosen_by(findings, group, detector)]


def comparison_sentences(findings: Findings) -> list[str]:
    """The effect of each family's fine-tuning against its own base; others side by side."""
    return [line for family in findings.families for line in _family_sentences(findings, family)]


def _kept(findings: Findings, group: Group, detector: str) -> str:
    entry = findings.threshold(group.models[0], detector)
    kept = 0.95 if entry is None else entry["threshold"]["tpr"]
    return f"at {100 * kept:g} % of good images kept"


def _flags(findings: Findings, group: Group, detector: str) -> str:
    listed = [entry for role in findings.roles for entry in findings.of_role(role)][:_LISTED]
    parts = []
    for entry in listed:
        share = findings.flagged(group, detector, entry["name"])
        if share is None and findings.positive == "in":
            fpr95 = findings.number(group, detector, "set", entry["name"], "fpr95")["mean"]
            share = None if fpr95 is None else 1 - fpr95
        if share is not None:
            parts.append(f"{_whole_percent(share)} % of {entry['title']}")
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _whole_percent(share: float) -> str:
    """A share in whole percents; 0 and 100 stand for none and all alone."""
    if share in (0, 1) or 0.01 <= share <= 0.99:
        return f"{100 * share:.0f}"
    return f"{min(max(100 * share, 0.1), 99.9):.1f}"


def _chosen_by(findings: Findings, group: Group, detector: str) -> str:
    chosen = findings.results.get("chosen", {})
    if chosen:
        return chosen["reason"]
    role, number = findings.roles[0], len(findings.detectors)
    sets = count_of_sets(len(findings.of_role(role)), role)
    if number < 2 and len(findings.groups) < 2:
        return ""

    def shown(*pair):
        return [percent(findings.number(*pair, "role", role, metric)["mean"])
                for metric in ("fpr95", "auroc")]

    level = [
        name if each is group else f"{name} on {each.label}"
        for each in findings.groups for name in findings.detectors
        if (each, name) != (group, detector) and shown(each, name) == shown(group, detector)
    ]
    named = ", ".join(level) if len(level) <= _LISTED else f"{len(level)} others"
    beside = f", level with {named}" if level else ""
    what = f"Of {number} detectors it has" if number > 1 else "It has"
    return (
        f"{what} the lowest mean FPR95 over the {sets} below{beside}. It was chosen by that, so "
        "on other images expect somewhat less."
    )


def _family_sentences(findings: Findings, family: list[Group]) -> list[str]:
    """The first of a family, then what each fine-tune changes, or how each other model does."""
    if not findings.roles:
        return []
    role, (first, *others) = findings.roles[0], family
    before = _mean(findings, first, role)
    sets = count_of_sets(len(findings.of_role(role)), role)
    if before["fpr95"]["mean"] is None:
        return [f"{first.label} has no result on {sets}."]
    does, of = "accepts", "OOD images at 95 % ID recall"
    if findings.positive == "out":
        does, of = "flags", "ID images at 95 % OOD recall"
    lines = [
        f"{first.title} {does} {_text(before['fpr95'])} % of {of} (mean of {sets}, "
        f"{findings.primary}; {_beside(before)})."
    ]
    for group in others:
        after = _mean(findings, group, role)
        if after["fpr95"]["mean"] is not None:
            moved = _moved(findings, family, group, role) if group.is_tuned else does
            lines.append(f"{group.title} {moved} {_text(after['fpr95'])} % ({_beside(after)}).")
    return lines


def _beside(mean: dict) -> str:
    return f"AUROC {_text(mean['auroc'])}, accuracy {_text(mean['accuracy'])} %"


def _moved(findings: Findings, family: list[Group], group: Group, role: str) -> str:
    pairs = _pairs(findings, family, group, role)
    change = spread([round(100 * new, 2) - round(100 * old, 2) for old, new in pairs])
    size = f"{abs(change['mean']):.2f}"
    size += "" if change["std"] is None else f" ± {change['std']:.2f}"
    if abs(change["mean"]) < 0.005:
        return "leaves this at"
    return f"{'lowers' if change['mean'] < 0 else 'raises'} this by {size} points to"


def _pairs(findings: Findings, family: list[Group], group: Group, role: str) -> list[tuple]:
    """(FPR95 of the own base, FPR95) of every model of a group."""
    first = family[0].models[0]
    pairs = []
    for key, base in zip(group.models, group.bases, strict=True):
        before, after = (
            findings.mean(each, findings.primary, role) for each in (base or first, key)
        )
        if before and after:
            pairs.append((before["fpr95"], after["fpr95"]))
    return pairs


def _mean(findings: Findings, group: Group, role: str) -> dict:
    accuracies = {model["key"]: model["accuracy"] for model in findings.models}
    numbers = {
        metric: findings.number(group, findings.primary, "role", role, metric)
        for metric in ("fpr95", "auroc")
    }
    return {**numbers, "accuracy": spread([accuracies[key] for key in group.models])}


def _text(number: dict) -> str:
    spread_text = "" if number["std"] is None else f" ± {percent(number['std'])}"
    return f"{percent(number['mean'])}{spread_text}"
