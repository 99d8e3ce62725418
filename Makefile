# Everything is done by dev/river.py; `make help` lists it.
PYTHON ?= python3
PORT ?= 7400
SECONDS ?= 60
MINUTES ?= 30
LOAD ?= 60
SOAK_PORT ?= 7700
RIVER = $(PYTHON) dev/river.py
comma = ,

.PHONY: help run cluster stop stores test test-sdks test-api lint crash faults faults-mutants fuzz soak bench-ingest bench-processor bench-pipeline bench-catch-up bench-ids clean

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

test: ## formatting, lints, all tests against real stores, and a short run of the fuzz targets
	@$(RIVER) test

test-sdks: ## SDKs for Node, Go and browsers against a running weir; needs node, npm, go and chromium
	@$(RIVER) test-sdks

test-api: ## the admin API against docs/openapi.json: linted, then fuzzed as two tenants and an operator; SECONDS=200
	@$(RIVER) test-api $(if $(filter-out file,$(origin SECONDS)),--seconds $(SECONDS))

lint: ## formatting and lints
	@$(RIVER) lint

crash: ## of the faults, kill -9 alone: SHAPE=run|cluster SEED=1
	@$(RIVER) faults --fault kill- --shape $(or $(SHAPE),run) $(if $(SEED),--seed $(SEED))

faults: ## every fault once under load, and what must hold after it, as a table: SEED=1 SHAPE=run|disk|cluster FAULT=name,...
	@$(RIVER) faults $(if $(SEED),--seed $(SEED)) $(if $(SHAPE),--shape $(SHAPE)) $(if $(FAULT),--fault $(FAULT)) $(if $(MUTANT),--mutant $(MUTANT))

faults-mutants: ## the same with rules broken on purpose: each must be caught; MUTANT=name,... SEED=1
	@$(RIVER) faults $(if $(SEED),--seed $(SEED)) --mutant $(or $(MUTANT),all)

fuzz: ## libFuzzer on TARGET=body, decompressor, frame, key, header or evidence for SECONDS=60; MERGE=1 renews its corpus
	@$(RIVER) fuzz $(TARGET) --seconds $(SECONDS) $(if $(MERGE),--merge)

bench-ingest: ## CPU per event of `weir ingest` on a real Kafka, next to three floors of the same run; eight minutes
	@$(RIVER) bench-ingest

bench-ids: ## looking up seen ids at 1, 10 and 50 million held, and filling a lost store from ClickHouse; five minutes, 5 GB
	@$(RIVER) test -- cargo bench -p processor --bench ids

bench-processor: ## CPU per event of `weir processor`, next to ClickHouse's client with the same rows; LOG=kafka
	@$(RIVER) bench-processor --log $(or $(LOG),local)

bench-pipeline: ## the rate at which events go from HTTP to rows and usage within 2 s: SHAPE=run or cluster; ten minutes for both
	@$(RIVER) bench-pipeline --shapes $(or $(SHAPE),run$(comma)cluster)

bench-catch-up: ## ten million events wait in the log: how long does the processor take, does it grow? LOG=kafka; two minutes
	@$(RIVER) bench-catch-up --log $(or $(LOG),local)

soak: ## steady load for MINUTES=30 at LOAD=60 % of what the river sustains: does anything grow? SHAPE=cluster SOAK_PORT=7700
	@$(RIVER) soak --shape $(or $(SHAPE),cluster) --minutes $(MINUTES) --load $(LOAD) --port $(SOAK_PORT)

clean: ## deletes all data, downloads and builds
	@$(RIVER) clean
