# What a developer types. Each target does its own set-up, in .venv, and repeats are quick.
# PYTHON=python3.13 chooses an interpreter, ARGS="-k text" goes to pytest or to the benchmark.

VENV := .venv
RUN := $(VENV)/bin
DEMO := demo
PINS := tests/constraints.txt
PROFILE ?= ci
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:  ## show this text
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.installed  ## features of 336,776 real flights, beside pandas
	@$(RUN)/fastfeat demo --dir $(DEMO)

test: $(VENV)/test.installed  ## every test that needs no GPU
	HYPOTHESIS_PROFILE=$(PROFILE) $(RUN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/test.installed $(VENV)/bench.installed $(VENV)/check.installed  ## what CI checks besides the tests
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/lint-imports
	$(RUN)/codespell $$(git ls-files '*.py' '*.md' '*.toml' Makefile)
	$(RUN)/pyright

bench: $(VENV)/bench.installed  ## measure against other libraries; SMOKE=1 compares outputs only
	$(RUN)/python -m bench $(if $(SMOKE),--smoke) $(ARGS)

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(DEMO) .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each extra of pyproject.toml.
$(VENV)/%.installed: pyproject.toml $(PINS) $(RUN)/python
	@echo "Installing fastfeat[$*] into $(VENV)"
	@if command -v uv >/dev/null 2>&1; \
	then uv pip install --quiet --python $(RUN)/python --constraint $(PINS) --editable '.[$*]'; \
	else $(RUN)/python -m pip install --quiet --constraint $(PINS) --editable '.[$*]'; fi
	@touch $@

# The first Python from 3.11 to 3.13 that runs: a name on the path may be a shim that does not.
$(RUN)/python:
	@ok='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	command -v uv >/dev/null 2>&1 && uv=1 || { uv=; ok="import ensurepip, venv; $$ok"; }; \
	for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  "$$name" -c "$$ok" >/dev/null 2>&1 || continue; \
	  echo "Making $(VENV) with $$("$$name" --version)"; rm -rf $(VENV); \
	  if [ -n "$$uv" ]; then uv venv --quiet --python "$$(command -v "$$name")" $(VENV); \
	  else "$$name" -m venv $(VENV); fi; exit; \
	done; \
	echo "No Python from 3.11 to 3.13 that can make a virtual environment was found." >&2; \
	echo "Install one with its venv module (Debian, Ubuntu: apt-get install python3-venv)," >&2; \
	echo "or name one: make PYTHON=/path/to/python3.12" >&2; exit 1
