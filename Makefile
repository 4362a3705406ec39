# Every command a person or a machine needs. `make` alone lists them.
# Works with GNU make 3.81 (macOS) and newer.

.DEFAULT_GOAL := help
.PHONY: help setup run test check format openapi bench chaos lock clean

# The first Python that is new enough *and* starts: version managers leave shims that exist and fail.
# A plain python3 comes first, because that is the one its owner chose. Say PYTHON=... to choose another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$p"; break; fi; done)
endif

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
RUNTIME := $(VENV)/.runtime-installed
EVERYTHING := $(VENV)/.everything-installed

# Extra words for pytest: make test PYTEST_ARGS="tests/domain -k resolved"
PYTEST_ARGS ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(RUNTIME) ## Start the bridge; without any credentials, in the sandbox
	@exec $(BIN)/truthvouch serve

setup: $(EVERYTHING) ## Install everything into .venv, the truthvouch command included
	@echo "Ready: $(BIN)/truthvouch --help"

test: $(EVERYTHING) ## Run every test (those with PostgreSQL or Prometheus only where there is one)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(EVERYTHING) ## Format, lint, types, import law
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(EVERYTHING) ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(EVERYTHING) ## Write the API's document anew from its endpoints
	$(BIN)/python -m tests.web.openapi_document

bench: $(EVERYTHING) ## Measure (takes minutes)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.large_store

# make chaos SECONDS=600 STORE=both VIA=both SEED=7
SECONDS ?= 60
STORE ?= sqlite
VIA ?= rest
chaos: $(EVERYTHING) ## Kill and break everything in traffic, and judge (SECONDS=, STORE=sqlite|postgres|both, VIA=rest|events|both, SEED=)
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) --store $(STORE) --via $(VIA) $(if $(SEED),--seed $(SEED))

# Hosts and options of whoever ran it stay out of the files. One resolution for every platform: hashes of all
# files of a version are kept, so macOS and other Pythons install from the same list.
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--build-deps-for editable

lock: $(EVERYTHING) ## Write requirements*.txt anew from pyproject.toml (LOCK_ARGS=--upgrade for newer versions)
	$(LOCK) $(LOCK_ARGS) --output-file requirements.txt pyproject.toml
	$(LOCK) $(LOCK_ARGS) --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean: ## Remove what the other commands made; the data directory stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find app truthvouch_pagerduty tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ---------------------------------------------------------------------------------------------- virtual environment

# A dangling interpreter (Python was upgraded or removed) counts as missing, so the environment is made again.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer was found. Install one, or say which: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) does not start or is older than Python 3.11." >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)

$(RUNTIME): requirements.txt pyproject.toml $(BIN)/python
	@echo "Installing what the bridge needs to run; this takes a minute or so"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

$(EVERYTHING): requirements-dev.txt $(RUNTIME)
	@echo "Installing what its tests and checks need; this takes a minute or so"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@
