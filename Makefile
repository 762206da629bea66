# Every target is safe to run twice. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export UV_PYTHON_DOWNLOADS := never
UV := scripts/uv
RUN := $(UV) run --frozen --no-sync
STATE ?= build/cluster

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z0-9-]+):.*## /  \1\t/' | expand -t 18

init: ## install what is missing: system packages, uv, and the locked environments
	@scripts/bootstrap
	@$(UV) sync --locked --quiet --compile-bytecode
	@UV_PROJECT_ENVIRONMENT=.envs/operator $(UV) sync --locked --quiet --compile-bytecode --no-default-groups --package modelpress-operator --extra tracing --group test
	@UV_PROJECT_ENVIRONMENT=.envs/server $(UV) sync --locked --quiet --compile-bytecode --no-default-groups --package modelpress-server --group test
	@UV_PROJECT_ENVIRONMENT=.envs/client $(UV) sync --locked --quiet --compile-bytecode --only-group client
	@UV_PROJECT_ENVIRONMENT=.envs/signing $(UV) sync --locked --quiet --compile-bytecode --only-group signing
	@UV_PROJECT_ENVIRONMENT=.envs/jax $(UV) sync --locked --quiet --compile-bytecode --only-group jax

check: init ## format, lint, types, import contracts, lock, generated files
	@$(RUN) scripts/stages check

test: init ## all tests
	@scripts/bootstrap node
	@$(RUN) scripts/stages test

demo: init ## the main job on real input: a node, the operator, compressed models served, scaled and measured
	@scripts/bootstrap node
	@PYTHONPATH=e2e $(RUN) python -m demo_cluster --state $(STATE)

demo-local: init ## train, pack, unpack, serve and measure a compressed model beside its uncompressed twin
	@PYTHONPATH=e2e $(RUN) python e2e/local/demo.py

cluster: init ## a real Kubernetes node on this machine, or heal it (STATE=folder: another; CLUSTER=current: kubectl's)
	@$(if $(CLUSTER),,scripts/bootstrap node)
	@PYTHONPATH=e2e $(RUN) python -m cluster up --state $(STATE) --use "$(CLUSTER)"

cluster-status: init ## how the node is; fails when a component does not run
	@PYTHONPATH=e2e $(RUN) python -m cluster status --state $(STATE)

cluster-down: init ## end the node and remove every trace of it
	@PYTHONPATH=e2e $(RUN) python -m cluster down --state $(STATE)

clean-room: ## the README's two commands on a fresh Debian with empty caches; seconds and bytes by stage
	@scripts/clean-room

images: init ## container images into archives, or with PUSH=registry/prefix into a registry
	@scripts/bootstrap node
	@PYTHONPATH=e2e $(RUN) python -m images $(if $(PUSH),--push $(PUSH))

bench-artifact: init ## the artifact's size, speed and memory beside zlib, xz, zstd, zopfli, libdeflate and the ISO coder
	@$(UV) venv --quiet --allow-existing build/rivals
	@$(UV) pip install --quiet --python build/rivals/bin/python deflate==0.9.0 zopfli==0.4.3 zstandard==0.25.0 numpy==1.26.4
	@$(UV) pip install --quiet --python build/rivals/bin/python --no-deps nncodec==2.1.3
	@$(RUN) python e2e/bench/artifact_sizes.py
	@$(RUN) python e2e/bench/artifact_memory.py

fuzz-artifact: init ## a million hostile artifacts by atheris
	@$(UV) venv --quiet --allow-existing build/fuzz
	@$(UV) pip install --quiet --python build/fuzz/bin/python atheris==3.0.0 numpy pydantic flatbuffers tflite
	@PYTHONPATH=model_artifact/src build/fuzz/bin/python model_artifact/fuzz/fuzz_unpack.py --runs $(or $(RUNS),1000000)

bench-server: init ## the server beside TensorFlow, LiteRT and OpenVINO: latency, CPU, memory, saturation, cold start
	@PYTHONPATH=e2e $(RUN) python e2e/bench/server.py

e2e-load: init ## the paper's load experiment on the embedded node: build/e2e-load/results.json and its report (ARGS=--short: minutes)
	@scripts/bootstrap node
	@PYTHONPATH=e2e $(RUN) python -m load.experiment run --state $(STATE) --report $(ARGS)

bench-operator: init ## the operator with many models (MODELS=1000) beside a bare loop of the same writes
	@PYTHONPATH=e2e:e2e/apiserver $(RUN) python -m bench.operator_scale --models $(or $(MODELS),1000)

nightly: init ## what takes longer than a test may: every test on JAX, the server under 200,000 requests of every kind
	@$(RUN) scripts/stages nightly

fuzz-server: init ## a million altered requests to the server's parsers by atheris
	@$(UV) venv --quiet --allow-existing build/fuzz-server
	@$(UV) pip install --quiet --python build/fuzz-server/bin/python atheris==3.0.0 ai-edge-litert grpcio 'protobuf>=7.35.1' pydantic pysimdjson numpy httptools typing-extensions flatbuffers
	@PYTHONPATH=model_server/src:model_artifact/src build/fuzz-server/bin/python model_server/fuzz/fuzz_parsers.py --runs $(or $(RUNS),1000000)

bench-training: init ## step time with and without prune-then-quantise (KERAS_BACKEND=jax: on JAX)
	@PYTHONPATH=e2e $(RUN) python e2e/bench/training.py

gpu-bundle: init ## what a machine with JAX and no network needs to train, in build/gpu (DATA=folder, or MODELPRESS_DATA)
	@$(RUN) scripts/gpu-bundle $(if $(DATA),--data "$(DATA)")

crds: init ## write crds/ and docs/api.md from the API types
	@$(RUN) python -m model_operator.api.crd

protos: init ## write the server's protocol stubs from the tensorflow-serving-api wheel
	@$(RUN) python model_server/scripts/generate_protos.py

fmt: init ## format and mend what ruff can mend
	@$(RUN) ruff format --quiet
	@$(RUN) ruff check --fix

clean: ## remove what was built here: environments, caches, demo artifacts
	@left=$$(ls -d build/*/pids/* $(STATE)/pids/* 2>/dev/null | head -n 1) || true; if [ -n "$$left" ]; then \
	  echo "make clean: the node of $${left%/pids/*} was not ended; make cluster-down STATE=$${left%/pids/*}" >&2; exit 1; fi
	@rm -rf --one-file-system .venv .envs .uv build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.PHONY: e2e-load bench-artifact bench-operator bench-server fuzz-server nightly bench-training fuzz-artifact gpu-bundle clean-room help init check test cluster cluster-status cluster-down demo demo-local images crds protos fmt clean
