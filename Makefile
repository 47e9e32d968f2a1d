# Each target sets up what it needs. `make demo` and `make test` work on a fresh machine with Python 3.11 and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo app space test test-all benchmark report docs style quality clean

install: $(VENV)/.installed-dev

# What is stated in setup.py's extra of that name.
$(VENV)/.installed-%: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt torch
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[$*]"
	touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/python -m examples.demo

# The page. Another base, for instance: make app ARGS="--pretrained_model_name_or_path tiny-wan"
app: $(VENV)/.installed-app
	$(BIN)/python -m examples.app $(ARGS)

# The page as a folder that runs as a Space, in build/space.
space: $(VENV)/.installed-app
	$(BIN)/python -m examples.app.space

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

style: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quality: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) outputs/demo build *.egg-info
