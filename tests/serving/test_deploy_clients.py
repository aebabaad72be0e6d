"""The clients and the proxy that are written beside an export, against a server."""

import ast
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from deploy_folder import MODEL, text_of
from encoded_images import encode, noise
from free_port import free_port
from tf_serving import raw_model, stand_in

import kerasood


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
