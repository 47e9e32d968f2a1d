# Each target sets up what it needs. `make demo` and `make test` work on a fresh machine with Python 3.11 and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-all benchmark report docs dist style quality clean

install: $(VENV)/.installed-dev

# What pyproject.toml states in the extra of that name.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt torch
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[$*]"
	touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/python -m examples.demo

test: install
	$(BIN)/python -m pytest --numprocesses 2

# The same with thousands of random files and hundreds of random sequences of calls; takes much longer.
test-all: install
	$(BIN)/python -m pytest --numprocesses 2 --hypothesis-profile all

# What embeddings cost, as ratios; nothing else should run meanwhile.
benchmark: install
	$(BIN)/python -m benchmarks.cost

# How motion embeddings compare with other methods, and with themselves changed: docs/report. Takes hours, and goes on
# where it stopped.
report: install
	$(BIN)/python -m benchmarks.fidelity methods --num_seeds 2
	$(BIN)/python -m benchmarks.fidelity ablations sizes steps scales --references figure_eight zigzag
	$(BIN)/python -m benchmarks.fidelity.report

# The site, in build/site; a broken link or a name that does not exist fails.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

# Wheel and source distribution, in build/dist: built, checked, and installed into a fresh environment.
dist: install
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/twine check --strict build/dist/*
	$(BIN)/python -m pytest tests/packaging
	$(BIN)/python -m tests.packaging.fresh_install build/dist/*.whl

style: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quality: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) outputs/demo build *.egg-info
