# `make demo` and `make test` set everything up by themselves: Python 3.11+, pip, venv and make suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
IMAGE ?=
export PYTHONWARNINGS ?=

.PHONY: demo test fuzz check format bench clean

demo: $(VENV)/.installed  ## segment a rendered field of nuclei, or IMAGE=your.png
	$(BIN)/python scripts/demo.py $(IMAGE)

test: $(VENV)/.installed-dev  ## the tests, under ten minutes on two cores, no network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not network"

fuzz: $(VENV)/.installed-dev  ## the tests whose inputs are drawn, with new draws at every run
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 -m "hypothesis and not slow"

check: $(VENV)/.installed-dev  ## format, lint, types, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/codespell src tests docs recipes benchmarks scripts README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md

format: $(VENV)/.installed-dev  ## apply format and the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev  ## the slow tests, among them full presets against transformers
	$(BIN)/python -m pytest -m slow

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('unimask needs Python 3.11 or newer; this is ' + sys.version.split()[0] + ': run make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info .pytest_cache .ruff_cache
