import ast
import pathlib

import pytest

TESTS = pathlib.Path(__file__).parent
PACKAGE = TESTS.parent / "kerasood"

# An image enters at the top and a report or a served answer leaves at the bottom: a module imports
# only from those above it. docs/architecture.md shows the same order.
ORDER = (
    "quiet",
    "errors",
    "logs",
    "names",
    "files",
    "data",
    "config",
    "array_ops",
    "extractor",
    "networks",
    "provenance",
    "training",
    "runs",
    "detectors",
    "metrics",
    "thresholds",
    "evaluation",
    "reporting",
    "serving",
    "benchmarking",
    "export",
    "scoring",
    "monitoring",
    "commands",
)
# The graph's own code runs on every Keras backend; TensorFlow stays at the two ends.
USES_TENSORFLOW = {
    "data/archives/builders.py",
    "data/tfds.py",
    "extractor/input_gradient.py",
    "networks/batch_norm.py",
    "networks/dropout.py",
    "training/processor.py",
    "export/checks/warmup.py",
    "export/deploy/server/grpc_client.py",
    "export/formats/onnx.py",
    "export/formats/saved_model.py",
    "export/formats/tflite.py",
    "export/graph/encoded.py",
    "export/graph/endpoints.py",
    "export/graph/exif.py",
    "export/graph/quantization.py",
    "export/metadata.py",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    """The module or package directly below kerasood that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path):
    parts = (name.split(".") for name in imported_names(path))
    return {name[1] for name in parts if name[0] == "kerasood" and len(name) > 1}


def test_every_module_has_its_place_in_the_order():
    rooms = {room(path) for path in FILES} - {"__init__"}
    assert rooms == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_only_from_above(path):
    if room(path) == "__init__":
        return
    allowed = set(ORDER[: ORDER.index(room(path)) + 1])
    assert imported_rooms(path) & set(ORDER) <= allowed


def test_no_library_module_imports_a_command():
    importing = {room(path) for path in FILES if "commands" in imported_rooms(path)}
    assert importing == {"commands"}


def test_the_check_sees_imports():
    rooms = imported_rooms(PACKAGE / "evaluation" / "calibration.py")
    assert rooms >= {"data", "evaluation", "thresholds"}


def test_tensorflow_is_imported_only_at_the_ends():
    using = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for name in imported_names(path)
        if name.split(".")[0] in ("tensorflow", "tensorflow_datasets")
    }
    assert using <= USES_TENSORFLOW
    assert {"data/tfds.py", "export/formats/tflite.py"} <= using


def test_the_architecture_document_names_every_room_in_order():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("```")[1]
    places = [picture.find(f"\n{name}") for name in ORDER]
    assert -1 not in places
    assert places == sorted(places)


def test_no_test_imports_a_test():
    tests = {path.stem: path for path in TESTS.rglob("test_*.py")}
    files = [*tests.values(), *TESTS.rglob("conftest.py"), *(TESTS / "helpers").glob("*.py")]
    imports = {(path.stem, name.split(".")[-1]) for path in files for name in imported_names(path)}
    assert ("conftest", "tiny_data") in imports
    assert not {(path, name) for path, name in imports if name in tests}


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_open_with_a_noun_or_a_verb(path):
    questions = {"What", "Which", "Where", "How", "Whether", "Why", "When", "Who"}
    assert not [text for text in docstrings(path) if text.split()[0].rstrip(",.:") in questions]
