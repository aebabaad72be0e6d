"""python scripts/lock.py FILE: writes the versions pip would install now, as constraints."""

import json
import subprocess
import sys
import tempfile

from kerasood.files import write_text


def main():
    """Resolves kerasood[dev] from scratch, without installing, and writes NAME==VERSION lines."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--quiet", "--report", report.name, ".[dev]"], check=True)
        with open(report.name, encoding="utf-8") as file:
            installed = [entry["metadata"] for entry in json.load(file)["install"]]
    lines = [f"{entry['name']}=={entry['version']}" for entry in installed]
    lines = sorted((line for line in lines if not line.startswith("kerasood==")), key=str.lower)
    write_text(sys.argv[1], "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
