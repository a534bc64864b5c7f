# PORT and HOST can be given: make run PORT=8123
HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
# On every core, in another order each time; what it prints as its seed repeats an order:
# pytest -p randomly --randomly-seed=…
PYTEST := $(BIN)/pytest --numprocesses auto
# The newest releases that setup.cfg allows may break a build that passed yesterday; these did not.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt

# Of these `make test-quick` runs each with one of its examples.
QUICK_TESTS := tests/api tests/storage tests/test_*.py

# A host application with the oldest packages that setup.cfg allows, and the tests that concern it.
LOWEST := .venv-lowest
LOWEST_TOOLS := alembic flask-wtf granian hypothesis pytest pytest-randomly pytest-xdist
HOST_TESTS := tests/api tests/cli tests/embed tests/storage tests/stub tests/test_*.py \
	tests/system/test_program.py tests/system/test_terminal.py

# What stands behind ## above a target is what `make help` says of it.
.DEFAULT_GOAL := help
.PHONY: help install run screenshots test test-quick check check-lowest bench bench-pieces clean

## Show what make can do here
help:
	@awk '/^## / { text = substr($$0, 4); next } \
		text && /^[a-z-]+:/ { sub(/:.*/, ""); printf "make %-13s %s\n", $$0, text } \
		{ text = "" }' $(firstword $(MAKEFILE_LIST))

## Install the service into .venv
install: $(VENV)/.installed

## Serve on HOST and PORT; the first time with a user and a token
run: install
	@$(BIN)/leads-service serve --host $(HOST) --port $(PORT) --first-user admin

## Run all tests, in parallel and in random order
test: $(VENV)/.installed-test
	$(PYTEST)

## Run the quick tests of what commands, hosts and the stub stand on, each with one example
test-quick: $(VENV)/.installed-test
	$(PYTEST) --one-each -m "not slow and not system and not hypothesis and not embedded" $(QUICK_TESTS)

## Run all checks: linters, types, layers, all tests with coverage, a short benchmark
check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit --quiet --recursive leads_service --severity-level medium --confidence-level medium
	$(BIN)/pip check --disable-pip-version-check
	$(PYTEST) -m system
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto -m "not system"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python benchmarks/run.py --quick
	$(BIN)/python benchmarks/pieces.py --quick

## Run the tests of a host with the oldest dependencies that are allowed
check-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/pytest --numprocesses auto -m "not slow and not hypothesis" $(HOST_TESTS)

## Compare the service with its peers in 17 minutes, and write benchmarks/results.md
bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/run.py

## Measure what is there for speed, and write benchmarks/pieces.md and benchmarks/plans.md
bench-pieces: $(VENV)/.installed-test
	$(BIN)/python benchmarks/pieces.py
	$(BIN)/python benchmarks/plans.py

## Take the pictures in docs/ anew, with Chromium
screenshots: $(VENV)/.installed-test
	$(BIN)/python -m tests.board.screenshots

## Remove what was installed and built
clean:
	rm -rf $(VENV) $(LOWEST) .coverage* benchmarks/.venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: setup.cfg pyproject.toml .ci/constraints.txt
	@echo "Installing into $(VENV); this takes some ten seconds, once."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[server]'
	@touch $@

$(LOWEST)/.installed: setup.cfg pyproject.toml .ci/constraints-lowest.txt
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check \
		--constraint .ci/constraints-lowest.txt --editable '.[stub]' $(LOWEST_TOOLS)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-test
