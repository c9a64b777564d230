# `make` prints this help. Every target sets up what it needs, from the committed lock, into .venv.
.DEFAULT_GOAL := help
PY := .venv/bin/python

help:  ## print this help
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.locked: requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, python3 is {sys.version.split()[0]}. Put a newer one first in PATH.")'
	@test -x .venv/bin/python || python3 -m venv .venv
	@test -x .venv/bin/uv || { $(PY) -m ensurepip >/dev/null 2>&1; $(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.9; }
	@.venv/bin/uv pip sync --quiet --python $(PY) --require-hashes requirements.lock
	@.venv/bin/uv pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

setup: .venv/.locked  ## install everything that is locked into .venv

up: .venv/.locked  ## set up and run everything (Kafka, ClickHouse engine, all roles, demo data); Ctrl-C stops all
	@.venv/bin/clicktrail up

test: .venv/.locked  ## set up and run every test against real services
	@$(PY) -m pytest

# What checks the manifests and is too large for everybody's .venv. promtool and kustomize are built with Go, where there is one.
CHECK := .cache/deploy/bin
$(CHECK)/.ready: deploy/check.lock deploy/tools.sh
	@python3 -m venv .cache/deploy && .venv/bin/uv pip sync --quiet --python $(CHECK)/python --require-hashes deploy/check.lock
	@sh deploy/tools.sh $(CHECK)
	@touch $@

deploy-check: .venv/.locked $(CHECK)/.ready  ## check everything under deploy/ that can be checked without a cluster
	@PATH=$(CURDIR)/$(CHECK):$$PATH $(PY) -m pytest -q -rs tests/deploy

lint: .venv/.locked  ## ruff, mypy strict, import-linter
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

UNIVERSAL := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: .venv/.locked  ## resolve pyproject.toml into requirements.lock anew, and the part of it that an image needs
	@.venv/bin/uv pip compile pyproject.toml $(UNIVERSAL) --extra embedded --extra otel --extra dev --output-file requirements.lock
	@.venv/bin/uv pip compile pyproject.toml $(UNIVERSAL) --constraint requirements.lock --extra otel --output-file deploy/requirements.lock
	@echo kubernetes-validate==1.37.0 | .venv/bin/uv pip compile - $(UNIVERSAL) --output-file deploy/check.lock

bench: .venv/.locked  ## measure: the reference workload and the real product, beside the peers
	@$(PY) -m bench

chaos: .venv/.locked  ## every fault against every promise, as a table (under 25 minutes; kept in bench/results/chaos.json)
	@$(PY) -m bench.chaos

clean:  ## remove what was built or cached; ./data stays
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

.PHONY: help setup up test deploy-check lint lock bench chaos clean
