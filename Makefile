# The commands of the project. `make` lists them.
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= config/serve.yaml
comma := ,

# `auto` installs what the settings need and takes nothing away; cpu, gpu, cpu,pytorch, gpu,pytorch and cpu,batch do exactly that.
EXTRAS ?= auto

# What stands before Serve's own HTTP: deployments/load_shedder.py. Empty leaves it out.
export RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH ?= deployments.load_shedder.open_load_shedder
# glibc keeps memory for every thread that has ever needed some, in processes with dozens of them.
export MALLOC_ARENA_MAX ?= 1
# Ray sends no usage report: docs/security.md, "What leaves the machine".
export RAY_USAGE_STATS_ENABLED ?= 0
# Fewer series of Ray's own, whose agent takes long to write them out: docs/operations.md, "What metrics cost".
export RAY_metric_cardinality_level ?= low
export RAY_SERVE_COMPACT_LONG_POLL_METRIC_TAGS ?= 1
export RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS ?= 20,100,500,2000,10000,60000
export RAY_SERVE_REPLICA_STARTUP_SHUTDOWN_LATENCY_BUCKETS_MS ?= 1000,5000,20000,60000

.PHONY: help serve status preflight install test test-server test-all fuzz soak lint types warm lock

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Ray binds its ports to 127.0.0.1: a cluster of one node needs no others (docs/security.md, "What listens").
serve: export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER ?= 0
serve: install  ## run the server on http://127.0.0.1:5000 (SAM_MODEL_TYPE=demo needs no download)
	@$(BIN)/python -m segmentation.preflight --config $(CONFIG) --download
	$(BIN)/python -m deployments.run --address local $(CONFIG)

status:  ## what Ray Serve says of the server that runs on this machine
	@RAY_AUTH_MODE=token $(BIN)/serve status

preflight: install  ## say what the server would run, without starting it
	@$(BIN)/python -m segmentation.preflight --config $(CONFIG)

install:  ## set up .venv for the server (EXTRAS=cpu|gpu[,pytorch] for exactly that)
	@scripts/install $(subst $(comma),-,$(EXTRAS)) $(CONFIG)

test: dev  ## lint, types and every test but the long forms
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint warm
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not slow and not ray and not browser"
	@$(MAKE) --no-print-directory -j2 --output-sync=target types test-server

test-server:  # tests on a real server, one after the other: they share it
	$(BIN)/python -m pytest -m "not slow and (ray or browser)"

test-all: test  ## the long forms too
	$(BIN)/python -m pytest -m slow --timeout 0

warm: dev  # numba's kernels, once instead of in every process of the tests
	@$(BIN)/python -c "from segmentation.warmup import warm_up; warm_up()"

.PHONY: test-clients
test-clients: dev  ## real annotation tools' clients, installed into .clients/, against a real server
	$(BIN)/python scripts/record_clients

fuzz: dev  ## 5,000 requests made from /openapi.json, then ten minutes of broken files and bodies for every decoder
	FUZZ_CASES=5000 FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/fuzz --timeout 0

soak: dev  ## an hour of deaths, load and attacks on a real server: 20 replicas killed, a node, 20,000 prompts, 60 attacks
	$(BIN)/python -m benchmarks.load kills ingress node overload soak
	$(BIN)/python -m benchmarks.load_attacks

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@scripts/check_page

types: dev
	$(BIN)/mypy

.PHONY: dev
dev:  ## set up .venv for work on the project
	@scripts/install dev

LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock" --upgrade

lock:  ## renew the pinned, hashed requirements (needs uv)
	$(LOCK) --extra cpu pyproject.toml -o requirements/cpu.txt
	$(LOCK) --extra gpu pyproject.toml -o requirements/gpu.txt
	$(LOCK) --extra cpu --extra pytorch pyproject.toml -o requirements/cpu-pytorch.txt
	$(LOCK) --extra gpu --extra pytorch pyproject.toml -o requirements/gpu-pytorch.txt
	$(LOCK) --extra cpu --extra batch pyproject.toml -o requirements/cpu-batch.txt
	$(LOCK) --extra cpu --extra pytorch --extra batch --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) requirements/uv.in -o requirements/uv.txt
