# Two commands are enough to know certworker: `make demo` and `make test`. `make` alone lists the others.
#
# Everything is installed into .venv. Its stamp files record what is installed, so a second run needs no network.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest test-containers test-interop tools lint bench soak fuzz lock images audit docs docs-serve docs-recording docs-generated dist coverage test-fast clean
MAKEFLAGS += --no-print-directory --no-builtin-rules

# The first Python that runs and is recent enough. Another one: make setup PYTHON=/path/to/python3
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PYTHON_OF_THE_IMAGE := python3.13

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# With Go, this release replaces the distribution's. Another one: make test PEBBLE=/path/to/pebble
PEBBLE_RELEASE := v2.10.1
GOBIN := $(CURDIR)/.venv/go

# The CAs of `make test-interop`; a stamp of this name records that one is installed.
STEP_CA := step-ca@v0.30.2
CADDY := caddy@v2.11.9
ACME2CERTIFIER := acme2certifier==0.46.3
# A build that hangs must not hang CI. step-ca and Caddy take a minute and a half each on two processors.
BUILD := CGO_ENABLED=0 GOBIN="$(GOBIN)" $(shell command -v timeout >/dev/null && echo timeout 1200) go install

# .venv/bin comes last: it may hold the demo's redis-server, and the tests are to meet the system's.
REAL := PATH="$(GOBIN):$$PATH:/usr/sbin"
ALSO_OURS := PATH="$(GOBIN):$$PATH:/usr/sbin:$(CURDIR)/$(BIN)"

# Where make dist installs the wheel and the sdist.
INSTALLED := $(CURDIR)/build/dist

PROGRAMS := redis-server $(or $(PEBBLE),pebble) lego certbot unbound named pdns_server php systemd-analyze man nginx haproxy
PACKAGES := redis-server pebble lego certbot unbound bind9 pdns-server pdns-backend-sqlite3 php-cli php-redis systemd man-db nginx-light haproxy

help: ## List what can be made
	@echo "certworker gets TLS certificates for the domains on a Redis queue and hands them to Traefik."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Start with make demo: Python 3.11 or later and make are enough; the first run downloads the packages."
	@echo "On ARM, or with Python 3.13 or later, also install redis-server."

setup: .venv/installed ## Make .venv with certworker in it
	@echo "Ready: $(BIN)/certworker --help"

demo: .venv/installed ## A queue, a CA, a certificate and its renewal on this machine, in one go
	@$(BIN)/certworker demo

# Each process gets one test at a time. In larger portions, one of them would get all the long tests.
test: .venv/tested tools ## The whole suite; installs the servers and clients it needs
	@$(ALSO_OURS) $(BIN)/python -m pytest --quiet $(or $(AGAIN),--numprocesses=4 --maxschedchunk=1) $(TESTS)

# For the inner loop. tests/fast.py selects the tests by their fixtures and modules.
test-fast: .venv/tested ## The tests without worker processes, PHP and other servers, in a minute
	@$(ALSO_OURS) $(BIN)/python -m pytest --quiet --numprocesses=4 -p tests.fast $(TESTS)

# The bounds of pyproject.toml promise these versions. uv can choose the lowest ones, pip cannot.
test-lowest: .venv/lowest/installed tools ## The suite with the lowest versions that pyproject.toml allows
	@PATH="$(GOBIN):$$PATH:/usr/sbin:$(CURDIR)/.venv/lowest/bin" \
	    .venv/lowest/bin/python -m pytest --quiet --numprocesses=4 --maxschedchunk=1 $(TESTS)

# Without an engine and images, their installation takes minutes. It belongs to no test.
test-containers: .venv/tested ## The project's own containers; brings an engine along where there is none
	@$(REAL) $(BIN)/python -m pytest --quiet $(AGAIN) --override-ini=timeout_func_only=true --timeout=240 tests/containers

test-interop: .venv/tested tools .venv/go/$(STEP_CA) .venv/go/$(CADDY) .venv/$(ACME2CERTIFIER) ## CAs of other projects; builds them once, with Go
	@$(ALSO_OURS) $(BIN)/python -m pytest --quiet $(AGAIN) tests/interop

tools: .venv/go/asked ## Install the servers and clients that the tests meet
	@missing=; \
	for program in $(PROGRAMS); do \
	    $(REAL) command -v $$program >/dev/null || missing="$$missing $$program"; \
	done; \
	php -m 2>/dev/null | grep -qx redis || missing="$$missing php-redis"; \
	test -z "$$missing" && exit 0; \
	echo "The tests need:$$missing"; \
	if ! command -v apt-get >/dev/null; then \
	    echo "Install them with your system's package manager (Debian calls them $(PACKAGES))."; exit 1; \
	elif test "$$(id -u)" != 0; then \
	    echo "Type this, then make test again:"; \
	    echo "  sudo apt-get update && sudo apt-get install --yes $(PACKAGES)"; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -qq --yes --no-install-recommends $(PACKAGES) >/dev/null

lint: .venv/tested ## Form, spelling, types, and what the documentation names
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_readme.py tests/test_documentation.py tests/test_security.py::TestStatements

bench: .venv/tested tools ## Measure certworker beside certbot, lego and a bare client
	@$(ALSO_OURS) $(BIN)/python -m bench

soak: .venv/tested tools ## Short certificates and one accident after the other, for MINUTES=5
	@$(ALSO_OURS) $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),5)

fuzz: .venv/tested tools ## Hostile values for every reader, for MINUTES=5; the same ones again with SEED=1
	@MINUTES=$(or $(MINUTES),5) $(ALSO_OURS) $(BIN)/python -m pytest --quiet --numprocesses=2 --maxschedchunk=1 \
	    $(if $(SEED),--hypothesis-seed=$(SEED)) --show-capture=no tests/fuzz

lock: ## Pin requirements.lock anew; newer versions with UPGRADE=--upgrade
	@$(PYTHON_OF_THE_IMAGE) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install pip-tools
	@CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet $(UPGRADE) \
	    --extra=lexicon --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	    --strip-extras --build-deps-for=wheel --allow-unsafe --output-file=requirements.lock pyproject.toml

images: ## Pin the images at the digests of their tags; other tags with IMAGES="redis:8.10.2 traefik:v3.7.15"
	@$(PYTHON) image/digests.py $(IMAGES) Dockerfile docker-compose.yml docker-compose.standalone.yml

audit: .venv/created ## Look up known weaknesses of the packages in requirements.lock
	@$(PIP) install 'pip-audit>=2.9,<3'
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

coverage: .venv/tested tools ## The whole suite, with the share of lines and branches that it runs
	@$(PIP) install --group coverage
	@$(ALSO_OURS) $(BIN)/python -m pytest --quiet --numprocesses=4 --maxschedchunk=1 \
	    --cov --cov-report=term:skip-covered --cov-report=markdown:build/coverage.md $(TESTS)

# As docs/getting-started/without-docker.md installs them: pipx the wheel, uv the sdist. The demo runs in an
# environment that has nothing else, and man finds the page that the systemd unit names.
dist: .venv/created ## Build wheel and sdist in dist, install each, and run the demo from it
	@rm -rf dist build/dist
	@$(PIP) install --group dist
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@$(BIN)/twine check --strict dist/*
	@PIPX_HOME=$(INSTALLED)/pipx PIPX_BIN_DIR=$(INSTALLED)/pipx/bin PIPX_MAN_DIR=$(INSTALLED)/pipx/man \
	    $(BIN)/pipx install --quiet --python "$$(command -v $(PYTHON))" "$$(echo dist/*.whl)[demo]"
	@test -f $(INSTALLED)/pipx/man/man1/certworker.1
	@test -f $(INSTALLED)/pipx/venvs/certworker/share/certworker/certworker.service
	@UV_TOOL_DIR=$(INSTALLED)/uv UV_TOOL_BIN_DIR=$(INSTALLED)/uv/bin \
	    $(BIN)/uv tool install --quiet --no-managed-python --python "$$(command -v $(PYTHON))" \
	    "$$(echo dist/*.tar.gz)[demo]"
	@for environment in $(INSTALLED)/pipx/venvs/certworker $(INSTALLED)/uv/certworker; do \
	    (cd build && PATH="$$PATH:$$environment/bin" $$environment/bin/certworker demo) || exit 1; \
	done

docs: .venv/documented ## Build the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --quiet --strict --site-dir build/site
	@$(PYTHON) -m tests.site build/site

docs-serve: .venv/documented ## Serve the documentation at http://127.0.0.1:8000 while you write
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs serve

docs-recording: .venv/tested ## Run the demo and the examples, and write their output into the documentation
	@$(BIN)/python -m tests.record
	@$(BIN)/python -m tests.documentation

docs-generated: .venv/tested ## Generate the tables, pictures and man pages of the documentation from the code
	@$(BIN)/python -m tests.documentation

clean: ## Remove .venv and everything that was made
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed. On Debian or Ubuntu: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "Python's venv is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

.venv/installed: .venv/created pyproject.toml
	@echo "Installing certworker into .venv"
	@PYTHONWARNINGS=ignore $(PIP) install --editable '.[demo]'
	@touch $@

.venv/tested: .venv/installed
	@echo "Installing what the tests need into .venv"
	@$(PIP) install --group test --group lint
	@touch $@

# Apart from the packages of certworker, so that neither limits the versions of the other.
.venv/documented: .venv/created pyproject.toml
	@echo "Installing what builds the documentation into .venv/docs"
	@$(PYTHON) -m venv .venv/docs
	@.venv/docs/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	@.venv/docs/bin/python -m pip --disable-pip-version-check --quiet install --group docs
	@touch $@

.venv/lowest/installed: .venv/created pyproject.toml
	@echo "Installing the lowest allowed versions into .venv/lowest"
	@$(PIP) install 'uv>=0.9,<1'
	@$(PYTHON) -m venv --clear .venv/lowest
	@$(BIN)/uv pip install --quiet --python .venv/lowest --resolution lowest-direct --editable .
	@$(BIN)/uv pip install --quiet --python .venv/lowest --group test
	@touch $@

# Without Go, or without a network, the distribution's Pebble serves as well.
.venv/go/asked: .venv/created
	@mkdir -p $(@D)
	@if test -z "$(PEBBLE)" && command -v go >/dev/null; then \
	    echo "Building Pebble $(PEBBLE_RELEASE)"; \
	    GOBIN="$(GOBIN)" go install github.com/letsencrypt/pebble/v2/cmd/pebble@$(PEBBLE_RELEASE) \
	        || echo "Pebble could not be built; the distribution's is used."; \
	fi
	@touch $@

.venv/go/$(STEP_CA): .venv/created
	$(call build,github.com/smallstep/certificates/cmd/$(@F))

.venv/go/$(CADDY): .venv/created
	$(call build,github.com/caddyserver/caddy/v2/cmd/$(@F))

define build
	@command -v go >/dev/null || { echo "$(@F) is built with Go. Install it: https://go.dev/dl/"; exit 1; }
	@mkdir -p $(@D)
	@echo "Building $(@F)"
	@$(BUILD) $(1)
	@touch $@
endef

# Its dependencies are not those of certworker.
.venv/$(ACME2CERTIFIER): .venv/created
	@echo "Installing $(@F) into .venv/acme2certifier"
	@$(PYTHON) -m venv --clear .venv/acme2certifier
	@.venv/acme2certifier/bin/python -m pip --disable-pip-version-check --quiet install $(@F)
	@touch $@
