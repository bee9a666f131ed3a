# The front door: `make` lists what there is. Everything is written inside this folder, but for the cache of uv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
ARGS   ?=

export RAY_USAGE_STATS_ENABLED ?= 0
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_ROOT_USER_ACTION ?= ignore
# Each process of Ray imports the project: without kept bytecode it would be compiled again for each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup quick demo test test-slow test-chaos test-demo lint format pretrained bench browser constraints clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install what the demo needs into .venv (again when the versions change)

# The stamps are older than the lists of packages: these changed, so install again.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python scripts/install.py
	@touch $@

# What tests and checks need, too.
$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python scripts/install.py dev
	@touch $(STAMP) $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13; name one that is: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 2; }

quick: setup ## A searchable index of drawn sign videos, without any training, in ./quick
	@$(BIN)/cico demo --quick --work-dir quick $(ARGS)

demo: setup ## Draw sign videos, train on them, evaluate and index them, in ./demo (ARGS="--serve --seed 1")
	@$(BIN)/cico demo --work-dir demo $(ARGS)

test: $(DEV_STAMP) browser ## The tests, without the long ones (ARGS="-k words")
	@$(BIN)/python -m pytest -m "not slow and not chaos and not demo" -n 2 $(ARGS)

test-slow: $(DEV_STAMP) browser ## The long tests: small demos, killed steps, remote stores
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-chaos: $(DEV_STAMP) ## Trainings and services whose parts die, again and again, or under load; up to an hour
	@$(BIN)/python -m pytest -m chaos $(ARGS)

test-demo: $(DEV_STAMP) ## The whole default demo, as a person runs it
	@$(BIN)/python -m pytest -m demo $(ARGS)

lint: $(DEV_STAMP) ## Style, types, and that imports point one way
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(DEV_STAMP) ## Mend what can be mended by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

pretrained: setup ## Train the checkpoints again that are part of the package; half an hour
	@scripts/pretrain.sh $(ARGS)

bench: setup ## Our way beside the plain way: encoder, similarity, pipeline, training
	@$(BIN)/cico bench sign-encoder $(ARGS)
	@$(BIN)/cico bench similarity $(ARGS)
	@$(BIN)/cico bench pipeline $(ARGS)
	@$(BIN)/cico bench training $(ARGS)

browser: ## A Chromium for the tests of the page (Debian, as root; elsewhere those tests are skipped)
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing chromium ..."; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 \
	    || echo "chromium could not be installed: the browser tests will be skipped"; \
	else echo "no chromium here: the browser tests will be skipped"; fi

constraints: $(DEV_STAMP) ## Write the versions that are installed now into constraints.txt
	@{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/python -m pip list --format=freeze | sed -e '/^cico-platform==/d' -e '/^pip==/d' -e '/^uv==/d' -e 's/+[a-z0-9.]*$$//' | LC_ALL=C sort -f; \
	} > constraints.txt.new && mv constraints.txt.new constraints.txt
	@touch $(STAMP) $(DEV_STAMP)
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

clean: ## Remove the environment and the caches (./demo and ./quick stay)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
