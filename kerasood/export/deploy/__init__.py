"""Files for servers and phones, written beside an export under its own name."""

import os
import pathlib
import shutil

from kerasood.files import atomic_path

# By the name of the folder that is written.
TEMPLATES = {
    "deploy": pathlib.Path(__file__).parent / "server",
    "phone": pathlib.Path(__file__).parent / "phone",
}
# No model name holds braces.
MODEL, VERSION = "{MODEL}", "{VERSION}"


def write_deploy(
    base: str | os.PathLike, name: str, model_name: str, version: int,
) -> pathlib.Path:
    """Writes a folder of TEMPLATES beside the versions of an exported model.

    "deploy" holds server, proxy, monitoring and clients, "phone" sources for apps. TF Serving takes
    only folders whose name is a number for versions, so it may lie among them. A folder that is
    already there stays as it is: it may have been edited.

    Args:
        base: str or Path, the folder that holds the version folders.
        name: one of TEMPLATES, the name of the folder.
        model_name: str, the name it is served under.
        version: int, the version that the label `stable` starts at.

    Returns:
        Path of the folder.

    Raises:
        OSError: it cannot be written.
    """
    target = pathlib.Path(base) / name
    if target.exists():
        return target
    with atomic_path(target) as temporary:
        shutil.copytree(TEMPLATES[name], temporary, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (path for path in temporary.rglob("*") if path.is_file()):
            text = path.read_text(encoding="utf-8")
            text = text.replace(MODEL, model_name).replace(VERSION, str(version))
            path.write_text(text, encoding="utf-8")
    return target
