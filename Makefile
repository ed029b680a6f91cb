# marram's own commands. `make help` lists them; CI calls the same targets that a person calls.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHARED ?= ../shared/data
JOBS ?= 2

.PHONY: help setup demo test check fix soak bench bench-long predictors docs clean
.DEFAULT_GOAL := help

help: ## List these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(READY): pyproject.toml constraints.txt scripts/system-packages
	scripts/system-packages build mcu
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

setup: $(READY) ## Virtual environment with everything that build and tests need

demo: $(READY) ## The main job on real input: the watch recordings of ten people, float and int8
	@rm -rf demo
	$(BIN)/marram init watch demo
	$(BIN)/marram build demo

test: $(READY) ## All tests but the long campaigns
	scripts/system-packages browser lint-c
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m 'not soak' --shared-data=$(SHARED)

check: $(READY) ## Lint, types, architecture, C warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture

fix: $(READY) ## Let ruff repair and format what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(READY) ## Long campaigns: fuzzing, thousands of random graphs, killed builds
	scripts/system-packages browser lint-c big-endian arm64
	$(BIN)/python -m pytest -m soak --shared-data=$(SHARED)

bench: $(READY) ## Every figure that the README claims, peers beside ours (hours at first: it trains; resumes in .bench/)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python benchmarks/tflm_parity.py --data $(SHARED) --samples 2000
	$(BIN)/python benchmarks/reference_speed.py $(SHARED)/mlperf_tiny/pretrainedResnet_quant.tflite
	$(BIN)/python benchmarks/train_cifar10.py --data $(SHARED)/cifar10.zip --out .bench/cifar10
	$(BIN)/python benchmarks/int8_accuracy.py --data $(SHARED) --out .bench
	$(BIN)/python benchmarks/microcontrollers.py --data $(SHARED) --out .bench/mcu
	$(BIN)/python benchmarks/less_memory.py --data $(SHARED)
	$(BIN)/python benchmarks/parity_campaign.py --data $(SHARED)
	$(BIN)/python benchmarks/host_library.py $(addprefix $(SHARED)/mlperf_tiny/,ad01_int8.tflite kws_ref_model.tflite vww_96_int8.tflite pretrainedResnet_quant.tflite)

bench-long: $(READY) ## Figures of the search and of each compression beside peers: a day at first, resumes in .bench/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python benchmarks/sparsity.py --data $(SHARED)
	for core in cortex-m4 cortex-m0 cortex-m7 cortex-m55; do $(BIN)/python benchmarks/predictor.py --core $$core || exit 1; done
	$(BIN)/python benchmarks/qat.py --data $(SHARED) --bits 8,4
	$(BIN)/python benchmarks/mixed_precision.py --data $(SHARED) --trained
	$(BIN)/python benchmarks/pruning.py --data $(SHARED)
	$(BIN)/python benchmarks/distillation.py --data $(SHARED)
	$(BIN)/python benchmarks/supernet_ranking.py --data $(SHARED) --out .bench/ranking
	$(BIN)/python benchmarks/search_tasks.py --data $(SHARED) --out .bench/search
	$(BIN)/python benchmarks/search_contracts.py --data $(SHARED) --out .bench/contracts

predictors: $(READY) ## What kernels' parts cost on each core, counted on the emulator and fitted anew (an hour; resumes in .bench/)
	$(BIN)/python -m marram.measure.prediction

docs: $(READY) ## The documentation as a site in site/
	$(BIN)/mkdocs build --strict

clean: ## Remove what these commands made
	rm -rf $(VENV) site demo build dist .pytest_cache .mypy_cache .ruff_cache
