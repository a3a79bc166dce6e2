# `make demo` and `make test` set everything up by themselves: Python 3.11+, pip, venv and make suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
IMAGE ?=
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
export PYTHONWARNINGS ?=

.PHONY: help demo test test-all fuzz fuzz-draws check format docs clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.installed  ## segment rendered scenes in three tasks, or IMAGE=cells.png
	$(BIN)/python scripts/demo.py $(IMAGE)

test: $(VENV)/.installed-dev  ## run the core tests: under ten minutes on two cores, no network
	$(PYTEST) -m "not (slow or extra or network)"

test-all: $(VENV)/.installed-all  ## run what `make test` leaves out: slow tests, optional packages, network
	$(PYTEST) --fail-on-skip -m "slow or extra or network"

fuzz: $(VENV)/.installed-dev  ## read 20,000 mutated inputs with each reader; takes about an hour on two cores
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m fuzzing --inputs 20000 --workers 2

fuzz-draws: $(VENV)/.installed-dev  ## run the tests whose inputs are drawn, with new draws each time
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) -m "hypothesis and not slow"

check: $(VENV)/.installed-dev  ## check format, lint, types and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/codespell src tests docs recipes benchmarks scripts README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md

format: $(VENV)/.installed-dev  ## apply the format and the safe fixes of the linter
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-docs  ## build these documents, the API and all commands as a site: docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html -c docs . docs/_build/html

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('unimask needs Python 3.11 or newer; this is ' + sys.version.split()[0] + ': run make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable ".[docs]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-all: $(VENV)/.installed-dev
	$(PIP) install --constraint constraints.txt --editable ".[dev,timm,lite,heif,jxl,geo,slide,medical,video,tracks,export,openvino,ray,docs,release]" triton supervision efficientnet-lite-pytorch playwright axe-playwright-python schemathesis surface-distance
	touch $@

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/reference src/*.egg-info .pytest_cache .ruff_cache
