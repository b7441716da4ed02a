# What a developer types. Each target does its own set-up, in .venv, and repeats are quick.
# PYTHON=python3.13 chooses an interpreter, ARGS="-k text" goes to pytest or to the benchmark.
# PROFILE=smoke tests a little of everything, in two minutes. PROFILE=full tests with large libraries
# too, such as torch: they live in .venv-train, and Feast, which asks for an older pandas, in
# .venv-feast. PROFILE=engines tests on Ray, Spark and Dask, which live in .venv-engines;
# ARGS="-m smoke tests/integrations/engines" a little of each. BUILDER=mkdocs builds the site by Material
# for MkDocs in place of Zensical; both live in .venv-docs.

VENV := .venv
TRAIN := .venv-train
FEAST := .venv-feast
ENGINES := .venv-engines
DOCS := .venv-docs
BUILDER ?= zensical
RUN := $(VENV)/bin
DEMO := demo
PINS := tests/constraints.txt
PROFILE ?= ci
UV ?= $(shell command -v uv 2>/dev/null)
ifeq ($(PROFILE),full)
TESTED := $(TRAIN)
TEST_NEEDS := $(TRAIN)/test.installed $(TRAIN)/train.installed $(FEAST)/feast.installed
else ifeq ($(PROFILE),engines)
TESTED := $(ENGINES)
TEST_NEEDS := $(ENGINES)/engines.installed
ARGS := tests/integrations/engines tests/integrations/test_examples.py
else
TESTED := $(VENV)
TEST_NEEDS := $(VENV)/test.installed
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The hand-written kernels, compiled once: a demo compiles the few that it uses, as they are used.
OBJECTS := kernels/fastfeat_kernels/objects/manifest.json
export FASTFEAT_SHIP := 0

# Tests start hundreds of processes: each would compile all sources that it imports, of libraries
# too. Installing compiles none of them, for most are never imported.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-train demo-live demo-large demo-trust test check lint types docs bench bench-live clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:  ## show this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.installed  ## features of 336,776 real flights, beside pandas
	@$(RUN)/fastfeat demo --dir $(DEMO)

demo-train: $(TRAIN)/train.installed $(TRAIN)/demo.installed  ## models of these flights in five libraries; fetches them
	@$(TRAIN)/bin/python -m docs.demos train --dir $(DEMO)

demo-live: $(VENV)/demo-live.installed  ## the flights as a stream: served, killed, audited; starts a broker and Valkey
	@$(RUN)/python -m docs.demos live --dir $(DEMO)

demo-large: $(if $(ENGINE),$(ENGINES)/engines.installed,$(VENV)/cli.installed)  ## 2 GiB of rows within 600 MiB of memory; ENGINE=ray or spark too
	@$(if $(ENGINE),$(ENGINES),$(VENV))/bin/python -m docs.demos large --dir $(DEMO) $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

demo-trust: $(VENV)/demo.installed  ## flights broken in eleven ways, a month that drifts, a refit, a report
	@$(RUN)/python -m docs.demos trust --dir $(DEMO) $(ARGS)

test: $(TEST_NEEDS) $(OBJECTS)  ## every test that needs no GPU; PROFILE=smoke in two minutes, full with large libraries, engines with Ray, Spark, Dask
	HYPOTHESIS_PROFILE=$(PROFILE) $(TESTED)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint types  ## what CI checks besides the tests

lint: $(VENV)/check.installed
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/lint-imports
	$(RUN)/codespell $$(git ls-files '*.py' '*.md' '*.toml' Makefile)

types: $(VENV)/test.installed $(VENV)/bench.installed $(VENV)/check.installed
	$(RUN)/pyright

docs: $(DOCS)/docs.installed  ## the site, in site/, with every link checked
	@$(DOCS)/bin/python -m docs.publish stage build/pages
	@$(DOCS)/bin/$(BUILDER) build -f .mkdocs.yml --clean --strict
	@$(DOCS)/bin/python -m docs.publish check site

bench: $(VENV)/bench.installed $(OBJECTS)  ## measure against other libraries; SMOKE=1 compares outputs only
	$(RUN)/python -m bench $(if $(SMOKE),--smoke) $(ARGS)

bench-live: $(VENV)/test.installed $(VENV)/bench.installed $(OBJECTS)  ## measure rows that arrive; SMOKE=1 compares outputs only
	$(RUN)/python -m bench.live $(if $(SMOKE),--smoke) $(ARGS)

clean:  ## remove what the other targets made
	rm -rf $(dir $(OBJECTS)) $(VENV) $(TRAIN) $(FEAST) $(ENGINES) $(DOCS) $(DEMO) site .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# By uv where there is one, which takes a fifth of the time. The arguments begin with a file of pins.
INSTALL = $(if $(UV),"$(UV)" pip install --python $(@D)/bin/python,$(@D)/bin/python -m pip install --no-compile) --quiet --constraint

$(OBJECTS): $(shell find kernels/fastfeat_kernels -name '*.py') fastfeat/engine/cpu/kernels.py
	@$(TESTED)/bin/python -m fastfeat.engine.cpu.ship
	@touch $@

# One stamp for each extra of pyproject.toml.
$(VENV)/%.installed: pyproject.toml $(PINS) $(RUN)/python
	@echo "Installing fastfeat[$*] into $(VENV)"
	@$(INSTALL) $(PINS) --editable '.[$*]'
	@touch $@

# By pip, for what a machine says of torch stands in its configuration.
$(TRAIN)/%.installed $(TRAIN)/bin/python: override UV :=
$(TRAIN)/%.installed: pyproject.toml tests/constraints_train.txt $(TRAIN)/bin/python
	@echo "Installing fastfeat[$*] into $(TRAIN)"
	@$(if $(filter train,$*),echo "$$TORCH_IS_LARGE")
	@$(INSTALL) tests/constraints_train.txt --editable '.[$*]'
	@touch $@

$(ENGINES)/engines.installed: pyproject.toml tests/constraints_engines.txt $(ENGINES)/bin/python
	@echo "Installing fastfeat[engines] into $(ENGINES)"
	@$(INSTALL) tests/constraints_engines.txt --editable '.[engines]'
	@touch $@

$(DOCS)/docs.installed: pyproject.toml tests/constraints_docs.txt $(DOCS)/bin/python
	@echo "Installing fastfeat[docs] into $(DOCS)"
	@$(INSTALL) tests/constraints_docs.txt --editable '.[docs]'
	@touch $@

$(FEAST)/feast.installed: tests/constraints_feast.txt $(FEAST)/bin/python
	@echo "Installing Feast into $(FEAST)"
	@$(INSTALL) tests/constraints_feast.txt --only-binary :all: feast
	@touch $@

define TORCH_IS_LARGE
torch is about 200 MB as a build for CPUs alone, and 3 GB with CUDA, as PyPI has it for Linux.
Where pip finds a build for CPUs, it takes that: name a folder of wheels in PIP_FIND_LINKS, or
in PIP_EXTRA_INDEX_URL the index of such builds that pytorch.org names. The others are 400 MB.
endef
export TORCH_IS_LARGE

# The first Python from 3.11 to 3.13 that runs: a name on the path may be a shim that does not.
# For the large libraries the oldest first, which has the most builds.
$(RUN)/python: NAMES := python3.13 python3.12 python3.11 python3
$(DOCS)/bin/python: NAMES := python3.13 python3.12 python3.11 python3
$(TRAIN)/bin/python $(FEAST)/bin/python $(ENGINES)/bin/python: NAMES := python3.11 python3.12 python3.13 python3
$(RUN)/python $(TRAIN)/bin/python $(FEAST)/bin/python $(ENGINES)/bin/python $(DOCS)/bin/python:
	@folder=$(patsubst %/bin/python,%,$@); \
	ok='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	[ -n "$(UV)" ] || ok="import ensurepip, venv; $$ok"; \
	for name in $(or $(PYTHON),$(NAMES)); do \
	  "$$name" -c "$$ok" >/dev/null 2>&1 || continue; \
	  echo "Making $$folder with $$("$$name" --version)"; rm -rf $$folder; \
	  if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --python "$$(command -v "$$name")" $$folder; \
	  else "$$name" -m venv $$folder; fi; exit; \
	done; \
	echo "No Python from 3.11 to 3.13 that can make a virtual environment was found." >&2; \
	echo "Install one with its venv module (Debian, Ubuntu: apt-get install python3-venv)," >&2; \
	echo "or name one: make PYTHON=/path/to/python3.12" >&2; exit 1
