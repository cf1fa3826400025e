# Every target makes an environment when it is missing and reuses it afterwards: .venv, or .venv-python3.12 and the like
# with `make PYTHON=python3.12 ...`.
PYTHON ?= python3

VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS := constraints/python$(if $(filter 3.11,$(VERSION)),3.11,3.12).txt
PIP := $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS)
READY := $(VENV)/.ready-$(VERSION)
DOCS_READY := $(VENV)/.docs-ready-$(VERSION)
BENCH_READY := $(VENV)/.bench-ready-$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint format docs tutorials bench-speed bench-gpu bench-grn bench-embedding clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## train on real blood cells, write demo/
	$(BIN)/scdual demo --out demo

# One process for each processor; beyond eight, their imports cost what they save. Each begins with a part of the files
# in order, so that few repeat the models that the tests of a file share, and takes from the others when it is done.
test: $(READY) ## run the tests
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=worksteal

test-slow: $(READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(READY) ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## repair style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_READY) ## build the pages, docs/_build/html
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

tutorials: $(DOCS_READY) ## run every notebook, fail on the first error
	$(BIN)/jupyter-execute tutorials/*.ipynb

bench-speed: $(BENCH_READY) ## measure whole jobs, speed and memory, beside other methods
	$(BIN)/python benchmarks/speed.py

bench-gpu: $(READY) ## measure one CUDA device beside scVI and the CPU
	$(BIN)/python benchmarks/gpu.py

bench-grn: $(BENCH_READY) ## score networks beside other methods
	$(BIN)/python benchmarks/grn.py --jobs 2

bench-embedding: $(BENCH_READY) ## score embeddings beside other methods
	$(BIN)/python benchmarks/embedding.py

clean: ## remove what was built, keep the environments
	rm -rf build demo dist docs/_build docs/generated docs/tutorials/*.ipynb lightning_logs scvi_log
	rm -rf .coverage .mypy_cache .pytest_cache .ruff_cache

# torch goes first so that its version is settled before anything asks for another.
$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("scdual needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	test "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = $(VERSION) || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) for Python $(VERSION); the first time takes minutes."
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"  # older ones cannot read dependency groups
	$(PIP) torch
	$(PIP) --editable ".[activity,demo,annbatch]" --group dev
	touch $@

$(DOCS_READY): $(READY)
	$(PIP) --group docs
	touch $@

$(BENCH_READY): $(READY)
	$(PIP) --group bench
	touch $@
