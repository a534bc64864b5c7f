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

# A host application with the oldest packages that setup.cfg allows, and the tests that concern it.
LOWEST := .venv-lowest
LOWEST_TOOLS := alembic flask-wtf granian hypothesis pytest pytest-randomly pytest-xdist
HOST_TESTS := tests/api tests/cli tests/embed tests/storage tests/stub tests/test_*.py \
	tests/system/test_program.py tests/system/test_terminal.py

.PHONY: install run test test-quick check check-lowest bench clean

install: $(VENV)/.installed

run: install
	@$(BIN)/leads-service serve --host $(HOST) --port $(PORT) --first-user admin

test: $(VENV)/.installed-test
	$(PYTEST)

# While one works: without what starts processes, tries many examples or many leads, and without
# the second time, in a host application, of what the service is asked alone.
test-quick: $(VENV)/.installed-test
	$(PYTEST) -m "not slow and not system and not hypothesis and not embedded"

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

check-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/pytest --numprocesses auto $(HOST_TESTS)

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py

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
