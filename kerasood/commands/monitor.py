"""`kerasood-monitor`: are served answers still what the threshold promised?"""

import sys

from kerasood.commands.common import console
from kerasood.errors import InvalidInputError
from kerasood.files import write_text
from kerasood.monitoring import monitor, page, prometheus

ALERT = 2


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
    console.print(str(found), style="red" if found.drifted else None)
    return found


def alert(config):
    """As `run`; exits with status 2 on drift."""
    if run(config).drifted:
        sys.exit(ALERT)
