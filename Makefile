# Everything runs from a fresh checkout on Debian 12 with git, make and python3: the scripts in
# tools/ get the rest. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The system's folders only: nothing here depends on what somebody has installed by hand.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

PREFIX ?= /usr/local

PYTHON := .venv/bin/python
INSTALL_PACKAGES := tools/debian-base.txt
TEST_EXTRAS := adapters,idp,saml,test
TEST_PACKAGES := $(wildcard tools/debian-base.txt tools/debian-test.txt plugin/debian-packages.txt)
SOURCES := browserid_sasl bench demo tests tools $(wildcard *.py plugin)

.PHONY: help demo test check format bench install install-commands uninstall uninstall-commands \
	clean test-environment

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile $(wildcard plugin/plugin.mk) | sort -u | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: ## an identity provider, one sign-in, logins, a replay and a forgery, live
	@tools/debian-packages.sh tools/debian-base.txt
	@tools/environment.sh idp
	@$(PYTHON) -m demo

test: check ## everything that must hold: check, then all tests, with the coverage of the core layers
	@$(PYTHON) -m pytest -n 2 --dist loadgroup --cov --cov-report=term; \
	status=$$?; rm -f .coverage .coverage.*; exit $$status

check: test-environment ## format, lint and types, without changing anything
	@$(PYTHON) -m ruff format --check $(SOURCES)
	@$(PYTHON) -m ruff check $(SOURCES)
	@$(PYTHON) -m mypy $(SOURCES)

format: test-environment ## put the sources into the form that check wants
	@$(PYTHON) -m ruff check --fix $(SOURCES)
	@$(PYTHON) -m ruff format $(SOURCES)

bench: test-environment ## what logins and message protection cost on this machine, as ratios
	@$(PYTHON) -m bench

install: install-commands ## the commands for every user of this machine (PREFIX=/usr/local), or in a folder of yours
uninstall: uninstall-commands ## take them away again

install-commands:
	@tools/install.sh check '$(PREFIX)' $(INSTALL_FOLDERS)
	@tools/debian-packages.sh $(INSTALL_PACKAGES)
	@tools/install.sh install '$(PREFIX)'

uninstall-commands:
	@tools/install.sh uninstall '$(PREFIX)'

clean: ## remove what the other targets made here
	rm -rf .venv .unpacked build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

test-environment:
	@tools/debian-packages.sh $(TEST_PACKAGES)
	@tools/debian-unpack.sh tools/debian-unpacked.txt
	@tools/environment.sh $(TEST_EXTRAS)

# The targets of the Cyrus SASL plugin: plugin, and what it adds to install, uninstall and clean.
-include plugin/plugin.mk
