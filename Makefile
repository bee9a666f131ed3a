# The front door: `make` lists what there is. Everything is written inside this folder.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

export RAY_USAGE_STATS_ENABLED ?= 0
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_ROOT_USER_ACTION ?= ignore

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-chaos test-demo lint format bench browser constraints clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment in .venv (once; again when its versions change)

# The stamp is older than the lists of packages: they changed, so install again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13; name one that is: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "installing into $(VENV) (some minutes the first time) ..."
	@began=$$(date +%s); \
	$(BIN)/python -m pip install --quiet --no-cache-dir -c constraints.txt -e ".[dev]" && \
	echo "installed in $$(( $$(date +%s) - began )) s"
	@touch $@

demo: setup ## The whole way, from sign videos to a searchable index, in ./demo (ARGS="--serve --seed 1")
	@$(BIN)/cico demo --work-dir demo $(ARGS)

test: setup browser ## The tests, without the long ones (ARGS="-k words")
	@$(BIN)/python -m pytest -m "not slow and not chaos and not demo" $(ARGS)

test-slow: setup browser ## The long tests: small demos, killed steps, remote stores
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-chaos: setup ## Trainings and services whose parts die, again and again, or under load; up to an hour
	@$(BIN)/python -m pytest -m chaos $(ARGS)

test-demo: setup ## The whole default demo, a quarter of an hour or half of one
	@$(BIN)/python -m pytest -m demo $(ARGS)

lint: setup ## Style, types, and that imports point one way
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## Mend what can be mended by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

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

constraints: setup ## Write the versions that are installed now into constraints.txt
	@{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/python -m pip list --format=freeze | sed -e '/^cico-platform==/d' -e '/^pip==/d' -e 's/+[a-z0-9.]*$$//' | LC_ALL=C sort -f; \
	} > constraints.txt.new && mv constraints.txt.new constraints.txt
	@touch $(STAMP)
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

clean: ## Remove the environment and the caches (./demo stays)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
