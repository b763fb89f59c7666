# Everything runs in .venv, made on first use. `make demo` and `make test` need nothing else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# `make peers PEERS=peers-torch` adds PyTorch, a download of 2.6 GB; ARGS goes to the command.
PEERS ?= peers
ARGS ?=

.PHONY: demo test test-slow lint format bench validity constraints clean peers

demo: $(READY)  ## run the shipped grid and draw its report
	$(BIN)/python -m pgbench run grid.yaml

test: $(READY)  ## the whole ordinary suite
	$(BIN)/python -m pytest

test-slow: $(READY)  ## the longer checks
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## benchmarks of the last two commits; see benchmarks/README.md
	$(BIN)/asv machine --yes
	$(BIN)/asv run --skip-existing HEAD~2..HEAD

peers: .venv-peers/.ready-$(PEERS)  ## beside C, JAX, NumPy, Gymnasium; see benchmarks/peers/README.md
	.venv-peers/bin/python -m benchmarks.peers $(ARGS)

validity: $(READY)  ## how often intervals cover and tests raise false alarms; a quarter of an hour
	$(BIN)/python -m pgbench.validity --output docs/validity.md

constraints: $(READY)  ## write down the versions that are installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude pgbench > constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

.venv-peers/.ready-$(PEERS): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(PEERS)]'
	touch $@

clean:
	rm -rf .venv .venv-peers .asv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
