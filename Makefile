# Two commands do all the set-up: `make demo` and `make test`.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
DIR ?= demo
# Where programs built for the tests (opa, etcd, kube-apiserver) are cached; they survive `make clean`.
export GUARDIAN_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/guardian-tools
UV_VERSION := 0.13.9
# Two workers, each with servers of its own; a file stays with one of them.
PYTEST := $(VENV)/bin/pytest -n 2 --dist loadfile

.PHONY: help demo demo-cluster test test-slow test-faults bench check clean bundle fix

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv where there is one; else pip brings the pinned uv into the environment, so that both install exactly uv.lock.
$(VENV)/.installed: pyproject.toml uv.lock
	@if command -v uv >/dev/null 2>&1; then \
	  echo "==> installing Guardian into $(VENV) (uv)"; \
	  UV_PROJECT_ENVIRONMENT=$(VENV) uv sync --frozen --extra embedded; \
	else \
	  echo "==> installing Guardian into $(VENV) (pip)"; \
	  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Guardian needs Python 3.11 or newer; python3 here is $$(python3 --version)" >&2; exit 2; }; \
	  test -x $(PY) || python3 -m venv $(VENV) || exit 2; \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null || exit 2; \
	  $(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) && \
	  UV_PROJECT_ENVIRONMENT=$(VENV) $(VENV)/bin/uv sync --frozen --inexact --extra embedded; \
	fi
	@touch $@

demo: $(VENV)/.installed  ## the whole loop on embedded defaults, in $(DIR); SERVE=1 then serves the console on it
	@$(VENV)/bin/guardian demo --dir $(DIR) $(if $(SERVE),--serve)

demo-cluster: $(VENV)/.installed  ## the cluster side on a real API server, in DIR=demo-cluster
	@echo "==> servers: etcd, kube-apiserver (built once, kept in $(GUARDIAN_TOOLS); needs Go, or takes its wheel)"
	@$(PY) tests/tools/build.py etcd kube-apiserver >/dev/null
	@$(PY) -m tests.demo_cluster --dir $(if $(filter file,$(origin DIR)),demo-cluster,$(DIR))

test: $(VENV)/.installed  ## unit, contract, integration and end-to-end tests; builds real servers once
	@echo "==> servers the tests run against: opa, etcd, kube-apiserver (built once, kept in $(GUARDIAN_TOOLS))"
	@$(PY) tests/tools/build.py opa etcd kube-apiserver
	@$(PY) -m tests.tools.chromium || echo "==> the tests of the console will fail without it" >&2
	$(PYTEST) tests/unit tests/contract tests/integration tests/e2e --cov --cov-report=term:skip-covered

test-slow: $(VENV)/.installed  ## faults, attacks, conformance
	@echo "==> servers the tests run against: opa, etcd, kube-apiserver (built once, kept in $(GUARDIAN_TOOLS))"
	@$(PY) tests/tools/build.py opa etcd kube-apiserver
	$(PYTEST) tests/faults tests/attacks tests/conformance

test-faults: $(VENV)/.installed  ## every fault of the matrix in every format it applies to; ends with the table
	@$(PY) tests/tools/build.py opa etcd kube-apiserver
	$(PYTEST) tests/faults

bench: $(VENV)/.installed  ## reviews per second beside a bare OPA server, in one run
	@$(PY) tests/tools/build.py opa >/dev/null
	@$(PY) -m tests.bench.admission

bench-drills: $(VENV)/.installed  ## drills beside the bare tools that they contain, on 840 MB, in one run
	@$(PY) -m tests.bench.drills

check: $(VENV)/.installed  ## format, lint, types, layers, dependencies, compiled policies
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry .
	$(PY) -m guardian.policy.build --check --opa "$$($(PY) tests/tools/build.py opa)"

bundle: $(VENV)/.installed  ## compile policies/ again after a change
	$(PY) -m guardian.policy.build --opa "$$($(PY) tests/tools/build.py opa)"

fix: $(VENV)/.installed  ## format and mend what ruff can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:  ## everything made here, but not the tools cache
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	[ ! -f demo/.guardian-demo ] || rm -rf demo
	[ ! -f demo-cluster/.guardian-demo-cluster ] || rm -rf demo-cluster
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
