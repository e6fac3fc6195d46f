# One place for every command. `make help` lists them; `make setup` is run by the others when it is needed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-exhaustive fuzz lint format typecheck bench vectors peers kit lock clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
FUZZ_SECONDS ?= 60
FUZZ_SEED ?=
FUZZ_ROUNDS ?=
PYTEST_FLAGS ?= -n 3 --dist worksteal
CHECKED := bundler trust_root tests scripts

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## virtual environment with locked packages, and the programs that tests use
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh scripts/setup.sh

demo: setup ## export, carry, verify; then tamper and see it refused
	@$(RUN) scripts/demo.py

test: setup ## all tests but the exhaustive ones
	$(RUN) -m pytest $(PYTEST_FLAGS) -m 'not exhaustive'

test-exhaustive: setup ## every bit and every byte: takes long
	$(RUN) -m pytest $(PYTEST_FLAGS) -m exhaustive

fuzz: setup ## what reads hostile bytes, FUZZ_SECONDS long [60], from FUZZ_SEED [random]
	$(RUN) -m scripts.fuzz --seconds $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) $(if $(FUZZ_ROUNDS),--rounds $(FUZZ_ROUNDS))

lint: setup ## style and layout, nothing is changed
	$(RUN) -m ruff check $(CHECKED)
	$(RUN) -m ruff format --check $(CHECKED)

format: setup ## lay the code out
	$(RUN) -m ruff check --fix $(CHECKED)
	$(RUN) -m ruff format $(CHECKED)

typecheck: setup ## mypy, strict
	$(RUN) -m mypy

bench: setup ## figures against the budgets, as a table and as JSON in bench-out/
	$(RUN) -m scripts.bench

vectors: setup ## make the good and bad inputs under tests/vectors again
	$(RUN) scripts/make_vectors.py

peers: ## other registry clients, to compare with (optional; needs Go, takes long)
	@sh scripts/peers.sh

kit: setup ## dist/sealift-<version>-kit.tar, for a site without a network
	$(RUN) scripts/make_kit.py

lock: setup ## pin the newest dependencies again (see CONTRIBUTING.md)
	$(RUN) scripts/lock.py

clean: ## remove what the other commands made
	rm -rf $(VENV) .peers build dist demo-out bench-out .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +
