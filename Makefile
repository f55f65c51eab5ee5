# The whole project in a handful of commands; `make help` lists them.
# Each one does all of its own set-up: git, python3, make and a C toolchain are enough to begin.

PY    ?= python3
VENV  ?= .venv
BIN   := $(VENV)/bin
PORT  ?= 8000
RELAY ?=

FUZZ_SECONDS ?= 600
SOAK_KILLS   ?= 1000
SOAK_FRAMES  ?= 1000000
SOAK_SECONDS ?= 600
BENCHES      ?= library uploads firehose flood latency lens_paths search_peer search search_load
# Of the made index that searches are measured on. Their goals are those for 1000000.
BENCH_DATASETS ?= 50000

.PHONY: help run test lint unit faults fuzz soak bench devnet demo lock clean

help: ## What there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

# One virtual environment; a stamp for each pinned set of packages that is in it.
$(BIN)/python:
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PY=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PY) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

# Another recording is another network: its index has another name.
DEMO := $(shell cksum recordings/demo/manifest.json | cut -d" " -f1)

run: $(VENV)/.run ## The node on the bundled recording: page and API on http://127.0.0.1:$(PORT). RELAY=wss://… follows a live relay
	@$(BIN)/atdata serve --port $(PORT) $(if $(RELAY),--db .run/live.duckdb --source $(RELAY),--db .run/demo-$(DEMO)-$(PORT).duckdb --recording recordings/demo --dev)

test: lint unit ## Everything this machine can run; what it leaves out is named with the reason

lint: $(VENV)/.dev ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/.dev ## The tests alone
	$(BIN)/pytest $(PYTEST_ARGS)

faults: $(VENV)/.dev ## The faults that the indexer survives, one line each
	ATDATA_FLOOD_COMMITS=100000 $(BIN)/python -m tests.faults.table

fuzz: $(VENV)/.dev ## Coverage-guided fuzzing of a frame's path, for FUZZ_SECONDS
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --corpus .run/fuzz

soak: $(VENV)/.dev ## SOAK_KILLS kills at random points, and SOAK_FRAMES malformed frames
	$(BIN)/python -m tests.soak --kills $(SOAK_KILLS) --frames $(SOAK_FRAMES)
	$(BIN)/python -m tests.scenarios.two_pdses --seconds $(SOAK_SECONDS)

bench: $(VENV)/.dev ## What reading, following and searching cost; searches on BENCH_DATASETS made ones
	@rm -rf .run/bench; failed=; for part in $(BENCHES); do \
	  case $$part in search*) size="--datasets $(BENCH_DATASETS) --index .run/bench";; *) size=;; esac; \
	  echo "== $$part"; $(BIN)/python -m tests.bench.$$part $$size || failed="$$failed $$part"; \
	done; rm -rf .run/bench; [ -z "$$failed" ] || { echo "goals missed in:$$failed"; exit 1; }

devnet: $(VENV)/.run ## A real PLC and two real PDSes on loopback, until ^C
	$(BIN)/python deploy/devnet/devnet.py

demo: $(VENV)/.dev ## Make recordings/demo again, on the devnet
	$(BIN)/python -m recordings.make_demo

lock: ## Pin all dependencies anew (needs uv)
	for extra in run dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --extra $$( [ $$extra = run ] && echo all || echo dev ) \
	    $$( [ $$extra = run ] && echo --constraint requirements/dev.lock ) \
	    pyproject.toml requirements/build.in --output-file requirements/$$extra.lock; \
	done

clean: ## Remove what the other commands made (not recordings)
	rm -rf $(VENV) .run build dist *.egg-info deploy/devnet/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
