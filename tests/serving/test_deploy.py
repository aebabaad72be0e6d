"""The files under export/deploy: that they agree with what `python -m export` writes, and run."""

import ast
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest
from encoded_images import encode, huge_png, noise, picture
from serving_messages import parsed
from tf_serving import NO_API, raw_model

from kerasood.config import ExportConfig

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "export" / "deploy"
MODEL = "cifar10"


def text_of(name):
    return (DEPLOY / name).read_text(encoding="utf-8")


def as_yaml(name):
    return pytest.importorskip("yaml").safe_load(text_of(name))


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
    """An image, files that are none or cannot be used, and the image again."""
    contents = {
        "photo.jpg": encode(noise(20, 30), "JPEG"),
        "notes.png": b"no image",
        "empty.jpg": b"",
        "truncated.jpg": encode(picture(20, 20), "JPEG")[:300],
        "huge.png": huge_png(6000, 5000),
        "again.jpg": encode(noise(20, 30), "JPEG"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in contents]


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


def test_compose_starts_the_server_with_flags_that_it_has():
    (service,) = as_yaml("compose.yaml")["services"].values()
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in service["command"])
    assert flags == {
        "model_config_file": "/deploy/models.config",
        "monitoring_config_file": "/deploy/monitoring.config",
        "enable_batching": "",
        "batching_parameters_file": "/deploy/batching.config",
    }
    # The image's entry point itself says the two ports.
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert service["volumes"] == ["../../exported:/models:ro", ".:/deploy:ro"]


def test_kserve_has_the_fields_of_an_inference_service():
    """Checked against the models of the package kserve 0.21."""
    service = as_yaml("kserve.yaml")
    assert service.pop("apiVersion") == "serving.kserve.io/v1beta1"
    assert service.pop("kind") == "InferenceService"
    assert service.pop("metadata") == {"name": MODEL}
    predictor = service.pop("spec").pop("predictor")
    model = predictor.pop("model")
    assert service == {} and predictor == {"minReplicas": 1}
    assert model.pop("modelFormat") == {"name": "tensorflow"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", model.pop("runtimeVersion"))
    # KServe's runtime serves the folder above the version folders.
    assert model.pop("storageUri") == f"pvc://{ExportConfig().out}/{MODEL}"
    resources = model.pop("resources")
    assert model == {} and resources.keys() == {"requests", "limits"}
    for amounts in resources.values():
        assert re.fullmatch(r"\d+", amounts["cpu"]) and re.fullmatch(r"\d+Gi", amounts["memory"])


def test_models_config_is_what_the_server_parses():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(text_of("models.config"), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == (MODEL, "tensorflow")


def test_batching_parameters_are_what_the_server_parses():
    fields = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    parameters = parsed(
        text_of("batching.config"),
        "BatchingParameters",
        BatchingParameters=dict.fromkeys(fields, ".google.protobuf.Int64Value"),
    )
    values = {name: getattr(parameters, name).value for name in fields}
    assert min(values.values()) > 0
    assert values["batch_timeout_micros"] < 100_000, "no one should wait for a tenth of a second"


def test_monitoring_is_what_the_server_parses():
    config = parsed(
        text_of("monitoring.config"),
        "MonitoringConfig",
        PrometheusConfig={"enable": "bool", "path": "string"},
        MonitoringConfig={"prometheus_config": ".PrometheusConfig"},
    )
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


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
    good, *bad, again = printed.splitlines()
    assert re.fullmatch(
        re.escape(files[0]) + r": [abcd] \(\d+\.\d%\), (OOD|in-distribution), score -?[\d.]+", good
    )
    assert bad == [f"{file}: no JPEG or PNG image that can be decoded" for file in files[1:-1]]
    assert again == good.replace("photo.jpg", "again.jpg")


def check_no_such_file(main, monkeypatch, argument, address):
    monkeypatch.setattr(sys, "argv", ["x", argument, address, "no_such.jpg"])
    with pytest.raises(SystemExit, match="error: .*No such file.*no_such.jpg"):
        main()


def test_the_readme_asks_for_the_health_of_a_model(server):
    (address,) = re.findall(r"^curl --fail (http://\S+)$", text_of("README.md"), re.M)
    address = address.replace("8501", str(server.rest_port)).replace(MODEL, server.model)
    assert address == server.url
    with urllib.request.urlopen(address) as response:
        (version,) = json.load(response)["model_version_status"]
    assert (str(version["version"]), version["state"]) == ("1", "AVAILABLE")


def test_rest_client(server, rest_client, files, monkeypatch, capsys):
    url = f"http://127.0.0.1:{server.rest_port}"
    monkeypatch.setattr(sys, "argv", ["x", "--url", url, "--model", server.model, *files])
    rest_client.main()
    check_printed(capsys.readouterr().out, files)
    check_no_such_file(rest_client.main, monkeypatch, "--url", url)
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
    check_no_such_file(grpc_client.main, monkeypatch, "--address", address)
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
