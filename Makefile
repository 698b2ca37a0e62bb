# One command each. Nothing but make, git and Python 3.11 to 3.13 is needed; all else is put into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The Python that makes .venv: the first of these that is neither too old nor too new.
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
  "$$name" -c '$(SUITS)' 2>/dev/null && echo "$$name" && break; done)
# A package index with CPU builds of torch, asked besides the usual one: make demo TORCH_INDEX=https://…
TORCH_INDEX ?=
# Test files run at once; much of their time is waiting for PostgreSQL and Airflow.
WORKERS ?= 3
# Further arguments: make test ARGS="-k rollback -x"
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
CODE := include plugins dags tests .ci
UV_VERSION := $(shell sed -n 's/^uv==//p' constraints.txt)

##@ Use
.PHONY: help setup demo up down status env
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n%s\n' 'Without a GPU, some 4 GB are saved with a CPU build of torch:' \
	  '  make demo TORCH_INDEX=<address of a package index that has CPU wheels of torch>' \
	  'PIP_* and UV_* variables (indexes, certificates, proxies) are respected.'

setup: $(READY) ## Install everything into .venv (quick when nothing changed)
	@echo '.venv is ready'

demo: $(READY) ## The whole story, from empty to taken back, through Airflow
	@$(BIN)/python -m recant.demo $(ARGS)

up: $(READY) ## Start PostgreSQL, the embedder, the lineage relay and Airflow
	@$(BIN)/recant up $(ARGS)

down: ## Stop all of it; data is kept
	@if [ -e $(READY) ]; then $(BIN)/recant down $(ARGS); else echo 'Nothing to stop: nothing was ever set up here'; fi

status: $(READY) ## What runs, and where
	@$(BIN)/recant status $(ARGS)

env: ## Write .env with fresh secrets, for docker compose (one that is there stays)
	@if [ -e .env ]; then echo '.env is there already'; exit 0; fi; umask 077; \
	random() { head -c "$$1" /dev/urandom; }; \
	while IFS= read -r line; do case $$line in \
	  AIRFLOW_FERNET_KEY=) echo "$$line$$(random 32 | base64 | tr '+/' '-_')" ;; \
	  [A-Z]*=) echo "$$line$$(random 32 | od -An -v -tx1 | tr -d ' \n')" ;; \
	  *) echo "$$line" ;; esac; done <.env.example >.env.new; mv .env.new .env; echo 'Wrote .env: keep it to yourself'

##@ Work on it
.PHONY: test test-nightly test-marquez lint format coverage bench bench-million bench-peers docs-check pin clean
test: $(READY) ## Run the tests
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-nightly: $(READY) ## The long forms: every crash point, minutes of concurrency, thousands of random steps
	@$(BIN)/python -m pytest --nightly --timeout 7200 --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-marquez: $(READY) ## Run the tests that need a real Marquez: MARQUEZ_URL=http://… or MARQUEZ_JAR=FILE
	@# its official client, apart from everything else: the wheel brings packages called tests and examples
	@[ -e .venv/marquez-client/marquez_client ] || $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt \
	  --target .venv/marquez-client 'marquez-python==0.50.0' 'pyrfc3339==2.1.1'
	@rm -rf .venv/marquez-client/tests .venv/marquez-client/examples
	@$(BIN)/python -m pytest -m marquez -rs -v tests/marquez tests/dags/test_marquez.py $(ARGS)

lint: $(READY) ## Check style, types and the direction of imports
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@PYTHONPATH=include:plugins $(BIN)/lint-imports

format: $(READY) ## Put the code into shape
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

coverage: $(READY) ## Run the tests and say which lines they leave out
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --cov --cov-report=term-missing:skip-covered --cov-report=html $(ARGS)

bench: $(READY) ## Measure; the report goes to bench-report.json
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-million: $(READY) ## Measure search by meaning at 10,000, 100,000 and a million chunks, alone on the machine
	@$(BIN)/python -m tests.benchmarks --only vectors --million $(ARGS)

bench-peers: $(READY) ## Install LanceDB and Chroma, for `make bench` to measure beside
	@$(BIN)/uv pip install --python $(BIN)/python --constraints constraints.txt --editable '.[bench]'

docs-check: $(READY) ## Check that links between the documents lead somewhere
	@$(BIN)/python .ci/check_links.py

pin: bench-peers ## Write constraints.txt anew from what is installed in .venv
	@{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | sed -e '/^pip==/d' -e 's/+[^ ]*$$//'; \
	  grep ' ; ' constraints.txt; } > .venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt && touch $(READY)

clean: down ## Stop everything and remove .venv, .recant (all data) and caches
	@rm -rf .venv .recant .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov build dist
	@find include plugins dags tests .ci \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@if [ -z '$(PYTHON)' ]; then echo 'Python 3.11, 3.12 or 3.13 is needed; python3 here is:' \
	  "$$(python3 --version 2>&1). Name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 2; fi
	@'$(PYTHON)' -c '$(SUITS)' || { echo "'$(PYTHON)' is $$('$(PYTHON)' --version 2>&1); Python 3.11, 3.12 or 3.13 is needed" >&2; exit 2; }
	@echo 'Setting up .venv …'
	@[ -x $(BIN)/python ] || '$(PYTHON)' -m venv .venv
	@[ "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = '$(UV_VERSION)' ] || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
	@: "$${UV_DEFAULT_INDEX:=$${UV_INDEX_URL:-$${PIP_INDEX_URL:-}}}" "$${UV_EXTRA_INDEX_URL:=$${PIP_EXTRA_INDEX_URL:-}}" \
	  "$${SSL_CERT_FILE:=$${PIP_CERT:-}}" "$${UV_FIND_LINKS:=$$(tr ' ' ',' <<<"$${PIP_FIND_LINKS:-}")}"; \
	for name in UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS SSL_CERT_FILE; do \
	  if [ -n "$${!name}" ]; then export "$$name"; else unset "$$name"; fi; done; \
	$(BIN)/uv pip install --python $(BIN)/python --constraints constraints.txt --build-constraints constraints.txt \
	  $(if $(TORCH_INDEX),--index '$(TORCH_INDEX)' --index-strategy unsafe-best-match) $$([ -t 2 ] || echo --quiet) --editable '.[analytics,celery,dev]'
	@touch $(READY)
