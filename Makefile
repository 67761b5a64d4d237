# The commands of this project. `make demo` and `make test` create their own environment in .venv; both then work offline.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt
HEAVY ?=

.PHONY: demo test lint format bench bench-peers

demo: .venv/.demo
	$(BIN)/coagent-langchain demo

test: .venv/.dev $(if $(HEAVY),.venv/.heavy) lint
	@.ci/programs
	COAGENT_TEST_HEAVY=$(HEAVY) $(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev .venv/.heavy
	$(BIN)/python -m benchmarks

bench-peers: .venv/.dev
	$(BIN)/python -m benchmarks.peers

.venv/.base:
	@echo 'creating .venv: about half a minute the first time'
	$(PYTHON) -m venv .venv
	$(PIP) 'pip>=25.1'
	@touch $@

.venv/.demo: .venv/.base pyproject.toml .ci/constraints.txt
	$(PIP) --editable '.[all]'
	@touch $@

.venv/.dev: .venv/.demo
	$(PIP) --editable '.[all,notebooks]' --group dev
	@touch $@

.venv/.heavy: .venv/.dev
	$(PIP) --group heavy
	@touch $@
