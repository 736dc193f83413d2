PYTHON ?= python3.12
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help quickstart test check lint types tests bench clean

help:  ## Show this help.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/installed  ## Install, then run the whole path on the Cranfield collection.
	$(BIN)/splade-anserini quickstart --output quickstart

test: $(VENV)/installed-test  ## Install with the test extra, then run all checks.
	$(MAKE) check

check: lint types tests  ## What CI runs.

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

tests:
	$(BIN)/pytest

bench: $(VENV)/installed-test  ## Measure; see benchmarks/README.md.
	$(BIN)/python benchmarks/path.py

clean:  ## Remove the environment and everything that was built.
	rm -rf $(VENV) quickstart build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
