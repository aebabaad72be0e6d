"""`kerasood-monitor`: are served answers still what the threshold promised?"""

import dataclasses
import sys

from kerasood.commands.common import console, run_command
from kerasood.config import option
from kerasood.errors import InvalidInputError
from kerasood.files import write_text
from kerasood.monitoring import monitor, page, prometheus

ALERT = 2


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """Configuration of `kerasood-monitor`: logged answers against the model that gave them."""

    model: str | None = option(None, "The exported model: SavedModel folder or file.")
    log: tuple[str, ...] = option(
        (), "Answers: .jsonl of the clients' --log, .csv or .parquet of kerasood-score."
    )
    window: int = option(1000, "Answers of a window.")
    significance: float = option(0.05, "Probability that there is ever a false alarm, at most.")
    html: str | None = option(None, "Page to write.")
    prometheus: str | None = option(None, "Metrics to write, in Prometheus's text format.")


def main():
    """Entry point of the console script; exits with status 2 on drift."""
    run_command(MonitorConfig, _alerting)


def run(config):
    """Checks the logs of a MonitorConfig, writes what it asks for and prints the verdict.

    Returns:
        kerasood.monitoring.Monitoring.

    Raises:
        InvalidInputError, MissingDataError: see `monitor`.
    """
    if not (config.model and config.log):
        raise InvalidInputError(
            f"Expected --model and --log. Received: model={config.model!r}, "
            f"log={','.join(config.log)!r}"
        )
    found = monitor(list(config.log), config.model, config.window, config.significance)
    if config.html:
        write_text(config.html, page(found))
    if config.prometheus:
        write_text(config.prometheus, prometheus(found))
    console.print(str(found), style="red" if found.drifted else None, markup=False)
    return found


def _alerting(config):
    if run(config).drifted:
        sys.exit(ALERT)


if __name__ == "__main__":
    main()
