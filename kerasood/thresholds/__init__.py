"""Thresholds that keep their promise, and the check whether traffic still agrees with it."""

from kerasood.thresholds.drift import DriftReport, drift_check, drift_evidence, spent_significance
from kerasood.thresholds.per_class import (
    PerClassThreshold,
    Promise,
    calibrate_outputs,
    calibrate_per_class,
    predicted_classes,
    read_threshold,
)
from kerasood.thresholds.ranks import GUARANTEES, needed_images
from kerasood.thresholds.threshold import Threshold, calibrate, realised_rate

__all__ = [
    "GUARANTEES", "DriftReport", "PerClassThreshold", "Promise", "Threshold", "calibrate",
    "calibrate_outputs", "calibrate_per_class", "drift_check", "drift_evidence", "needed_images",
    "predicted_classes", "read_threshold", "realised_rate", "spent_significance",
]
