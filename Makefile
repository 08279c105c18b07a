# On a fresh machine `make demo` and `make test` need Python >= 3.10 and nothing else: each makes .venv first.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SUITE := $(BIN)/python -m pytest $(ARGS)
EXTRAS := dev,docs,export,topology,tracking,wsi

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format types docs audit bench bench-losses clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

# torch comes first and alone: a range would let pip try several builds of several gigabytes
$(VENV)/.runtime: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 10) else 0)'
	@echo "Making $(VENV) and installing monai_kd there: some minutes, once."
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

install: $(VENV)/.dev ## make .venv with everything development needs

demo: $(VENV)/.runtime ## distil on a real image, write demo/report.html (minutes)
	$(BIN)/python bundles/histology_patch_classification/scripts/demo.py --output_dir demo $(ARGS)

test: $(VENV)/.dev ## run the default suite; ARGS="tests/losses -k kd" narrows it
	$(SUITE)

test-slow: $(VENV)/.dev ## run the tests that take more than five seconds each
	$(SUITE) -m slow

lint: $(VENV)/.dev ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## mend what `make lint` can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## check the type hints
	$(BIN)/mypy

docs: $(VENV)/.dev ## build the documentation into docs/_build, warnings are errors
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "Documentation: $(CURDIR)/docs/_build/html/index.html"

audit: $(VENV)/.dev ## look up known vulnerabilities of all that is installed; fails, too, where that could not be done
	@$(PIP) -c constraints.txt pip-audit || { echo "not run: pip-audit cannot be installed"; exit 2; }
	$(BIN)/python .ci/audit.py

bench: $(VENV)/.dev ## measure the cost of a step against a bare loop (a quarter of an hour)
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-losses: $(VENV)/.dev ## measure each loss against its textbook form (a quarter of an hour); ARGS=RKD narrows it
	$(BIN)/python -m tests.benchmarks.losses $(ARGS)

clean: ## remove what the targets wrote; .venv stays
	rm -rf demo bench build dist docs/_build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
