"""The frame of every command: flags in, one clear line out when something is wrong."""

import contextlib
import functools
import importlib
import logging as python_logging
import re
import sys
import traceback

from absl import app, flags, logging
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasood.commands.flags import define_flags, flag_names, from_flags
from kerasood.errors import InvalidInputError, KerasoodError
from kerasood.logs import log

# What is printed holds names from outside, whose brackets and colons are theirs.
_PLAIN = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}
console = Console(**_PLAIN)
if not console.is_terminal:
    console.width = 100
_errors = Console(**_PLAIN, stderr=True)


def run_command(config_class, command, described=None):
    """Parses the flags of `config_class`, runs `command(config)` and turns user errors into a line.

    Args:
        config_class: dataclass of options.
        command: function of one config.
        described: function of no arguments, the text of --help; or None for absl's.
    """
    show_log()
    with errors_as_lines():
        _import_modules(sys.argv[1:])
    flags.DEFINE_multi_string(
        "import", [], "Module to import first, which registers detectors and the like; repeatable."
    )
    if described and any(argument.lstrip("-") in ("help", "h", "helpshort")
                         for argument in sys.argv[1:] if argument.startswith("-")):
        print(described())
        sys.exit()
    define_flags(config_class)
    for name in ("import", *flag_names(config_class)):
        # What --help lists: absl would leave it to --helpfull, among a hundred flags of its own.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])

    def main(arguments):
        if len(arguments) > 1:
            raise app.UsageError(f"Expected flags only. Received: {' '.join(arguments[1:])}")
        with errors_as_lines(debug=flags.FLAGS.verbosity > 0):
            command(from_flags(config_class))

    logging.set_verbosity(logging.WARNING)
    # One function per model is what evaluating several models takes.
    python_logging.getLogger("tensorflow").addFilter(
        lambda record: "triggered tf.function retracing" not in str(record.msg)
    )
    app.run(main, spelled_for_absl(sys.argv))


def spelled_for_absl(arguments):
    """Arguments with --no-download as --nodownload, the one way in which absl knows it."""
    return [re.sub(r"^--?no-(?=\w)", "--no", argument) for argument in arguments]


def show_log():
    """Shows what the library logs on the console: progress plain, warnings yellow."""
    log.setLevel(python_logging.INFO)
    log.propagate = False  # absl would print it once more, with a prefix
    if not any(isinstance(handler, _ConsoleHandler) for handler in log.handlers):
        log.addHandler(_ConsoleHandler())


class _ConsoleHandler(python_logging.Handler):
    def emit(self, record):
        style = "yellow" if record.levelno >= python_logging.WARNING else None
        console.print(record.getMessage(), style=style)


def _import_modules(arguments):
    """Imports what --import names, before flags are defined: their choices are tables' names."""
    sys.path.append("")  # modules beside the user, for commands that are installed elsewhere
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, given, value = argument.partition("=")
        if name not in ("--import", "-import"):
            continue
        module = value if given else following
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InvalidInputError(
                f"Expected a module that can be imported from here. Received: --import={module} "
                f"({error})"
            ) from error


@contextlib.contextmanager
def errors_as_lines(debug=False):
    """Turns an error that the user can mend into one line on stderr and exit status 1.

    Args:
        debug: bool, whether to print the traceback before it.
    """
    try:
        yield
    except KeyboardInterrupt:
        _errors.print("interrupted: what was saved is complete; training goes on with --resume")
        sys.exit(130)
    except KerasoodError as error:
        if debug:
            traceback.print_exc()
        # Errors of the operating system come as "[Errno 2] No such file or directory: 'x'".
        message = str(error).removeprefix(f"[Errno {getattr(error, 'errno', None)}] ")
        line = " ".join(message.split())
        _errors.print(f"error: {line}", style="red")
        sys.exit(1)


@contextlib.contextmanager
def image_progress():
    """Yields what shows passes over images: function of (title, number) -> function of images done.

    Silent where the output is no terminal.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        yield lambda title, total: functools.partial(bar.advance, bar.add_task(title, total=total))
