# What a newcomer does. Needs Python 3.11 or newer; `make PYTHON=python3.12`
# chooses one, `make VENV=/elsewhere` another place for the environment.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= data,eval,dev
TESTS ?= tests

INSTALLED := $(VENV)/.installed
RUN := $(VENV)/bin/python -m

.PHONY: install quickstart test gpu lint clean

# What the others need, alone.
install: $(INSTALLED)

# One small capture, from low-resolution photos to a finer scene.
quickstart: $(INSTALLED)
	$(RUN) experiments.super_resolve \
	  --config=configs/quickstart.py --workdir=runs/quickstart

# Everything that runs on a CPU; `make test TESTS=tests/io` runs a part.
test: $(INSTALLED)
	$(RUN) pytest --numprocesses=auto --durations=20 $(TESTS)

# On a machine with an NVIDIA GPU and CUDA's nvcc, which builds gsplat: the tests
# of the device and the times, kept in runs/gpu. It has an environment of its own.
gpu:
	$(MAKE) VENV=.venv-gpu EXTRAS=eval,dev,cuda .venv-gpu/.installed
	.ci/gpu .venv-gpu/bin/python runs/gpu

lint: $(INSTALLED)
	$(RUN) ruff check .
	$(RUN) ruff format --check .

# What can be made again; never results (runs/) or the environment.
clean:
	rm -rf build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The stamp lies inside the environment, so a new one is filled anew. One whose
# Python is gone or too old is made again; a good one is only brought up to date.
# uv installs what uv.lock says; where it is missing or fails, pip resolves.
NATIVE := $(wildcard kernels/native/* kernels/*/cpu/*)
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
$(INSTALLED): setup.py pyproject.toml $(wildcard uv.lock) $(NATIVE)
	@$(PYTHON) -c '$(RECENT)' || \
	  { echo '$(PYTHON) is missing or older than 3.11: try PYTHON=python3.12'; \
	    exit 1; }
	@$(VENV)/bin/python -c '$(RECENT)' 2>/dev/null || \
	  $(PYTHON) -m venv --clear $(VENV)
	@echo 'installing into $(VENV)'
	@UV_PROJECT_ENVIRONMENT=$(VENV) uv sync --frozen --inexact --quiet \
	  $(foreach extra,$(subst $(comma), ,$(EXTRAS)),--extra $(extra)) || { \
	  echo 'uv is missing or failed: pip takes what setup.py allows, not uv.lock'; \
	  $(VENV)/bin/python -m pip install --quiet --editable '.[$(EXTRAS)]'; }
	@touch $@

comma := ,
