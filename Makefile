# Needs Python ≥ 3.11 and make, nothing else. `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard django_support_tickets tests example_project docs benchmarks)

.PHONY: help demo serve test test-all soak bench check build packages clean

help:
	@echo "make demo   the main job with four fake vendors on this machine; ends by itself"
	@echo "make serve  the same, then the site on http://127.0.0.1:8000/"
	@echo "make test   the test suite on SQLite"
	@echo "make test-all  PostgreSQL, MariaDB, Redis, S3, the browser, every Python and Django"
	@echo "make soak   the long profiles, or one: make soak ONLY=push"
	@echo "make bench  all gates of speed and memory, or some: make bench ONLY=pull"
	@echo "make check  lint, format, types, import floors, migrations"
	@echo "make build  wheel and sdist in dist/"

$(VENV)/demo: pyproject.toml
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/test: $(VENV)/demo
	@$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/dev: $(VENV)/test
	@$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/demo
	@$(BIN)/python example_project/demo.py

serve: $(VENV)/demo
	@$(BIN)/python example_project/demo.py --serve

test: $(VENV)/test
	@$(BIN)/python -m pytest -q --numprocesses auto

packages:
	@tests/packages

test-all: packages
	@$(PYTHON) -m tests.matrix

$(VENV)/bench: $(VENV)/test packages
	@$(BIN)/pip install --quiet --editable '.[bench]'
	@touch $@

soak: $(VENV)/bench
	@$(BIN)/python -m tests.soak $(ONLY)

bench: $(VENV)/bench
	@$(BIN)/python -m benchmarks $(ONLY)

check: $(VENV)/dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.manage makemigrations --check --dry-run

build: $(VENV)/dev
	rm -rf dist build
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) dist build example_project/var *.egg-info
