# One entry for a person. Everything lives in ./.venv; nothing outside this folder is touched.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv
ARGS ?=

.PHONY: help run example test check crash siege image loss bench docs format test-pythons clean

help: ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## serve the examples on SQLite, with a console to run them (ARGS="--port 0" for another port)
	@mkdir -p out
	cd out
	exec ../$(BIN)/perdure dev --config ../examples/perdure.json $(ARGS)

example: $(VENV)/.run ## the licence review in the terminal: kill it, start it again, answer its question
	@$(BIN)/python examples/licence_review/main.py $(ARGS)

test: $(VENV)/.dev ## all tests, then the fast ones on every other Python found
	@$(BIN)/pytest -n 2 --dist loadfile $(ARGS)
	$(MAKE) test-pythons

check: $(VENV)/.dev ## format, lint, types, import rules, fast tests
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit -q

crash: $(VENV)/.dev ## 10,000 kills (ARGS="--kills 500 chain" for fewer, "--store postgresql" for another store), and power failures at every moment of every shape
	@$(BIN)/python -m tests.fault.campaign $(ARGS)
	$(BIN)/python -m tests.fault.power

siege: $(VENV)/.dev ## the server's tests against four processes, of which one is killed every few seconds (needs haproxy)
	@PERDURE_SIEGE=1 $(BIN)/pytest tests/server -p tests.server.besieged -q -W ignore::pytest.PytestUnraisableExceptionWarning $(ARGS)

image: $(VENV)/.dev ## build images from nothing for both platforms; kill their containers, cut their power, lose their machines; bring all up by Compose (needs podman; ARGS="--kills 100" for more)
	@$(BIN)/python -m tests.build.campaign $(ARGS)

loss: $(VENV)/.dev ## lose a machine again and again, and measure what its copy in an object store lacks (ARGS="--losses 20" for more)
	@$(BIN)/python -m tests.up.campaign $(ARGS)

bench: $(VENV)/.dev ## the cost table, as ratios against the installed langgraph
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev ## build the documentation site into ./site (offline, strict, links checked)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	echo "site/index.html"

format: $(VENV)/.dev ## format the code and fix what ruff can
	@$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-pythons: $(VENV)/.dev ## unit tests on every other Python found, contract tests on the newest
	@PYTHONS="$(PYTHONS)" VENV=$(VENV) bash tests/pythons.sh

clean: ## remove everything that make made
	@rm -rf $(VENV) site dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# A stamp is redone when pyproject.toml changes, so a second `make` costs nothing.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("perdure needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.run: pyproject.toml | $(BIN)/uv
	@$(UV) pip install --quiet --editable '.[cli,server]' --group examples
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/uv
	@$(UV) pip install --quiet --editable '.[build,bundle,cli,draw,encryption,k8s,langchain,otel,postgres,redis,replica,report,s3,s3-versions,server,sqlite-vec]' --group dev
	touch $@ $(VENV)/.run
