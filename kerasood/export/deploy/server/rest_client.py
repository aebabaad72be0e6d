"""Asks TF Serving about image files over REST; needs only Python.

    python rest_client.py photo.jpg drawing.png
    python rest_client.py --log answers.jsonl photos/*.jpg
"""

import argparse
import base64
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

# Rows and bytes of one request; in base64 the bytes become a third more.
MAX_FILES, MAX_BYTES = 32, 16_000_000


def classify(files, url, model, timeout=60, label=None, user=None):
    """Classifies JPEG or PNG files, some at a time.

    Args:
        files: list of bytes.
        url: str, the server's REST address.
        model: str, the name it is served under.
        timeout: float, seconds of one request.
        label: str, version label such as "stable"; by default the newest version answers.
        user: str, "name:password" for the proxy, or None.

    Returns:
        List with a dict for each file: "label", "probability", "score", "is_ood", and "valid",
        which is false where the bytes are no image.

    Raises:
        RuntimeError: the server refused a request; its message.
        OSError: it cannot be reached.
    """
    place = f"{url}/v1/models/{model}" + (f"/labels/{label}" if label else "")
    headers = {"Content-Type": "application/json"}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode("ascii")
    answers = []
    for part in chunks(files):
        instances = [{"b64": base64.b64encode(file).decode("ascii")} for file in part]
        body = json.dumps({"signature_name": "classify_bytes", "instances": instances})
        request = urllib.request.Request(f"{place}:predict", body.encode("ascii"), headers)
        answers += _answered(request, timeout)
    return answers


def chunks(files, max_files=MAX_FILES, max_bytes=MAX_BYTES):
    """Yields lists of files that fit into one request; a larger file goes alone."""
    part, size = [], 0
    for file in files:
        if part and (len(part) == max_files or size + len(file) > max_bytes):
            yield part
            part, size = [], 0
        part.append(file)
        size += len(file)
    if part:
        yield part


def append_log(path, model, names, answers):
    """Appends a JSON line per file: time (seconds since 1970), model, file and the answer."""
    with open(path, "a", encoding="utf-8") as log:
        for name, answer in zip(names, answers, strict=True):
            entry = {"time": time.time(), "model": model, "file": str(name), **answer}
            log.write(json.dumps(entry, ensure_ascii=True) + "\n")


def _answered(request, timeout):
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        with error:
            message = error.read().decode("utf-8", "replace")
        raise RuntimeError(f"The server answered {error.code}: {message}") from error


def main():
    parser = argparse.ArgumentParser(description="Classifies image files over REST.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--model", default="{MODEL}")
    parser.add_argument("--label", help="version label, such as stable or canary")
    parser.add_argument("--user", help="name:password for the proxy")
    parser.add_argument("--log", type=pathlib.Path, help="file that receives a line per answer")
    arguments = parser.parse_args()
    try:
        files = [path.read_bytes() for path in arguments.files]
        answers = classify(
            files, arguments.url, arguments.model, label=arguments.label, user=arguments.user
        )
        if arguments.log:
            append_log(arguments.log, arguments.model, arguments.files, answers)
    except (OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    for path, answer in zip(arguments.files, answers, strict=True):
        if not answer["valid"]:
            print(f"{path}: no JPEG or PNG image that can be decoded")
            continue
        verdict = "OOD" if answer["is_ood"] else "in-distribution"
        print(
            f"{path}: {answer['label']} ({answer['probability']:.1%}), {verdict}, "
            f"score {answer['score']:.4g}"
        )


if __name__ == "__main__":
    main()
