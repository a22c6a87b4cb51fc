# Every target works from a fresh checkout: the environment is created on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup solve compare pareto bench test fuzz lint clean need-problem

help:
	@echo "make setup                       create $(VENV) with everything installed"
	@echo "make solve PROBLEM=W@H [ARGS=..] find the optimal schedule, e.g."
	@echo "                                 make solve PROBLEM=fsrcnn@meta-proto-df ARGS='--objective edp'"
	@echo "make compare PROBLEM=W@H         the optimum beside every policy"
	@echo "make pareto PROBLEM=W@H          the front of energy and latency"
	@echo "make bench [ARGS=..]             time full solves by phase (benchmarks/solve.py)"
	@echo "make test [ARGS=..]              run the tests, on all cores"
	@echo "make fuzz [ARGS='0 1000']       the solver against brute force on random problems"
	@echo "make lint                        ruff check, ruff format --check, mypy"
	@echo "make clean                       remove $(VENV) and caches"

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@echo 'compiling the mapping search (once, some minutes)'
	-timeout 300 $(BIN)/fuseproof solve fsrcnn@meta-proto-df --tiles grid:4x108 --modes fully-cached > /dev/null
	-timeout 100 $(BIN)/fuseproof solve fsrcnn@meta-proto-df --max-depth 1 --time-limit 20 > /dev/null
	@touch $@

need-problem:
	@test -n "$(PROBLEM)" || { \
	    echo "PROBLEM is missing; try: make $(MAKECMDGOALS) PROBLEM=fsrcnn@meta-proto-df" >&2; \
	    exit 2; }

# The command's own exit code (0 optimal, 2 bad input, 3 stopped early, 4 infeasible) is
# printed by make as "Error N"; make itself then ends with 2.
solve: need-problem $(STAMP)
	$(BIN)/fuseproof solve "$(PROBLEM)" $(ARGS)

compare: need-problem $(STAMP)
	$(BIN)/fuseproof compare "$(PROBLEM)" $(ARGS)

pareto: need-problem $(STAMP)
	$(BIN)/fuseproof pareto "$(PROBLEM)" $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/solve.py $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m tests.oracle.fuzz $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
