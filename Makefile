# Needs Python ≥ 3.11 and make, nothing else. `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard django_support_tickets tests example_project docs benchmarks)

.PHONY: help demo serve test coverage test-all soak bench check docs mutants messages build packages clean

help:
	@echo "make demo   the main job with four fake vendors on this machine; ends by itself"
	@echo "make serve  the same, then the site on http://127.0.0.1:8000/"
	@echo "make test   the test suite on SQLite"
	@echo "make coverage   the same, and which lines and branches it has gone through"
	@echo "make test-all  PostgreSQL, MariaDB, Redis, S3, the browser, every Python and Django"
	@echo "make soak   the long profiles, or one: make soak ONLY=push"
	@echo "make bench  all gates of speed and memory, or some: make bench ONLY=pull; FULL=1 for 1,000,000 rows"
	@echo "make check  lint, format, types, import floors, migrations, documentation"
	@echo "make docs   the documentation in docs/_build/html/"
	@echo "make mutants   break the code on purpose, and see what no test notices: make mutants ONLY=signatures SAMPLE=5"
	@echo "make messages  collect the texts to translate, and compile the translations"
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

coverage: $(VENV)/test
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q --numprocesses auto
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=95

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
	@$(BIN)/python -m benchmarks $(ONLY) $(if $(FULL),--full) $(if $(WRITE),--write docs/benchmarks.md)

$(VENV)/docs: $(VENV)/demo
	@$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@

docs: $(VENV)/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(VENV)/mutants: $(VENV)/test
	@$(BIN)/pip install --quiet --editable '.[mutants]'
	@touch $@

mutants: $(VENV)/mutants
	@$(BIN)/python -m tests.mutants $(ONLY)

messages: $(VENV)/demo
	@$(BIN)/python -m tests.messages

check: $(VENV)/dev docs
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.manage makemigrations --check --dry-run

build: $(VENV)/dev
	rm -rf dist build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) dist build example_project/var *.egg-info
