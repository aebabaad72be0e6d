"""The files that are written beside an export: that they agree with it."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest
from deploy_folder import MODEL, as_yaml, deploy, text_of
from serving_messages import parsed
from tf_serving import NO_API, raw_model, stand_in

from kerasood.export.deploy import TEMPLATES, write_deploy


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
