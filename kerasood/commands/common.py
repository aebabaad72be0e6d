"""What the commands share: flags in, one clear line out when something is wrong."""

import difflib
import sys
import traceback

from absl import app, flags, logging
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasood import config as configs

console = Console(highlight=False, soft_wrap=True)


def run_command(config_class, story):
    """Parses the flags of `config_class`, runs `story(config)` and turns user errors into a line.

    Args:
        config_class: dataclass of `kerasood.config`.
        story: function of one config.
    """
    configs.define_flags(config_class)

    def main(arguments):
        if len(arguments) > 1:
            raise app.UsageError(f"Expected flags only. Received: {' '.join(arguments[1:])}")
        try:
            story(configs.from_flags(config_class))
        except (ValueError, OSError, ArithmeticError) as error:
            if flags.FLAGS.verbosity > 0:
                traceback.print_exc()
            message = getattr(error, "strerror", None) or error
            console.print(f"error: {message}", style="red", markup=False)
            sys.exit(1)

    logging.set_verbosity(logging.WARNING)
    app.run(main)


def choose(kind, name, table):
    """Returns `name` if `table` has it.

    Raises:
        ValueError: it has not; suggests the nearest name.
    """
    if name in table:
        return name
    near = difflib.get_close_matches(name, table, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Expected a {kind} out of {', '.join(table)}.{hint} Received: {name!r}")


def progress_bar():
    """A progress bar for scoring images; silent where the output is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
