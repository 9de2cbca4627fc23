# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= output/quickstart
DATASETS ?= datasets
# KEY VALUE overrides for the quick start, for example OPTS="SOLVER.MAX_ITER 20"
OPTS ?=
# A wheel of detectron2: with it, the tests of the detectron2 backend run as well
DETECTRON2 ?=
# Options of the soak
SOAK ?=
BIN := $(VENV)/bin

.PHONY: quickstart test test-slow soak lint format clean

$(VENV)/.installed: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools<82" wheel
	@echo "installing; torch and what it needs are several GB"
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

# Never by name: it is on no package index, and whoever took the name would run code here.
$(VENV)/.detectron2: $(VENV)/.installed-dev $(DETECTRON2)
	$(if $(DETECTRON2),$(BIN)/pip install --quiet "$(DETECTRON2)",@echo "detectron2: no wheel given; its tests are skipped")
	$(if $(DETECTRON2),touch $@)

quickstart: $(VENV)/.installed
	$(BIN)/hiera-det quickstart --datasets $(DATASETS) --output $(OUTPUT) $(OPTS)

test: $(VENV)/.installed-dev $(VENV)/.detectron2
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-dev $(VENV)/.detectron2
	$(BIN)/python -m pytest -m slow

# Hours: hostile files, kills, full disks, a fuzzer; see docs/robustness.md. For example SOAK="--parts kills"
soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults.soak $(SOAK)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
