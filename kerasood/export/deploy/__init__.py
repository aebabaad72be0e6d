"""Files that serve an exported model, written beside it under its own name."""

import pathlib
import shutil

from kerasood.files import atomic_path

TEMPLATES = pathlib.Path(__file__).parent
FOLDER = "deploy"
# No model name holds braces.
MODEL, VERSION = "{MODEL}", "{VERSION}"
SUFFIXES = {".yaml", ".yml", ".config", ".conf", ".json", ".md", ".py"}


def write_deploy(base, model_name, version):
    """Writes `<base>/deploy/`: server, proxy, monitoring and clients for one exported model.

    TF Serving takes only folders whose name is a number for versions, so it may lie among them. A
    folder that is already there stays as it is: it may have been edited.

    Args:
        base: str or Path, the folder that holds the version folders.
        model_name: str, the name it is served under.
        version: int, the version that the label `stable` starts at.

    Returns:
        Path of the folder.

    Raises:
        OSError: it cannot be written.
    """
    target = pathlib.Path(base) / FOLDER
    if target.exists():
        return target
    with atomic_path(target) as temporary:
        shutil.copytree(
            TEMPLATES, temporary, ignore=shutil.ignore_patterns("__init__.py", "__pycache__")
        )
        for path in temporary.rglob("*"):
            if path.suffix in SUFFIXES:
                text = path.read_text(encoding="utf-8")
                text = text.replace(MODEL, model_name).replace(VERSION, str(version))
                path.write_text(text, encoding="utf-8")
    return target
