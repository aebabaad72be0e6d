"""Asks TF Serving about image files over REST; needs only Python.

    python rest_client.py --model cifar10 photo.jpg drawing.png
"""

import argparse
import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request


def classify(files, url, model, timeout=60):
    """Classifies JPEG or PNG files.

    Args:
        files: list of bytes.
        url: str, the server's REST address.
        model: str, the name it is served under.
        timeout: float, seconds.

    Returns:
        List with a dict for each file: "label", "probability", "score", "is_ood", and "valid",
        which is false where the bytes are no image.

    Raises:
        RuntimeError: the server refused the request; its message.
        OSError: it cannot be reached.
    """
    instances = [{"b64": base64.b64encode(file).decode("ascii")} for file in files]
    body = json.dumps({"signature_name": "classify_bytes", "instances": instances})
    request = urllib.request.Request(
        f"{url}/v1/models/{model}:predict",
        data=body.encode("ascii"),
        headers={"Content-Type": "application/json"},
    )
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
    parser.add_argument("--model", default="cifar10")
    arguments = parser.parse_args()
    try:
        files = [path.read_bytes() for path in arguments.files]
        answers = classify(files, arguments.url, arguments.model)
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
