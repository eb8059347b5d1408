# make demo: a PROMOTE on real services, from nothing but this checkout. make check: the edit loop. make test: what CI runs.
PYTHON ?= python3
VENV := .venv
PYTEST = $(VENV)/bin/python -m pytest -q
# In parallel: waiting tests need no processor, so there is one process more than processors.
SIDE_BY_SIDE = --numprocesses $(shell echo $$(( $$(nproc) + 1 ))) --dist worksteal
STAMP := $(VENV)/.installed
# Tests and demo start the same programs many times; where this is set, every start would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-down example-bundles example-records schemas interface check test nightly lint unit units integration test-matrix local live molecule vms faults strangers bench bench-quick scale collection

help:
	@sed -n 's/^# make/make/p; s/^\([a-z-]*\):.*## /make \1: /p' Makefile

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; for example, set PYTHON=python3.12.'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo 'Python has no venv; on Debian or Ubuntu: apt-get install python3-venv'; exit 1; }
	@echo 'creating the virtual environment $(VENV) (about 30 s)'
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	@$(VENV)/bin/pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## start a container VM with the real services and run the gate against it
	@$(VENV)/bin/python -m demo run

demo-down: ## remove the container VMs, their image and .demo/
	@$(PYTHON) -m demo down

example-bundles: ## record tests/bundles again, from the commit, on their own container VM
	@$(PYTHON) -m demo examples

example-records: $(STAMP) ## rewrite the records of tests/bundles from their evidence
	@$(VENV)/bin/python tests/bundles/rerender.py

interface: $(STAMP) ## rewrite docs/interface.txt for a release
	@$(VENV)/bin/python tests/interface.py

schemas: $(STAMP) ## rewrite docs/schema from the types of the files
	@$(VENV)/bin/python tests/schemas.py

collection: $(STAMP) ## build the collection's tarball and its wheel in build/
	@rm -rf build  # setuptools would pack what is left in build/lib
	@$(VENV)/bin/python -m collection
	@$(VENV)/bin/pip wheel --quiet --no-deps --wheel-dir build .

check: lint unit ## the edit loop: lint and the quick unit tests

test: ## everything that CI runs: make lint, local, molecule and live, side by side
	@$(MAKE) --no-print-directory --jobs 5 --output-sync=target vms lint local molecule live

vms: | $(VENV)/bin/python ## start the container VMs of make molecule and make live, while the rest is being installed
	@$(VENV)/bin/python -m demo up --name molecule
	@$(VENV)/bin/python -m demo up --name faults

local: $(STAMP) ## the part of make test without a VM: unit tests, integration tests, some faults
	@$(MAKE) --no-print-directory units
	@$(MAKE) --no-print-directory integration
	$(PYTEST) $(SIDE_BY_SIDE) --dist loadfile tests/faults -m 'representative and not live'

live: $(STAMP) ## the part of make test with faults of the real services, on a container VM
	$(PYTEST) tests/faults -m 'representative and live'

nightly: $(STAMP) ## in full what make test samples: all cases, coverage, every kill point, long property tests, a credential scanner
	$(VENV)/bin/pip install --quiet --editable '.[dev,nightly]'
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit --cov
	$(PYTEST) $(SIDE_BY_SIDE) tests/integration -m ''
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit -m 'nightly or hypothesis' --hypothesis-profile=nightly
	$(VENV)/bin/python benchmarks/linear.py

bench: $(STAMP) ## compare a run with the same commands typed by hand, and write the result into docs/benchmark.md
	$(VENV)/bin/python benchmarks/against_the_shell.py --write

scale: $(STAMP) ## measure how time and memory grow with the input, and write the result into docs/benchmark.md
	$(VENV)/bin/python benchmarks/scale.py --write
	$(VENV)/bin/python benchmarks/hosts.py --write

bench-quick: $(STAMP) ## three short rounds of make bench, and which ratios differ from docs/benchmark.md
	$(VENV)/bin/python benchmarks/against_the_shell.py --rounds 3 --compare

lint: $(STAMP) ## ruff, mypy, vermin, yamllint, ansible-lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/vermin --quiet --target=3.9- --no-tips --violations library module_utils src/promotion_gate/base/redact
	$(VENV)/bin/yamllint --strict .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/ansible-lint --offline

unit: $(STAMP) ## the quick unit tests; tests with many cases run one case in five
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit --one-in 5 -m 'not slow and not nightly'

units: $(STAMP) ## all unit tests, slow ones included; tests with many cases run one case in five
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit --one-in 5

integration: $(STAMP) ## the real ansible-playbook over SSH to a loopback sshd; tests with many cases run one case in five
	$(PYTEST) $(SIDE_BY_SIDE) tests/integration --one-in 5

test-matrix: $(STAMP) ## the main integration tests on each supported ansible-core, in a container VM of its own (20 minutes)
	@$(VENV)/bin/python -m demo matrix

molecule: $(STAMP) ## molecule's scenarios against a container VM: PROMOTEs and a HOLD
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/molecule test --all

faults: $(STAMP) ## the whole fault matrix (over an hour, with two VMs), written to docs/fault-matrix.md
	rm -rf .demo/faults
	$(PYTEST) tests/faults --numprocesses 2 --fault-matrix docs/fault-matrix.md
	$(MAKE) --no-print-directory strangers

strangers: $(STAMP) ## the tests of faults that people outside found, written to their section of docs/fault-matrix.md
	$(PYTEST) tests -m stranger --strangers docs/fault-matrix.md
