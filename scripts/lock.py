"""python scripts/lock.py FILE: writes the versions pip would install now, as constraints."""

import json
import pathlib
import subprocess
import sys
import tempfile


def main():
    """Resolves kerasood[dev] from scratch, without installing, and writes NAME==VERSION lines."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--quiet", "--report", report.name, ".[dev]"], check=True)
        with open(report.name, encoding="utf-8") as file:
            installed = [entry["metadata"] for entry in json.load(file)["install"]]
    lines = [f"{entry['name']}=={entry['version']}" for entry in installed]
    lines = sorted((line for line in lines if not line.startswith("kerasood==")), key=str.lower)
    pathlib.Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
