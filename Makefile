# The two commands of the README are `make demo` and `make test`; `make help` lists all of them.
# Each says what it does while it does it, and makes the environment it needs.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := $(VENV)/bin
# The version beside which vLLM answers no chat request; one test of the probe shows that it is told so.
BREAKING := $(VENV)/mistral_common-1.13.1
TASK ?= examples/fix_bug/task.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test check unit engine format bench clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.made  ## Let a tiny model fix a bug on this machine's CPU; ends "verified"
	@echo "== Running $(TASK). The first time, the engine is installed into your cache (2 to 5 minutes)."
	@PATH="$(abspath $(BIN)):$$PATH" agent run $(TASK)

test: check unit engine  ## Run every check and every test, the ones on the real engine included

check: $(VENV)/.made-dev  ## Lint, format, types, import contracts
	@echo "== ruff: lint and format"
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check .
	@echo "== pyright: strict types"
	@$(BIN)/pyright
	@echo "== import-linter: who may import whom"
	@$(BIN)/lint-imports --no-cache | sed -n '/^-* *$$/d; /KEPT\|BROKEN\|^Contracts:\|not allowed/p'
	@$(BIN)/lint-imports --no-cache > /dev/null

unit: $(VENV)/.made-dev  ## Run the tests that need no engine
	@echo "== pytest: everything that needs no engine"
	@$(BIN)/python -m pytest

engine: $(VENV)/.made-dev | $(BREAKING)  ## Run the tests on the real vLLM, on the CPU
	@echo "== pytest: on the real vLLM with the pocket model. The first time, the engine is installed into your cache"
	@echo "   (2 to 5 minutes); each start takes about 45 s on two cores."
	@$(BIN)/python -m pytest -m engine

format: $(VENV)/.made-dev  ## Lay out the code and sort the imports
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.made-dev  ## Measure what a step costs us; tests/bench has more
	@$(BIN)/python tests/bench/bench_steps.py

clean:  ## Remove the environment and the caches of this folder
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info

$(VENV)/.made: pyproject.toml
	@echo "== Making the environment in $(VENV) with $(PYTHON), once (about half a minute)"
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11 or later, or say make PYTHON=/path/to/python."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11. Say make PYTHON=/path/to/python3.11."; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[testing]" 2> $(VENV)/pip.log || { cat $(VENV)/pip.log; exit 1; }
	@touch $@

$(BREAKING): | $(VENV)/.made
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ mistral_common==1.13.1

$(VENV)/.made-dev: $(VENV)/.made
	@echo "== Adding the tools for development, once (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]" 2> $(VENV)/pip.log || { cat $(VENV)/pip.log; exit 1; }
	@touch $@
