# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= output/quickstart
DATASETS ?= datasets
# KEY VALUE overrides for the quick start, for example OPTS="SOLVER.MAX_ITER 20"
OPTS ?=
BIN := $(VENV)/bin

.PHONY: quickstart test lint format clean

$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools<82" wheel
	@echo "installing; torch and what it needs are several GB"
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[dev]"
	@# detectron2 is on no package index; where pip has been given a wheel of it, its tests run as well.
	@$(BIN)/pip install --quiet detectron2 2>/dev/null || echo "detectron2: pip finds none, going on without it"
	touch $@

quickstart: $(VENV)/.installed
	$(BIN)/python tools/make_shapes.py --output $(DATASETS)/shapes
	DETECTRON2_DATASETS=$(DATASETS) $(BIN)/python tools/train_net.py --backend torchvision --config configs/quickstart.yaml OUTPUT_DIR $(OUTPUT) $(OPTS)
	$(BIN)/python tools/predict.py --config configs/quickstart.yaml --weights $(OUTPUT)/model_final.pth \
		--input $(DATASETS)/shapes/val --output $(OUTPUT)/predictions

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
