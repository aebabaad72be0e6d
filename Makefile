PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS := $(wildcard constraints/python$(PYTHON_VERSION).txt)
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet \
	$(addprefix --constraint ,$(CONSTRAINTS))

.PHONY: demo docs test slow-test campaign lint lock benchmark clean

demo: $(VENV)/.installed  ## train, evaluate, calibrate, export and score on the embedded digits
	rm -rf demo
	$(BIN)/python -m kerasood.commands.demo --out=demo

test: $(VENV)/.installed-dev  ## lint and the default suite
	$(BIN)/ruff check .
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

slow-test: $(VENV)/.installed-dev  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

campaign: $(VENV)/.installed-dev  ## kills, damaged files and simulated promises, with counts
	$(BIN)/python -m pytest -m slow -s tests/campaign

benchmark: $(VENV)/.installed-dev  ## speed against limits, and beside pytorch-ood where it is installed
	$(BIN)/python -m benchmarks.score
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.detectors

docs: $(VENV)/bin/python  ## the documentation as a site, in site/
	$(PIP_INSTALL) mkdocs-material 'mkdocstrings[python]'
	$(BIN)/python -m mkdocs build --quiet

lock: $(VENV)/bin/python  ## renew the constraints for this Python version
	$(BIN)/python scripts/lock.py constraints/python$(PYTHON_VERSION).txt

clean:
	rm -rf $(VENV) demo site build dist *.egg-info

$(VENV)/bin/python:
	@echo "making $(VENV) with Python $(PYTHON_VERSION)"
	$(PYTHON) -m venv --upgrade-deps $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	@echo "installing kerasood and TensorFlow (about 2 GB, a few minutes)"
	$(PIP_INSTALL) --editable '.[tflite]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@
