# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test faults fuzz bench lint clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	# torch first and pinned: an unpinned one brings gigabytes of accelerator libraries.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

## the main job on generated theorems: generate, train, export, prove (minutes on two cores)
demo: $(VENV)/.installed
	$(BIN)/clew demo demo

## all tests but the campaigns, on two cores
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

## twenty kills at random moments, for one process and for two
faults: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow tests/faults -s

## ten thousand spoiled inputs: what is no sentence, what hangs, what is harmed (minutes on two cores)
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz/campaign.py

## every benchmark in its short form; each ends with one line of JSON
bench: $(VENV)/.installed
	@set -e; for file in benchmarks/*.py; do \
	  case $$file in */common.py) continue;; esac; echo "== $$file"; $(BIN)/python $$file; done

lint: $(VENV)/.installed
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo
