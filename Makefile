# `make` alone prints the targets. Everything is installed into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.synced
PINS := requirements/base.txt requirements/dev.txt
PEERS := .venv-bench/.synced
BENCHMARKS := startup cron calendars preview spread throughput.burst throughput.steady throughput.idle throughput.claims adaptive adaptive_real

# uv trusts what the system trusts, and takes the index that pip was given: behind a mirror one setting serves both.
export UV_SYSTEM_CERTS ?= 1
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.PHONY: help setup up test check lint types imports format chaos bench lock clean

help:  ## Print the targets
	@awk -F':.*## ' '/^[a-z_-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from the PATH if it is there, else pip puts the pinned one into .venv. Both read the pins with their hashes.
$(STAMP): $(PINS) requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed; $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	@if [ ! -x $(BIN)/uv ]; then \
	  if command -v uv >/dev/null; then uv venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; \
	  else $(PYTHON) -m venv --clear .venv || { echo 'Neither uv nor the venv module is here (on Debian: apt-get install python3-venv).' >&2; exit 1; }; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt; fi; fi
	@UV="$$(command -v $(BIN)/uv || command -v uv)"; \
	  VIRTUAL_ENV=.venv "$$UV" pip sync --quiet --require-hashes requirements/dev.txt; \
	  VIRTUAL_ENV=.venv "$$UV" pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What is measured beside the service stays out of .venv.
$(PEERS): $(STAMP) requirements/bench.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench
	@VIRTUAL_ENV=.venv-bench $(BIN)/uv pip sync --quiet --require-hashes requirements/bench.txt
	@touch $@

setup: $(STAMP)  ## Install the pinned packages into .venv

up: setup  ## Set everything up and run the service with a small demonstration data set (Ctrl-C stops it)
	@exec $(BIN)/minsy up --demo

test: setup check  ## Set everything up, run every check and every test
	$(BIN)/pytest -n 2 -m "not chaos"

check: lint types imports  ## Ruff, mypy and the import contracts

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: setup  ## Kill processes of a running service and see nothing lost (minutes)
	$(BIN)/pytest -m chaos

bench: setup $(PEERS)  ## Measure against plain Celery and other schedulers; the figures of benchmarks/RESULTS.md
	failed=0; for benchmark in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$benchmark || failed=1; done; exit $$failed

lock: setup  ## Pin the dependencies anew, with hashes
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements/base.txt pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements/base.txt requirements/bench.in -o requirements/bench.txt

clean:  ## Stop the embedded servers, delete their data, and remove what was made here (var/, .venv, .venv-bench)
	@if [ -x $(BIN)/minsy ]; then $(BIN)/minsy services delete-data --yes; fi
	rm -rf .venv .venv-bench var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
