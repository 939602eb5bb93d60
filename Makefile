# Needs make and Python 3.10 or later; `make minio` and `make grpcurl` need Go too. Everything else is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Workers of the test suite; each may start a MinIO of its own.
WORKERS ?= 2

# MinIO's last community release has no binaries to download, so it is built once from the module proxy into a cache.
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
MINIO_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast/minio/$(lastword $(subst -, ,$(MINIO_VERSION)))
MINIO := $(or $(HOLDFAST_MINIO_BIN),$(MINIO_DIR)/minio)
HAS_GO := $(shell command -v go 2>/dev/null)

# Runs what docs/polyglot.md shows.
GRPCURL_VERSION := v1.9.4
GRPCURL_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast/grpcurl/$(GRPCURL_VERSION)
GRPCURL := $(or $(HOLDFAST_GRPCURL_BIN),$(GRPCURL_DIR)/grpcurl)

PROTOS := $(wildcard protos/holdfast/v1/*.proto) protos/hatch_build.py

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP) ## Create .venv with the server, all extras and the tools; again only when pyproject.toml or a proto changed

$(STAMP): pyproject.toml $(PROTOS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Holdfast needs Python 3.10 or later; name one: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --reinstall-package holdfast \
	  -e '.[server,otel,sklearn,lightgbm,serve,system-metrics]' --group dev --group docs
	@touch $@

.PHONY: proto
proto: ## Generate the Python stubs again
	@rm -f $(STAMP)
	@$(MAKE) venv

.PHONY: demo
demo: $(STAMP) ## Log a run, files and a model to a server of its own, and read them back
	@$(BIN)/python examples/demo.py

.PHONY: test
test: $(STAMP) minio grpcurl ## Run the whole test suite
	$(BIN)/pytest -n $(WORKERS)

# Such as ARGS='--languages go --scenarios "upload_*" --stores local'; ARGS=--help lists all.
.PHONY: conformance
conformance: $(STAMP) minio ## Play the same scenarios with the clients of all languages, and print a table of what came of them
	@$(BIN)/python -m client.conformance.runner $(ARGS)

# Each has a Makefile of its own.
CLIENTS := $(patsubst client/%/Makefile,%,$(wildcard client/*/Makefile))

.PHONY: clients
clients: ## Check and test the clients in other languages, by what those languages have for it
	@for client in $(CLIENTS); do echo "client/$$client"; $(MAKE) -C client/$$client check test; done

.PHONY: test-quick
test-quick: $(STAMP) ## Run the tests that take no more than a few seconds and need no MinIO
	$(BIN)/pytest -n $(WORKERS) -m 'not slow and not minio'

# Three minutes as a part of `make test`; figures are printed.
SOAK_SECONDS ?= 1800
.PHONY: soak
soak: $(STAMP) ## Half an hour of mixed load and crowds of streams: memory and descriptors stay flat, calls are answered
	HOLDFAST_SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/pytest -n 0 -s tests/soak

.PHONY: check
check: $(STAMP) ## Lint, types, protos and layers: what CI runs before the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/buf lint
	@$(MAKE) check-breaking
	$(BIN)/lint-imports --no-logo

# Against the commit before; $(BREAKING_AGAINST) may name another, such as the last release.
BREAKING_AGAINST ?= HEAD~1
.PHONY: check-breaking
check-breaking: $(STAMP)
	@if git cat-file -e '$(BREAKING_AGAINST):buf.yaml' 2>/dev/null; then \
	  before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	  git archive '$(BREAKING_AGAINST)' buf.yaml protos | tar -x -C "$$before"; \
	  echo "buf breaking against $(BREAKING_AGAINST)"; \
	  $(BIN)/buf breaking --against "$$before"; \
	else \
	  echo "buf breaking: passed over, $(BREAKING_AGAINST) is not in this clone"; \
	fi

.PHONY: format
format: $(STAMP) ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: docs
docs: $(STAMP) ## Write the references in docs/cli.md and docs/settings.md from commands and settings
	$(BIN)/python -m tests.e2e.cli_reference
	$(BIN)/python -m tests.e2e.settings_reference

# Nothing is loaded from elsewhere; the variable is for the theme, which would tell of another program's plans.
.PHONY: site
site: $(STAMP) ## Build the documentation as a site into build/site; a broken link or anchor ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'The documentation is in build/site: python3 -m http.server --directory build/site'

.PHONY: minio
minio: ## Build the MinIO that the tests use, when it is absent (five minutes, needs Go)
ifeq ($(wildcard $(MINIO)),)
ifeq ($(HAS_GO),)
	@echo 'WARNING: no Go here, so MinIO cannot be built: tests that need it are skipped. Install Go, or set HOLDFAST_MINIO_BIN.' >&2
else
	@echo 'Building MinIO into $(MINIO_DIR): about five minutes, once.'
	mkdir -p '$(MINIO_DIR)'
	CGO_ENABLED=0 GOBIN='$(MINIO_DIR)' go install -trimpath 'github.com/minio/minio@$(MINIO_VERSION)'
endif
endif

.PHONY: grpcurl
grpcurl: ## Build the grpcurl that runs the recipes of docs/polyglot.md, when it is absent (a minute, needs Go)
ifeq ($(wildcard $(GRPCURL)),)
ifeq ($(HAS_GO),)
	@echo 'WARNING: no Go here, so grpcurl cannot be built: tests that need it are skipped. Install Go, or set HOLDFAST_GRPCURL_BIN.' >&2
else
	@echo 'Building grpcurl into $(GRPCURL_DIR): about a minute, once.'
	mkdir -p '$(GRPCURL_DIR)'
	CGO_ENABLED=0 GOBIN='$(GRPCURL_DIR)' go install -trimpath 'github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)'
endif
endif

# Beside .venv, because what MLflow demands is not to decide what Holdfast is developed against.
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
# Such as ARGS='--rows up-1g,down-1g --scale 0.1'; `make bench ARGS=--help` lists all.
ARGS ?=

.PHONY: bench
bench: $(BENCH_STAMP) minio ## Measure against MLflow, a bare gRPC stream and minio-py (long; ARGS selects)
	@$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

$(BENCH_STAMP): $(STAMP) pyproject.toml $(PROTOS)
	@test -x $(BENCH_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(BENCH_VENV)
	$(BIN)/uv pip install --quiet --python $(BENCH_VENV)/bin/python --reinstall-package holdfast \
	  -e '.[server,sklearn,serve]' 'mlflow>=3.17' boto3
	@touch $@

# Beside .venv for the same reason.
INTEROP_VENV := .venv-interop
INTEROP_STAMP := $(INTEROP_VENV)/.installed

.PHONY: interop
interop: $(INTEROP_STAMP) ## Compare with MLflow itself: the same calls to its stores and to Holdfast, and packages both ways
	HOLDFAST_MLFLOW_PYTHON='$(CURDIR)/$(INTEROP_VENV)/bin/python' $(BIN)/pytest -n $(WORKERS) --dist loadfile tests/interop $(ARGS)

$(INTEROP_STAMP): $(STAMP) pyproject.toml $(PROTOS)
	@test -x $(INTEROP_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(INTEROP_VENV)
	$(BIN)/uv pip install --quiet --python $(INTEROP_VENV)/bin/python --reinstall-package holdfast \
	  -e '.[sklearn,lightgbm]' 'mlflow>=3.17'
	@touch $@

# Beside .venv: atheris has wheels for few platforms, and instruments what it imports.
FUZZ_VENV := .venv-fuzz
FUZZ_STAMP := $(FUZZ_VENV)/.installed

.PHONY: fuzz
fuzz: $(FUZZ_STAMP) ## Fuzz a parser or the whole server with atheris, such as ARGS='filters -max_total_time=60'; without ARGS it lists them
	@$(FUZZ_VENV)/bin/python -m tests.fuzz $(ARGS)

$(FUZZ_STAMP): $(STAMP) pyproject.toml $(PROTOS)
	@test -x $(FUZZ_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(FUZZ_VENV)
	$(BIN)/uv pip install --quiet --python $(FUZZ_VENV)/bin/python --reinstall-package holdfast \
	  -e '.[server,sklearn]' 'atheris>=3.0' hypothesis pytest
	@touch $@

.PHONY: clean
clean: ## Remove the virtual environments, caches, builds and generated stubs; MinIO and grpcurl stay in their caches
	rm -rf $(VENV) $(BENCH_VENV) $(INTEROP_VENV) $(FUZZ_VENV) .fuzz dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f client/python/holdfast/v1/*_pb2*
	@for client in $(CLIENTS); do $(MAKE) -C client/$$client clean; done
	find client server tests protos benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
