"""The files that are written beside an export: that they agree with it, and run."""

import ast
import concurrent.futures
import functools
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from encoded_images import encode, huge_png, noise, picture
from serving_messages import parsed
from tf_serving import NO_API, BatchedModel, Batching, free_port, raw_model, stand_in

import kerasood
from kerasood.export.deploy import TEMPLATES, write_deploy

MODEL = "cifar10"
BATCHING_FIELDS = {
    "max_batch_size": ".google.protobuf.Int64Value",
    "batch_timeout_micros": ".google.protobuf.Int64Value",
    "max_enqueued_batches": ".google.protobuf.Int64Value",
    "num_batch_threads": ".google.protobuf.Int64Value",
    "enable_large_batch_splitting": ".google.protobuf.BoolValue",
    "max_execution_batch_size": ".google.protobuf.Int64Value",
}


@functools.cache
def deploy():
    """The folder as it is written for a model of that name."""
    kept = tempfile.TemporaryDirectory()
    folder = write_deploy(kept.name, "deploy", MODEL, 3)
    # It lives as long as the object that the cache holds.
    deploy.kept = kept
    return folder


def text_of(name):
    return (deploy() / name).read_text(encoding="utf-8")


def as_yaml(name):
    return pytest.importorskip("yaml").safe_load(text_of(name))


def client(name):
    """A client as a module; one imports the other, as scripts of one folder do."""
    spec = importlib.util.spec_from_file_location(name, deploy() / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(deploy()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(deploy()))
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
    names = {path.name for path in deploy().iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"^\| `([^`]+)` \|", text_of("README.md"), re.M)) == names


def test_every_file_says_the_name_of_the_model(tmp_path):
    folder = write_deploy(tmp_path, "deploy", "photos.v2", 7)
    written = {
        path.relative_to(folder): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    shipped = [path for path in TEMPLATES["deploy"].rglob("*") if path.is_file()]
    names = {path.relative_to(TEMPLATES["deploy"]) for path in shipped}
    assert {name for name in names if "__pycache__" not in name.parts} == written.keys()
    assert not [path for path, text in written.items() if "{MODEL}" in text or "{VERSION}" in text]
    naming = {str(path) for path, text in written.items() if "photos.v2" in text}
    assert naming >= {
        "README.md", "compose.yaml", "models.config", "kserve.yaml",
        "nginx.conf", "alerts.yml", "rest_client.py", "grpc_client.py",
    }
    assert 'version_labels { key: "stable" value: 7 }' in written[pathlib.Path("models.config")]


def test_a_folder_that_may_have_been_edited_stays(tmp_path):
    (write_deploy(tmp_path, "deploy", MODEL, 1) / "models.config").write_text("mine")
    assert (write_deploy(tmp_path, "deploy", MODEL, 2) / "models.config").read_text() == "mine"


def test_folders_and_names_are_those_of_the_export():
    service = as_yaml("compose.yaml")["services"]["serving"]
    assert service["volumes"] == [f"..:/models/{MODEL}:ro", ".:/deploy:ro"]
    assert f'base_path: "/models/{MODEL}"' in text_of("models.config")
    for flag, path in re.findall(r"--(\w+)=/deploy/(\S+)", text_of("compose.yaml")):
        assert (deploy() / path).is_file()
        assert flag in ("model_config_file", "monitoring_config_file")


def test_ports_are_those_that_the_clients_ask():
    serving = as_yaml("compose.yaml")["services"]["serving"]
    assert serving["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert '"127.0.0.1:8500"' in text_of("grpc_client.py")
    assert '"http://127.0.0.1:8501"' in text_of("rest_client.py")
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", text_of("README.md"))) == {"8501"}
    assert "server serving:8501;" in text_of("nginx.conf")
    (job,) = as_yaml("prometheus.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]
    assert f'path: "{job["metrics_path"]}"' in text_of("monitoring.config")


def test_versions_of_the_server_agree():
    (image,) = re.findall(r"image: tensorflow/serving:(\S+)", text_of("compose.yaml"))
    assert f'runtimeVersion: "{image}"' in text_of("kserve.yaml")


def test_compose_starts_the_server_with_flags_that_it_has():
    """The names are those of main.cc; the image's entry point itself says the two ports."""
    service = as_yaml("compose.yaml")["services"]["serving"]
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in service["command"])
    assert flags == {
        "model_config_file": "/deploy/models.config",
        "model_config_file_poll_wait_seconds": "30",
        "file_system_poll_wait_seconds": "30",
        "allow_version_labels_for_unavailable_models": "true",
        "monitoring_config_file": "/deploy/monitoring.config",
        "tensorflow_intra_op_parallelism": "${CORES:-2}",
        "tensorflow_inter_op_parallelism": "${CORES:-2}",
        "rest_api_num_threads": "16",
        "grpc_max_threads": "16",
        "rest_api_timeout_in_ms": "30000",
    }
    assert service["cpus"] == "${CORES:-2}"


def test_what_faces_the_network_may_do_little():
    services = as_yaml("compose.yaml")["services"]
    for name in ("serving", "proxy"):
        service = services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert int(service["user"].partition(":")[0]) > 0
        assert service["security_opt"] == ["no-new-privileges:true"] and service["mem_limit"]
        assert all(volume.endswith(":ro") for volume in service["volumes"])
    published = [port for name in services for port in services[name].get("ports", ())]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["443:8443"]
    context = as_yaml("kserve.yaml")["spec"]["predictor"]["model"]["securityContext"]
    assert context == {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def health_commands():
    serving = as_yaml("compose.yaml")["services"]["serving"]
    kserve = as_yaml("kserve.yaml")["spec"]["predictor"]["model"]
    return {
        "8501": serving["healthcheck"]["test"][1:],
        "8080": kserve["readinessProbe"]["exec"]["command"],
    }


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("state", ["AVAILABLE", "LOADING", "END"])
def test_health_is_the_state_of_the_model_and_not_an_answer(served_export, state):
    with stand_in(served_export.folder, state=state) as server:
        for port, command in health_commands().items():
            command = [
                part.replace(f"/{port}", f"/{server.rest_port}").replace(MODEL, server.model)
                for part in command
            ]
            done = subprocess.run(command, capture_output=True, timeout=20)
            assert (done.returncode == 0) == (state == "AVAILABLE"), done.stderr


def test_kserve_has_the_fields_of_an_inference_service():
    """Checked against the models of the package kserve 0.21 and of Kubernetes' Container."""
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
    assert model.pop("storageUri") == f"pvc://exported/{MODEL}"
    resources = model.pop("resources")
    for amounts in resources.values():
        assert re.fullmatch(r"\d+", amounts["cpu"]) and re.fullmatch(r"\d+Gi", amounts["memory"])
    cores = {argument.partition("=")[2] for argument in model.pop("args")}
    assert cores == {resources["limits"]["cpu"]}
    probe = model.pop("readinessProbe")
    assert probe.pop("exec") and all(seconds > 0 for seconds in probe.values())
    assert model.keys() == {"securityContext"}


def test_models_config_is_what_the_server_parses():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(text_of("models.config"), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == (MODEL, "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2
    assert dict(model.version_labels) == {"stable": 3}


def batching():
    parameters = parsed(
        text_of("batching.config"), "BatchingParameters", BatchingParameters=BATCHING_FIELDS
    )
    return {name: getattr(parameters, name).value for name in BATCHING_FIELDS}


def test_batching_parameters_are_what_the_server_takes():
    values = batching()
    assert min(values.values()) > 0
    assert values["batch_timeout_micros"] < 100_000, "no one should wait for a tenth of a second"
    # The scheduler's own conditions; the queue must hold the parts of a request that is split.
    assert values["max_execution_batch_size"] <= values["max_batch_size"]
    parts = values["max_batch_size"] / values["max_execution_batch_size"]
    assert values["max_enqueued_batches"] >= parts


def as_files(images):
    return np.array([encode(image) for image in images], dtype=object)


@pytest.fixture(scope="module")
def batched(served_export):
    """A model that joins requests as batching.config says, and waits for them a little longer."""
    values = batching()
    del values["num_batch_threads"], values["max_enqueued_batches"]
    values["batch_timeout_micros"] = 200_000
    with raw_model(served_export.folder) as model:
        yield BatchedModel(model, Batching(**values))


def together(model, requests, signature):
    """Answers of requests that arrive at the same time, or their errors."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as threads:
        futures = [threads.submit(model.run, request, signature) for request in requests]
        return [future.exception() or future.result() for future in futures]


def test_batching_splits_large_requests_and_refuses_larger_ones(batched):
    limit, at_once = batching()["max_batch_size"], batching()["max_execution_batch_size"]
    images = np.resize(noise(8, 8), (at_once + 1, 8, 8, 3))
    batched.sizes.clear()
    assert len(batched.run({"images": images}, "classify")["score"]) == at_once + 1
    assert batched.sizes == [at_once, 1]
    with pytest.raises(ValueError, match=f"larger than maximum input batch size {limit}"):
        batched.run({"images": np.zeros((limit + 1, 8, 8, 3), np.uint8)}, "classify")


def test_batching_lets_wrong_pixels_fail_others_but_no_file(batched):
    """Why compose.yaml serves without it."""
    good, bad = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 9, 9, 3), np.uint8)
    answers = together(batched, [{"images": good}, {"images": bad}], "classify")
    assert all("different shapes" in str(answer) for answer in answers)
    files = [as_files(good), np.array([b"no image"], dtype=object), as_files(bad)]
    answers = together(batched, [{"image_bytes": file} for file in files], "classify_bytes")
    assert [answer["valid"].tolist() for answer in answers] == [[True], [False], [True]]
    assert not any("batching" in argument
                   for argument in as_yaml("compose.yaml")["services"]["serving"]["command"])


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_the_proxy_asks_for_a_password_and_limits_size(tmp_path, served_export, rest_client):
    with stand_in(served_export.folder) as server:
        port = free_port()
        text = text_of("nginx.conf").replace("/tmp/", f"{tmp_path}/")
        text = text.replace("/etc/nginx/secrets", str(tmp_path))
        text = text.replace("serving:8501", f"127.0.0.1:{server.rest_port}")
        text = text.replace("listen 8443 ssl", f"listen 127.0.0.1:{port}")
        text = re.sub(r"(?m)^ *ssl_.*\n", "", text).replace(MODEL, server.model)
        text = text.replace("/dev/stdout", f"{tmp_path}/log")
        (tmp_path / "nginx.conf").write_text(f"daemon off;\nmaster_process off;\n{text}")
        digest = "{PLAIN}secret"
        (tmp_path / "passwords").write_text(f"camera:{digest}\n")
        command = ["nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                check_proxy(f"http://127.0.0.1:{port}", server, rest_client)
            finally:
                process.terminate()


def check_proxy(url, server, rest_client):
    file = encode(noise(20, 30), "JPEG")
    wait_for(url)
    (answer,) = rest_client.classify([file], url, server.model, user="camera:secret")
    assert answer["valid"]
    with pytest.raises(RuntimeError, match="answered 401"):
        rest_client.classify([file], url, server.model)
    with pytest.raises(RuntimeError, match="answered 413"):
        rest_client.classify([bytes(33_000_000)], url, server.model, user="camera:secret")
    with pytest.raises(RuntimeError, match="answered 404"):
        rest_client.classify([file], url, "another", user="camera:secret")
    with pytest.raises(RuntimeError, match="answered 429"):
        for _ in range(60):
            rest_client.classify([file], url, server.model, user="camera:secret")


def wait_for(url, seconds=10):
    for _ in range(10 * seconds):
        try:
            urllib.request.urlopen(url)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def test_alerts_and_dashboard_ask_for_metrics_that_the_server_has():
    """The names are those of servables/tensorflow/util.cc, as its exporter writes them."""
    known = {":tensorflow:serving:request_count", ":tensorflow:serving:request_latency_bucket"}
    rules = [rule["expr"] for group in as_yaml("alerts.yml")["groups"] for rule in group["rules"]]
    panels = json.loads(text_of("grafana/dashboards/serving.json"))["panels"]
    asked = rules + [target["expr"] for panel in panels for target in panel["targets"]]
    assert set(re.findall(r":tensorflow:\S+?(?=\{)", " ".join(asked))) == known
    models = set(re.findall(r'model_name="([^"]+)"', " ".join(asked)))
    assert models == {MODEL}
    (source,) = as_yaml("grafana/provisioning/datasource.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_prometheus_takes_its_files():
    done = subprocess.run(
        ["promtool", "check", "config", deploy() / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 rules found" in done.stdout


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


def test_clients_send_many_files_in_several_requests(rest_client):
    assert list(rest_client.chunks([])) == []
    sizes = [len(part) for part in rest_client.chunks([b"x"] * 70)]
    assert sizes == [32, 32, 6]
    files = [bytes(size) for size in (3, 3, 9, 1)]
    parts = [[len(file) for file in part] for part in rest_client.chunks(files, max_bytes=6)]
    assert parts == [[3, 3], [9], [1]]


def test_many_files_over_rest_by_label(served_export, rest_client):
    with stand_in(served_export.folder) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        files = [encode(noise(8, 8, seed=seed)) for seed in range(40)]
        rows = rest_client.classify(files, url, server.model, label="stable")
        assert server.asked == [f"/v1/models/{server.model}/labels/stable:predict"] * 2
        with raw_model(served_export.folder) as model:
            expected = model.run({"image_bytes": np.array(files, dtype=object)}, "classify_bytes")
        np.testing.assert_allclose([row["score"] for row in rows], expected["score"], rtol=1e-5)
        with pytest.raises(RuntimeError, match="answered 404"):
            rest_client.classify(files[:1], url, server.model, label="canary")


def test_logged_answers_are_what_the_readme_reads(
    served_export, rest_client, files, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with stand_in(served_export.folder) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        for _ in range(2):
            arguments = ["--url", url, "--model", server.model, "--log", "answers.jsonl"]
            monkeypatch.setattr(sys, "argv", ["x", *arguments, *files])
            rest_client.main()
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * len(files)
    assert lines[0].keys() >= {"time", "model", "file", "score", "is_ood", "valid", "label"}
    capsys.readouterr()
    (code,) = re.findall(r"```python\n(.*?)```", text_of("README.md"), re.S)
    threshold = kerasood.calibrate(np.linspace(-20, -10, 400).astype("float32"))
    monkeypatch.setattr("kerasood.export.read_calibration", lambda folder: threshold)
    exec(compile(code, "README.md", "exec"), {})
    assert "images flagged" in capsys.readouterr().out


def test_grpc_client(server, grpc_client, rest_client, files, monkeypatch, capsys):
    address = f"127.0.0.1:{server.grpc_port}"
    monkeypatch.setattr(sys, "argv", ["x", "--address", address, "--model", server.model, *files])
    grpc_client.main()
    printed = capsys.readouterr().out
    check_printed(printed, files)
    check_no_such_file(grpc_client.main, monkeypatch, "--address", address)
    contents = [pathlib.Path(path).read_bytes() for path in files]
    over_rest = rest_client.classify(contents, f"http://127.0.0.1:{server.rest_port}", server.model)
    over_grpc = grpc_client.classify(contents, address, server.model, label="stable")
    for rest, grpc in zip(over_rest, over_grpc, strict=True):
        assert rest.pop("score") == pytest.approx(grpc.pop("score"), rel=1e-5)
        assert rest.pop("probability") == pytest.approx(grpc.pop("probability"), rel=1e-5)
        assert rest == grpc
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
        if "curl --fail-with-body" in block
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
