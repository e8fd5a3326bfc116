# Everything runs from a fresh checkout on Debian 12 with git, make and python3: the scripts in
# tools/ get the rest. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The system's folders only: nothing here depends on what somebody has installed by hand.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

PREFIX ?= /usr/local

PYTHON := .venv/bin/python
INSTALL_PACKAGES := tools/debian-base.txt
TEST_EXTRAS := adapters,http,idp,kerberos,keyring,ldap,oidc,postgresql,pyspnego,redis,saml,test
TEST_PACKAGES := $(wildcard tools/debian-base.txt tools/debian-demo.txt tools/debian-test.txt \
	plugin/debian-packages.txt)
SOURCES := browserid_sasl bench demo examples fuzz tests tools $(wildcard *.py plugin)

.PHONY: help demo demo-fallback test check format fuzz debian13 container-trial deb deb-again deb-trial dist oldest bench capacity hosts crowd soak screenshots install install-commands uninstall uninstall-commands \
	clean test-environment

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile $(wildcard plugin/plugin.mk) | sort -u | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

demo: ## an identity provider, one sign-in, logins, a replay, a forgery, an unmodified server, live
	@tools/debian-packages.sh tools/debian-base.txt tools/debian-demo.txt
	@tools/environment.sh idp
	@$(PYTHON) -m demo

demo-fallback: ## an address nobody knows, a mail to it, a login, and a domain that then speaks for itself
	@tools/debian-packages.sh tools/debian-base.txt
	@tools/environment.sh idp
	@$(PYTHON) -m demo.fallback

# Twice as many processes as the two processors that this is made for: the tests that start services
# wait for them most of the time. tests/conftest.py says what stays together.
IN_PARALLEL := -n 4 --dist loadgroup

test: check ## everything that must hold: check, then all tests, with the coverage of the core layers
	@$(PYTHON) -m pytest $(IN_PARALLEL) --cov --cov-report=term; \
	status=$$?; rm -f .coverage .coverage.*; exit $$status

check: test-environment ## format, lint and types, without changing anything
	@$(PYTHON) -m ruff format --check $(SOURCES)
	@$(PYTHON) -m ruff check $(SOURCES)
	@$(PYTHON) -m mypy $(SOURCES)

format: test-environment ## put the sources into the form that check wants
	@$(PYTHON) -m ruff check --fix $(SOURCES)
	@$(PYTHON) -m ruff format $(SOURCES)

FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?=
FUZZ_BUILD ?= build/fuzz

fuzz: test-environment ## look for inputs that break a parser, FUZZ_SECONDS=30 for each target
	@tools/environment.sh $(TEST_EXTRAS),fuzz
	@$(MAKE) --no-print-directory $(FUZZ_BUILD)/wire $(FUZZ_BUILD)/message $(FUZZ_BUILD)/gss
	@set -- $$(($(FUZZ_SECONDS) * 5000)) $$RANDOM; echo "wire: $$1 inputs, number $$2"; $(FUZZ_BUILD)/wire $$@
	@set -- $$(($(FUZZ_SECONDS) * 34000)) $$RANDOM; echo "message: $$1 inputs, number $$2"; $(FUZZ_BUILD)/message $$@
	@set -- $$(($(FUZZ_SECONDS) * 34000)) $$RANDOM; echo "gss: $$1 inputs, number $$2"; $(FUZZ_BUILD)/gss $$@
	@$(PYTHON) -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

FUZZED_C = $(CC) -std=gnu11 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined \
	-fno-sanitize-recover=all -o $@ $(filter %.c,$^)

$(FUZZ_BUILD)/wire: fuzz/wire.c plugin/wire.c plugin/wire.h
	@mkdir -p $(FUZZ_BUILD)
	@$(FUZZED_C)

$(FUZZ_BUILD)/message: fuzz/message.c plugin/message.c plugin/message_token.c plugin/message_iov.c \
		plugin/message.h plugin/message_state.h plugin/reason.h
	@mkdir -p $(FUZZ_BUILD)
	@$(FUZZED_C) -lgssapi_krb5 -lk5crypto -pthread

# A service that does not answer is not waited for.
$(FUZZ_BUILD)/gss: fuzz/gss.c $(wildcard plugin/gss*.c plugin/message*.c plugin/*.h) plugin/agent.c plugin/wire.c
	@mkdir -p $(FUZZ_BUILD)
	@$(PYTHON) plugin/mechanisms.py >$(FUZZ_BUILD)/mechanisms.h
	@$(FUZZED_C) -I$(FUZZ_BUILD) -DAGENT='"/bin/false"' -DACCEPTOR='"/dev/null"' -DWIRE_ANSWER_MS=1 \
		-Wl,--wrap=send -lgssapi_krb5 -lk5crypto -pthread

# The tests that start other people's programs as Debian 12 packages them, or need files of its own.
PEER_TESTS := tests/browser tests/plugin tests/guides tests/mail tests/packages tests/idp/postgresql \
	tests/acceptor/test_contrib.py \
	tests/acceptor/test_prosody.py tests/acceptor/test_submission.py \
	tests/test_npm_packages.py tests/verifier/test_mozilla.py
WITHOUT_PEERS := -m pytest $(IN_PARALLEL) -p no:cacheprovider $(addprefix --ignore=,$(PEER_TESTS))
# Of these, those that run there as well: of the pages in its Chromium, and of its Dovecot, for which our
# module has code of its own. CI=true: what is missing fails, and is not skipped.
DEBIAN13_PEERS := -m pytest $(IN_PARALLEL) -p no:cacheprovider --ignore=tests/browser/test_end_to_end.py \
	tests/browser tests/plugin/test_dovecot.py tests/plugin/test_dovecot_2_4.py
# And those of Redis with Valkey in its place, which Debian 12 has not.
VALKEY_TESTS := env REDIS_SERVER=valkey-server $(PYTHON) -m pytest -p no:cacheprovider \
	-k 'not memory and not sqlite and not postgresql' tests/store/test_contract.py tests/store/test_shared.py \
	tests/store/test_redis_sites.py tests/api/test_shared_store.py tests/acceptor/test_several_hosts.py

debian13: test-environment ## as root, the tests without other people's programs, and with Chromium, Dovecot and Valkey, in Debian 13
	@tools/debian-packages.sh tools/debian13-host.txt
	@tools/debian13.sh tools/environment.sh $(TEST_EXTRAS)
	@tools/debian13.sh $(PYTHON) $(WITHOUT_PEERS)
	@CI=true tools/debian13.sh $(PYTHON) $(DEBIAN13_PEERS)
	@CI=true tools/debian13.sh $(VALKEY_TESTS)

DEB ?= build/deb

deb: ## the packages for Debian 12, in build/deb, and what lintian says of them
	@tools/debian-packages.sh tools/debian-base.txt tools/debian-deb.txt
	@tools/environment.sh idp
	@tools/deb.sh $(DEB)
	@lintian --allow-root --fail-on error,warning $(DEB)/*.changes

deb-again: deb ## the packages once more, in parts and elsewhere, and whether they are the same
	@tools/deb-again.sh $(DEB) $(DEB)-again

deb-trial: deb test-environment ## as root, docs/packages.md in a fresh Debian 12: installed, upgraded, removed
	@tools/debian-packages.sh tools/debian-trial.txt
	@DEB='$(abspath $(DEB))' $(PYTHON) -m pytest -p no:cacheprovider tests/packages/trial.py

container-trial: test-environment ## as root, docs/containers.md with podman: images built, a login through them
	@tools/debian-packages.sh tools/debian-container.txt
	@tools/container.sh build/container '$(DEB)/wheels'
	@CONTEXT='$(abspath build/container/context)' BASE='$(abspath build/container/debian)' \
		$(PYTHON) -m pytest -p no:cacheprovider tests/packages/container_trial.py

DIST ?= dist

dist: test-environment ## a wheel and a source distribution, in dist, each tried where there is nothing else
	@rm -rf '$(DIST)' && $(PYTHON) -m build --outdir '$(DIST)' . >/dev/null
	@$(PYTHON) -m twine check --strict '$(DIST)'/*
	@DIST='$(abspath $(DIST))' $(PYTHON) -m pytest -p no:cacheprovider tests/packages/distributions.py

oldest: test-environment ## the same tests with the oldest dependencies that setup.cfg allows
	@mkdir -p build
	@$(PYTHON) -m tools.oldest >build/oldest.txt
	@tools/environment.sh $(TEST_EXTRAS) build/oldest build/oldest.txt
	@build/oldest/bin/python $(WITHOUT_PEERS)

bench: test-environment ## what logins and message protection cost on this machine, as ratios
	@$(PYTHON) -m bench

hosts: test-environment ## 10,000 logins (LOGINS) at three hosts, one of which dies, and then the primary of their store
	@$(PYTHON) -m bench hosts

crowd: test-environment ## 1,000 people (PEOPLE) sign in by password: at one host, and at two with PostgreSQL
	@$(PYTHON) -m bench crowd

capacity: test-environment ## as root, what logins, entries and certificates cost (PARTS), and what many people take
	@$(PYTHON) -m bench capacity

soak: test-environment ## 100,000 logins and GSS-API contexts (EXCHANGES): what the program and the services have grown by
	@$(PYTHON) -m bench soak

screenshots: test-environment ## pictures of all pages of the identity provider, in build/screenshots
	@$(PYTHON) -m tools.screenshots

install: install-commands ## the commands for every user of this machine (PREFIX=/usr/local), or in a folder of yours
uninstall: uninstall-commands ## take them away again

install-commands:
	@tools/install.sh check '$(PREFIX)' $(INSTALL_FOLDERS)
	@tools/debian-packages.sh $(INSTALL_PACKAGES)
	@tools/install.sh install '$(PREFIX)'

uninstall-commands:
	@tools/install.sh uninstall '$(PREFIX)'

clean: ## remove what the other targets made here
	rm -rf .venv .npm .unpacked build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

test-environment:
	@tools/debian-packages.sh $(TEST_PACKAGES)
	@tools/debian-unpack.sh tools/debian-unpacked.txt
	@tools/environment.sh $(TEST_EXTRAS)
	@$(PYTHON) tools/npm_packages.py tools/npm-packages.txt .npm
	@tools/npm-tree.sh tools/oidc-provider .npm/oidc-provider

# The targets of the Cyrus SASL plugin: plugin, and what it adds to install, uninstall and clean.
-include plugin/plugin.mk
