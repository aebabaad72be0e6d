"""`python -m export --verify`: do exported files still answer as they did?"""

from kerasood.commands.common import console
from kerasood.export import ExportMismatch, replay


def verify_folder(folder):
    """Replays the golden images of a version directory and prints what each file answers.

    Args:
        folder: str or Path.

    Returns:
        {name of a format: Report, or str: why it was not run}.

    Raises:
        ExportMismatch: a file answers otherwise, or none could be run.
        FileNotFoundError: there are no golden images, or no exported files.
    """
    results = replay(folder)
    wrong = [name for name, result in results.items() if isinstance(result, ExportMismatch)]
    for name, result in results.items():
        style = "red" if name in wrong else "yellow" if isinstance(result, str) else None
        said = "differs: " if name in wrong else ""
        console.print(f"{name}: {said}{result}", style=style, markup=False)
    if wrong:
        raise ExportMismatch(
            f"Expected the answers of the export from {folder}. "
            f"Received: others from {', '.join(wrong)}"
        )
    if all(isinstance(result, str) for result in results.values()):
        raise ExportMismatch(
            f"Expected a file that can be run in {folder}. Received: none ({', '.join(results)})"
        )
    return results
