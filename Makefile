# Everything but the bench is done by dev/river.py; `make help` lists it.
PYTHON ?= python3
PORT ?= 7400
SHAPE ?= run
ROUNDS ?= 20
CRASH_PORT ?= 7600
RIVER = $(PYTHON) dev/river.py

.PHONY: help run cluster stop stores test test-sdks lint crash bench-ingest clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## weir as one process with Postgres and ClickHouse, until Ctrl-C; PORT=8000 moves every port
	@$(RIVER) run --port $(PORT)

cluster: ## the same as separate processes, with Kafka and Redis
	@$(RIVER) cluster --port $(PORT)

stop: ## ends `make run` or `make cluster` from another shell
	@$(RIVER) stop

stores: ## only stores, for running single tests
	@$(RIVER) stores

test: ## formatting, lints and all tests against real stores
	@$(RIVER) test

test-sdks: ## SDKs for Node, Go and browsers against a running weir; needs node, npm, go and chromium
	@$(RIVER) test-sdks

lint: ## formatting and lints
	@$(RIVER) lint

crash: ## kill -9 of everything under load, beside `make run`: SHAPE=cluster ROUNDS=20 SEED=1 CRASH_PORT=7600
	@$(RIVER) crash --shape $(SHAPE) --rounds $(ROUNDS) --port $(CRASH_PORT) $(if $(SEED),--seed $(SEED))

bench-ingest: ## CPU per event of `weir ingest` on a real Kafka, beside three floors of the same run; eight minutes
	@$(PYTHON) dev/bench_ingest.py

clean: ## deletes all data, downloads and builds
	@$(RIVER) clean
