# Each target sets up what it needs. `make demo` and `make test` work on a fresh machine with Python 3.11 and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --extra test pyproject.toml

.PHONY: install demo app space test test-slow test-all test-versions test-oldest test-middle test-newest test-gpu requirements benchmark report docs dist style quality clean

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

# The page. Another base, for instance: make app ARGS="--pretrained_model_name_or_path tiny-wan"
app: $(VENV)/.installed-app
	$(BIN)/python -m examples.app $(ARGS)

# The page as a folder that runs as a Space, in build/space.
space: $(VENV)/.installed-app
	$(BIN)/python -m examples.app.space

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# What takes longer: models of every class compiled and changed in every way, and the laboratory's programs.
test-slow: install
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m slow

# The tests, or those that TESTS names, with other versions of what the package builds on: requirements/. On Linux
# each environment takes 6 GB, because the registry's torch brings CUDA.
TESTS ?= tests
test-versions: test-oldest test-middle test-newest

test-oldest test-middle test-newest: test-%: requirements/%.txt install
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) build/$*
	$(BIN)/uv pip install --quiet --python build/$*/bin/python --requirement $<
	$(BIN)/uv pip install --quiet --python build/$*/bin/python --no-deps --editable .
	build/$*/bin/python -m pytest --numprocesses 2 $(TESTS)

# Pins the versions again: the lower bounds of pyproject.toml, some between, and the newest.
requirements: install
	$(PIN) --resolution lowest-direct --output-file requirements/oldest.txt
	$(PIN) requirements/middle.in --output-file requirements/middle.txt
	$(PIN) --upgrade --output-file requirements/newest.txt

# What only a GPU shows; skipped where torch finds none. The figures are in outputs/gpu.xml.
test-gpu: install
	$(BIN)/python -m pytest -m gpu --junit-xml outputs/gpu.xml -o junit_family=xunit1

# Both, with thousands of random files and hundreds of random sequences of calls; takes hours.
test-all: install
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "" --hypothesis-profile all

# What embeddings cost, as ratios; nothing else should run meanwhile.
benchmark: install
	$(BIN)/python -m benchmarks.cost

# How motion embeddings compare with other methods: docs/report. Goes on where it stopped.
report: REPORTED = --half report --measures outputs/fidelity-methods
report: install
	$(BIN)/python -m benchmarks.fidelity methods --references hops pendulum --num_seeds 1 $(REPORTED)
	$(BIN)/python -m benchmarks.fidelity.report $(REPORTED) --output docs/report

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
