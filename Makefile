# make run    demo data, training, private Valkey, service on 127.0.0.1:8000
# make test   every test; make lint  ruff and mypy; make format  rewrite the code's layout
# make test-redis   the tests of the event store on redis-server, where there is one
# make run GPU=1   the same with faiss-gpu and a CUDA build of torch, in an environment of its own

SHELL := /bin/bash
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
HOME_FOLDER ?= var

ifdef GPU
VENV := .venv-gpu
SERVICE := service-gpu
# "===" leaves out local builds such as +cpu: the plain release for Linux is the CUDA one.
TORCH := torch===2.13.0
else
VENV := .venv
SERVICE := service
TORCH := torch==2.13.0
endif
BIN := $(VENV)/bin
# As many tests at once as there are cores; WORKERS=0 runs one after the other.
WORKERS ?= logical
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal

.PHONY: run test test-redis lint format clean
.DELETE_ON_ERROR:

run: $(VENV)/.run
	@$(BIN)/mutualrec demo --home $(HOME_FOLDER)

# Each worker computes with one thread, and one that waits leaves the core to another.
test test-redis: export OMP_NUM_THREADS := 1
test test-redis: export OMP_WAIT_POLICY := PASSIVE

test: $(VENV)/.dev
	$(PYTEST)

test-redis: $(VENV)/.dev
	@if command -v redis-server > /dev/null; then \
		TEST_SERVER=redis $(PYTEST) -m "store and not slow and not any_server"; \
	else \
		echo "this machine has no redis-server: the tests ran on Valkey alone"; \
	fi

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Python compiles what is imported, a third of what is installed, when it is imported first.
INSTALL := $(BIN)/pip install --quiet --no-compile -c constraints.txt '$(TORCH)'

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) -e '.[$(SERVICE),training]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) -e '.[$(SERVICE),training,dev]'
	@touch $(VENV)/.run $@

clean:
	rm -rf .venv .venv-gpu build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
