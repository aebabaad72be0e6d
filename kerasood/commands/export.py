"""`python -m export`: a run's model, detector and threshold as files for other runtimes."""

from rich.text import Text

from kerasood.commands.common import console
from kerasood.export import ExportMismatch, describe_signature, export_run, verify_export
from kerasood.export.checks.conversion import conversion_table


def export(config):
    """Writes the files of an ExportConfig, or verifies those of its `verify`, and prints about it.

    Args:
        config: ExportConfig.

    Returns:
        What `export_run` or `verify_export` returns.
    """
    if config.verify:
        return verify(config.verify)
    exported = export_run(config)
    for name, path in exported.paths.items():
        console.print(Text.assemble("\n", (name, "bold"), f" {path}"))
        console.print(str(exported.reports[name]))
        console.print(describe_signature(path))
    for note in exported.notes.values():
        console.print(f"\n{note}")
    if exported.conversion:
        console.print(f"\n{conversion_table(exported.conversion)}")
    return exported


def verify(folder):
    """Asks the files of a version again and prints how each answers."""
    try:
        results = verify_export(folder)
    except ExportMismatch as error:
        print_verified(error.results)
        raise
    print_verified(results)
    return results


def print_verified(results):
    for name, result in results.items():
        differs = isinstance(result, ExportMismatch)
        style = "red" if differs else "yellow" if isinstance(result, str) else None
        said = "differs: " if differs else ""
        console.print(f"{name}: {said}{result}", style=style)
