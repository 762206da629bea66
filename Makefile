# Every target is safe to run twice. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export UV_PYTHON_DOWNLOADS := never
UV := scripts/uv
RUN := $(UV) run --frozen --no-sync

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

init: ## install what is missing: system packages, uv, and the locked environments
	@scripts/bootstrap
	@$(UV) sync --locked --quiet --compile-bytecode
	@UV_PROJECT_ENVIRONMENT=.envs/operator $(UV) sync --locked --quiet --compile-bytecode --no-default-groups --package modelpress-operator --group test
	@UV_PROJECT_ENVIRONMENT=.envs/server $(UV) sync --locked --quiet --compile-bytecode --no-default-groups --package modelpress-server --group test
	@UV_PROJECT_ENVIRONMENT=.envs/client $(UV) sync --locked --quiet --compile-bytecode --only-group client

check: init ## format, lint, types, import contracts, lock, generated files
	@$(RUN) scripts/stages check

test: init ## all tests
	@$(RUN) scripts/stages test

demo: demo-local ## the main job on real input (at this stage: the local chain)

demo-local: init ## train, pack, unpack, serve and measure a compressed model beside its uncompressed twin
	@$(RUN) python e2e/local/demo.py

crds: init ## write crds/ and docs/api.md from the API types
	@$(RUN) python -m model_operator.api.crd

protos: init ## write the server's protocol stubs from the tensorflow-serving-api wheel
	@$(RUN) python model_server/scripts/generate_protos.py

fmt: init ## format and mend what ruff can mend
	@$(RUN) ruff format --quiet
	@$(RUN) ruff check --fix

clean: ## remove what was built here: environments, caches, demo artifacts
	@rm -rf .venv .envs .uv build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.PHONY: help init check test demo demo-local crds protos fmt clean
