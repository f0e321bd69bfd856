# Every target sets up what it needs: python3 (3.11 or newer), git and make suffice.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-next test-floor lint types bench docs reference site reliability ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PYTHON=python3.13 chooses the interpreter of a new .venv, ARGS='-k torn -n 0' is passed to pytest."

demo: $(READY) ## import a git repository's history, follow it live, look at it (GIT_REPO=path for another)
	$(BIN)/python -m examples.git_history

test: $(READY) ## run the tests, without the slow and the reliability ones
	$(BIN)/python -m pytest $(ARGS)

test-next: .venv-next/.ready ## run what can run with the library's next version (10.0.0a7)
	.venv-next/bin/python -m pytest -n 0 tests/next $(ARGS)

# What depends on the packages: bytes and indexes, metrics, the command, the library's own cases.
test-floor: .venv-floor/.ready ## run a part of the tests with the oldest allowed dependencies
	.venv-floor/bin/python -m pytest tests/format tests/index tests/segment tests/metrics \
		tests/eventsourcing_cases tests/cli tests/test_public_api.py $(ARGS)

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check types, tests included
	$(BIN)/mypy

bench: $(READY) ## measure against the library's SQLite recorder and the disk's own floor
	$(BIN)/python -m benchmarks

docs: $(READY) ## run the code and check the links of the documentation
	$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

reference: $(READY) ## make the reference of the command line from its help
	$(BIN)/python -m tests.docs.command_line

site: export NO_MKDOCS_2_WARNING = 1
site: $(READY) ## build the documentation as a site into build/site; warnings are errors
	$(BIN)/mkdocs build --strict # not --quiet: warnings that are not shown are not counted either
	@echo "build/site/index.html is its first page"

# One process, since these tests start many of their own and compete for the disk.
reliability: export AURORA_RELIABILITY ?= long
reliability: export HYPOTHESIS_PROFILE ?= long
# Figures go to docs/reliability/, from which `python -m tests.fault.page` writes the page.
reliability: export AURORA_FIGURES ?= y
reliability: $(READY) ## kill, crash and fault the store for a long time; all slow tests (hours)
	$(BIN)/python -m pytest -n 0 -m "slow or reliability" --timeout 14400 $(ARGS)

ci: ## everything that CI runs
	.ci/run

clean: ## remove .venv, caches and build products
	rm -rf .venv .venv-next .venv-floor .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The library is pinned beside, not by, pyproject.toml, which asks for the version that users have.
.venv-next/.ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-next
	.venv-next/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[cli,dev,ui]' 'pydantic>=2.13.4' # which the library's own cases import
	.venv-next/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		'eventsourcing==10.0.0a7'
	@touch $@

.venv-floor/.ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-floor
	$(PYTHON) -m tests.packaging.floors > .venv-floor/constraints.txt
	.venv-floor/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint .venv-floor/constraints.txt --editable '.[cli,otel,zstd,dev]'
	@touch $@

# Built anew when pyproject.toml changes: a dependency that was dropped must be missed at once.
# The stamp comes last, so that an interrupted installation is not taken for a complete one.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "aurora_es needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another interpreter: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli,demo,dev,docs,ui]'
	@# Not to be had for every machine: without it tests in a browser are skipped, and say so.
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@touch $@
