"""Served answers, window by window, against what the threshold promises."""

from kerasood.monitoring.page import page, prometheus
from kerasood.monitoring.windows import Monitoring, Window, monitor

__all__ = ["Monitoring", "Window", "monitor", "page", "prometheus"]
