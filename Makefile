# The only commands: run test quick check models loadtest bench gpu-report docs. Each sets up all that it needs.
SHELL := /bin/bash
PYTHON ?= python3
SERVE := .venv/bin/python
DEV := .venv-dev/bin/python
# What the load test measures: the family that `make models` built, or the shipped one.
REGISTRY ?= $(firstword $(wildcard build/registry) models/registry)
SCENARIO ?=
# Where `make bench` runs the engine: cpu | cuda (then with the gpu extra installed).
DEVICE ?= cpu
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test quick check models loadtest bench gpu-report docs

run: .venv/installed
	@$(SERVE) -m serving

# All of it: first on all cores, then what measures load and needs them for itself.
test: .venv-dev/installed .venv-clients/installed
	@$(DEV) -m pytest --numprocesses auto --dist loadgroup -m 'not alone'
	@$(DEV) -m pytest -m alone

# What reaches no other process, no server and no PyTorch: the inner loop.
quick: .venv-dev/installed
	@$(DEV) -m pytest --numprocesses auto --dist loadgroup -m 'not slow'

check: .venv-dev/installed
	@$(DEV) -m ruff check . && $(DEV) -m ruff format --check . && $(DEV) -m mypy
	@$(DEV) -m tests.support.supply_chain

models: .venv-dev/installed
	@$(DEV) -m models all

loadtest: .venv-dev/installed
	@$(DEV) -m loadtest run $(SCENARIO) --registry $(REGISTRY)

bench: .venv-dev/installed
	@$(DEV) -m tests.benchmarks.bench --device $(DEVICE)

# REGISTRY counts only where it is given: the program has its own default.
gpu-report: .venv-gpu/installed
	@.venv-gpu/bin/python -m tests.benchmarks.gpu_report $(if $(filter file,$(origin REGISTRY)),,--registry $(REGISTRY))

# A broken link or anchor fails; --quiet would hide it from --strict. Material's notice is about its successor, and says nothing of the site.
docs: .venv-docs/installed .venv-dev/installed
	@$(DEV) -m tests.support.screenshots
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict
	@echo "The site is in build/site. To read it, run"
	@echo "  python3 -m http.server --directory build/site --bind 127.0.0.1 8080"
	@echo "and open http://127.0.0.1:8080"

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing the server into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install $(PIP_FLAGS) --editable '.[cpu,signing]'
	@touch $@

# The reference is made from the code, so the server is installed as well.
.venv-docs/installed: pyproject.toml constraints.txt
	@echo "Installing the server and the documentation's tools into .venv-docs"
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/pip install $(PIP_FLAGS) --editable '.[cpu,docs]'
	@touch $@

# The two builds of ONNX Runtime overwrite each other, so that CUDA has an environment of its own.
.venv-gpu/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2>/dev/null || { \
		echo "libcuda.so.1 is missing: install NVIDIA's driver, 580 or newer, before make gpu-report" >&2; exit 2; }
	@echo "Installing the server for CUDA and the tools that measure it into .venv-gpu"
	@$(PYTHON) -m venv .venv-gpu
	@.venv-gpu/bin/pip install $(PIP_FLAGS) --editable '.[gpu,loadtest,dev]' onnx-ir
	@touch $@

# Clients of other languages are Debian's packages, which only root can install.
.venv-clients/installed: tests/support/clients.txt
	@echo "Installing the clients' libraries into .venv-clients"
	@{ command -v javac && command -v node && command -v go && command -v curl; } >/dev/null || \
		test "$$(id -u)" != 0 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq \
		--no-install-recommends default-jdk-headless nodejs golang-go curl; } >/dev/null
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/pip install --quiet --disable-pip-version-check --requirement tests/support/clients.txt
	@touch $@

# torch first and pinned, so that a CPU build that lies on the disk is taken. Prometheus scrapes and
# checks rules in the tests, and Chromium shows the pages; neither is a Python package, and only root
# can install Debian's.
.venv-dev/installed: pyproject.toml constraints.txt
	@echo "Installing the server, the models' and the load test's tools into .venv-dev"
	@{ command -v promtool && command -v chromedriver; } >/dev/null || test "$$(id -u)" != 0 || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
		prometheus chromium chromium-driver; } >/dev/null
	@$(PYTHON) -m venv .venv-dev
	@.venv-dev/bin/pip install $(PIP_FLAGS) torch==2.13.0
	@.venv-dev/bin/pip install $(PIP_FLAGS) --editable '.[cpu,fetch,grpc,signing,tracing,models,loadtest,docs,dev]'
	@touch $@
