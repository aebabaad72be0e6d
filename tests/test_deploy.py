"""The files under export/deploy: that they agree with what `python -m export` writes, and run."""

import ast
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from encoded_images import encode, noise
from tf_serving import NO_API, raw_model

from kerasood.config import ExportConfig

ROOT = pathlib.Path(__file__).parent.parent
DEPLOY = ROOT / "export" / "deploy"
MODEL = "cifar10"


def text_of(name):
    return (DEPLOY / name).read_text(encoding="utf-8")


def client(name):
    """A client as a module."""
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rest_client():
    return client("rest_client")


@pytest.fixture(scope="module")
def grpc_client():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    return client("grpc_client")


@pytest.fixture
def files(tmp_path):
    """An image, and a file that is none."""
    (tmp_path / "photo.jpg").write_bytes(encode(noise(20, 30), "JPEG"))
    (tmp_path / "notes.png").write_bytes(b"no image")
    return [str(tmp_path / "photo.jpg"), str(tmp_path / "notes.png")]


def test_every_file_is_in_the_readme():
    names = {path.name for path in DEPLOY.iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"^\| `([^`]+)` \|", text_of("README.md"), re.M)) == names


def test_folders_and_names_are_those_of_the_export():
    out = ExportConfig().out
    compose, models = text_of("compose.yaml"), text_of("models.config")
    (host, inside) = re.search(r"- (\S*exported):(/\w+):ro", compose).groups()
    assert (DEPLOY / host).resolve() == ROOT / out
    assert f'name: "{MODEL}"' in models and f'base_path: "{inside}/{MODEL}"' in models
    assert f"storageUri: pvc://{out}/{MODEL}\n" in text_of("kserve.yaml")
    assert f"`{out}/{MODEL}/1/`" in text_of("README.md")
    assert ":/deploy:ro" in compose
    for flag, path in re.findall(r"--(\w+)=/deploy/(\S+)", compose):
        assert (DEPLOY / path).is_file()
        assert flag in ("model_config_file", "monitoring_config_file", "batching_parameters_file")
        assert f"--{flag}=/deploy/{path}" in text_of(path) or flag.startswith("monitoring")


def test_ports_are_those_that_the_clients_ask():
    ports = re.findall(r'"127\.0\.0\.1:(\d+):\1"', text_of("compose.yaml"))
    assert ports == ["8500", "8501"]
    assert '"127.0.0.1:8500"' in text_of("grpc_client.py")
    assert '"http://127.0.0.1:8501"' in text_of("rest_client.py")
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", text_of("README.md"))) == {"8501"}


def test_versions_of_the_server_agree():
    (image,) = re.findall(r"image: tensorflow/serving:(\S+)", text_of("compose.yaml"))
    assert f'runtimeVersion: "{image}"' in text_of("kserve.yaml")


@pytest.mark.parametrize("name", ["compose.yaml", "kserve.yaml"])
def test_yaml_is_indented_by_twos_and_has_no_tabs(name):
    lines = [line for line in text_of(name).splitlines() if line.split("#")[0].strip()]
    depths = [len(line) - len(line.lstrip(" ")) for line in lines]
    assert "\t" not in text_of(name) and all(depth % 2 == 0 for depth in depths)
    for line, depth, following in zip(lines, depths, [*depths[1:], 0], strict=True):
        opens = line.split("  #")[0].rstrip().endswith(":")
        assert following == depth + 2 if opens else following <= depth, line
        assert re.match(r" *(- \S|[\w./]+:( \S|$))", line), line


def test_models_config_is_what_the_server_parses():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(text_of("models.config"), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == (MODEL, "tensorflow")


def test_batching_parameters_are_known_ones():
    """Their message is not among those that tensorflow-serving-api ships."""
    lines = [line for line in text_of("batching.config").splitlines() if not line.startswith("#")]
    known = ("max_batch_size", "batch_timeout_micros", "num_batch_threads", "max_enqueued_batches")
    assert sorted(re.match(r"(\w+) \{ value: \d+ \}$", line)[1] for line in lines) == sorted(known)


def test_signatures_exist(served_export):
    texts = [text_of(name) for name in ("README.md", "rest_client.py", "grpc_client.py")]
    used = set(re.findall(r'signature_name"?(?:: | = )"(\w+)"', " ".join(texts)))
    mentioned = {"serving_default", "classify"}
    with raw_model(served_export.folder) as model:
        assert used == {"classify_bytes"}
        assert used | mentioned <= model.calls.keys()
        assert list(model.signatures["classify_bytes"].inputs) == ["image_bytes"]
        outputs = set(model.signatures["classify_bytes"].outputs)
    (example,) = re.findall(r'^\{"predictions": \[\{(.*)\}\]\}$', texts[0], re.M)
    assert set(re.findall(r'"(\w+)":', example)) == outputs


def test_the_rest_client_needs_only_python():
    imported = {
        (alias.name if isinstance(node, ast.Import) else node.module).split(".")[0]
        for node in ast.walk(ast.parse(text_of("rest_client.py")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def check_printed(printed, files):
    good, bad = printed.splitlines()
    assert re.fullmatch(
        re.escape(files[0]) + r": [abcd] \(\d+\.\d%\), (OOD|in-distribution), score -?[\d.]+", good
    )
    assert bad == f"{files[1]}: no JPEG or PNG image that can be decoded"


def test_rest_client(server, rest_client, files, monkeypatch, capsys):
    url = f"http://127.0.0.1:{server.rest_port}"
    monkeypatch.setattr(sys, "argv", ["x", "--url", url, "--model", server.model, *files])
    rest_client.main()
    check_printed(capsys.readouterr().out, files)
    with pytest.raises(RuntimeError, match="The server answered 404"):
        rest_client.classify([b""], url, "another")
    monkeypatch.setattr(sys, "argv", ["x", "--url", "http://127.0.0.1:9", *files])
    with pytest.raises(SystemExit, match="error: .*refused"):
        rest_client.main()


def test_grpc_client(server, grpc_client, rest_client, files, monkeypatch, capsys):
    address = f"127.0.0.1:{server.grpc_port}"
    monkeypatch.setattr(sys, "argv", ["x", "--address", address, "--model", server.model, *files])
    grpc_client.main()
    printed = capsys.readouterr().out
    check_printed(printed, files)
    contents = [pathlib.Path(path).read_bytes() for path in files]
    rows = rest_client.classify(contents, f"http://127.0.0.1:{server.rest_port}", server.model)
    columns = grpc_client.classify(contents, address, server.model)
    for number, row in enumerate(rows):
        assert row["label"] == columns["label"][number].decode()
        assert row["score"] == pytest.approx(float(columns["score"][number]), rel=1e-5)
    monkeypatch.setattr(sys, "argv", ["x", "--address", "127.0.0.1:9", *files])
    with pytest.raises(SystemExit, match="error: UNAVAILABLE"):
        grpc_client.main()


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"
)
def test_curl_as_the_readme_shows_it(server, rest_client, files):
    (command,) = (
        block
        for block in re.findall(r"```bash\n(.*?)```", text_of("README.md"), re.S)
        if "printf" in block
    )
    address = f"http://127.0.0.1:{server.rest_port}"
    command = command.replace("http://127.0.0.1:8501", address).replace(MODEL, server.model)
    done = subprocess.run(
        ["bash", "-c", command.replace("--fail-with-body", "--silent --fail")],
        cwd=pathlib.Path(files[0]).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    contents = [pathlib.Path(files[0]).read_bytes()]
    assert json.loads(done.stdout)["predictions"] == rest_client.classify(
        contents, address, server.model
    )
