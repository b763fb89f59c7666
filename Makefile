# Everything runs in .venv, made on first use. `make demo` and `make test` need nothing else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

PEERS := .venv-peers
AUTODIFF := .venv-autodiff
AUDIT := .venv-audit

# Libraries that pin versions of what they do not need here.
APART := agilerl agilerl-arena coax garage openrlhf rllte-core verl

# Which CUDA the driver supports: cuda12 or cuda13.
CUDA ?= cuda12
GPU := .venv-$(CUDA)

.PHONY: demo test check-estimator test-slow faults mutations test-autodiff audit test-audit gpu-test gpu-bench gpu-code docs lint format package bench trend peers validity zoo constraints clean

demo: $(READY)  ## run the shipped grid and draw its report
	$(BIN)/python -m pgbench run grid.yaml

test: $(READY)  ## the whole ordinary suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

check-estimator: $(READY)  ## what a new estimator must pass, in seconds: NAME=quarter_baseline
	$(BIN)/python -m pytest -q --estimator=$(NAME) tests/estimators tests/cli/test_catalogue.py tests/test_readme.py

test-slow: $(READY)  ## the longer checks
	$(BIN)/python -m pytest -m slow

faults: $(READY)  ## runs that are killed, refused and damaged: docs/reliability.md; as root also full disks
	$(BIN)/python -m tests.faults --output docs/reliability.md

mutations: $(READY)  ## small mistakes in a copy of the package, and which test sees each
	$(BIN)/python -m tests.mutations

test-autodiff: $(AUTODIFF)/.ready  ## what is in PyTorch and JAX: examples, policies; some GB to install
	$(AUTODIFF)/bin/python -m pytest tests/trials/test_examples.py tests/policies/autodiff tests/functions tests/trials/continuous/test_verdicts.py -rs -m "not gpu"

audit: $(AUDIT)/.ready  ## functions of other libraries, judged: docs/audit.md; some GB to install
	$(AUDIT)/bin/python -m pgbench audit --page docs/audit.md --output audit.json

test-audit: $(AUDIT)/.ready  ## those of them whose verdict theory knows
	$(AUDIT)/bin/python -m pytest tests/test_audits.py -rs

gpu-test: $(GPU)/.ready  ## the GPU back end on a GPU; CUDA=cuda12 or CUDA=cuda13
	PGBENCH_TEST_GPU=hardware $(GPU)/bin/python -m pytest tests/kernels/cuda -m "not slow"

gpu-bench: $(GPU)/.ready  ## a GPU against the CPU and JAX; CUDA=cuda12 or CUDA=cuda13
	$(GPU)/bin/python -m pip install --quiet 'jax[$(CUDA)]'
	$(GPU)/bin/python -m benchmarks.gpu_limits
	$(GPU)/bin/python -m benchmarks.gpu_race

gpu-code: $(GPU)/.ready  ## what CUDA's compiler makes of the kernels; needs no GPU
	$(GPU)/bin/python -m benchmarks.gpu_code
	$(GPU)/bin/python -m pytest tests/kernels/cuda/test_code.py -m gpu

docs: $(READY)  ## the site, in build/site; its notebooks are run on the way
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

lint: $(READY)  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

package: $(READY)  ## what a user installs, tried outside the tree; it is left in dist/
	$(BIN)/python -m tests.package

# What says most in five minutes for two revisions; everything takes nine.
BENCH := rollouts.*track|estimates.Estimators|exact|groups|linear_quadratic|startup.(Imports|Help|First)|work

bench: $(READY)  ## the last commit against the one before; all of it: benchmarks/README.md
	$(BIN)/asv machine --yes
	$(BIN)/asv run --skip-existing --bench '$(BENCH)' HEAD~2..HEAD
	$(BIN)/asv compare --only-changed HEAD~1 HEAD

trend: $(READY)  ## draw the gallery's trend from the benchmarks of all revisions so far
	$(BIN)/python -m benchmarks.trend --output reports/gallery/trend/trend.png

peers: $(PEERS)/.ready  ## side by side with C, JAX, PyTorch, NumPy, Gymnasium; some GB to install
	$(PEERS)/bin/python -m benchmarks.peers

validity: $(READY)  ## how often intervals cover and tests raise false alarms; twenty minutes on two cores
	$(BIN)/python -m pgbench.trials.validity --workers 2 --output docs/validity.md

zoo: $(READY)  ## how surely wrong estimators are found: docs/zoo.md; twelve minutes on two cores
	$(BIN)/python -m pgbench zoo --repeats 10 --workers 2 --output docs/zoo.md

constraints: $(READY)  ## write down the versions that are installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude pgbench > constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

$(PEERS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]'
	touch $@

$(AUTODIFF)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(AUTODIFF)
	$(AUTODIFF)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[autodiff,test]'
	touch $@

$(AUDIT)/.ready: pyproject.toml
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --editable '.[audit,test]'
	$(AUDIT)/bin/python -m pip install --quiet --no-deps $(APART)
	touch $@

# The extras need other versions of CUDA's bindings than the constraints name.
$(GPU)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(GPU)
	grep -v '^cuda-' constraints.txt > $(GPU)/constraints.txt
	$(GPU)/bin/python -m pip install --quiet --constraint $(GPU)/constraints.txt --editable '.[dev,$(CUDA)]'
	touch $@

clean:
	rm -rf .venv .venv-cuda12 .venv-cuda13 .venv-peers .venv-autodiff .venv-audit .asv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
