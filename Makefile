# Thin: meson builds, tests/run tests.  `make help` lists the targets.

# What is not set here or in the environment is as hubbub run has it, or its configuration file.
PORT ?=
GATEWAYS ?=
DATA ?=
# Further options of hubbub run, for example: make run OPTIONS='--config my.conf'
OPTIONS =
# Further options of tests/run, tests/bench/run, and seconds for each fuzz driver, each fault run, and the load of
# bad clients.
TEST_OPTIONS =
BENCH_OPTIONS =
FUZZ_SECONDS = 300
FAULT_SECONDS = 60
LOAD_SECONDS = 60

RUN_OPTIONS = $(if $(PORT),--port $(PORT)) $(if $(GATEWAYS),--gateways $(GATEWAYS)) $(if $(DATA),--data $(DATA))

CLIENT = socket.io-client
CLIENT_VERSION = 4.8.4
CLIENT_FOLDER = $(CURDIR)/build/client/node_modules/$(CLIENT)

# What runs: a third of all there is to compile, most of which are tests.
PROGRAMS = cli/hubbub gateway/hubbub-gateway router/hubbub-router

# What make install installs of what is built; docs/meson.build and others say where.
INSTALLED = $(PROGRAMS) app/libhubbub-app.a app/libhubbub-app.so.0.1.0 cli/hubbub.bash \
    docs/hubbub.1 docs/hubbub.conf.5 docs/hubbub-gateway.8 docs/hubbub-router.8

# Where make install puts everything; DESTDIR goes in front of it.
PREFIX =
DESTDIR =

.PHONY: help run conformance-server build install configured packages client test test-fault test-stack test-load test-tools bench fuzz clean

help:
	@echo 'make run     build, then run a router and gateways: PORT=3000 GATEWAYS=2 DATA=./data OPTIONS='
	@echo 'make conformance-server  build, then run what the conformance suites of Socket.IO expect, on localhost:3000'
	@echo 'make build   everything in release mode in build/ (installs the packages that are missing)'
	@echo 'make install  programs, library, man pages and more into PREFIX (/usr/local), below DESTDIR'
	@echo 'make test    every test, ends with "N passed, N failed"; TEST_OPTIONS="--only unit,integration"'
	@echo 'make test-fault  every fault under load, for FAULT_SECONDS=$(FAULT_SECONDS) each: about 40 minutes'
	@echo 'make test-stack  deploy/ in containers: docker-compose, HAProxy, faults under load (as root; makes its own dockerd)'
	@echo 'make test-load  good clients beside bad ones for LOAD_SECONDS=$(LOAD_SECONDS), and what the good ones feel of it'
	@echo 'make bench   the benchmark, prints a table'
	@echo 'make fuzz    every fuzz driver for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make clean   removes the build folders and the results of tests'

run: configured
	@ninja -C build $(PROGRAMS)
	@deploy/foreground build/cli/hubbub run $(RUN_OPTIONS) $(OPTIONS)

conformance-server: configured
	@ninja -C build $(PROGRAMS) examples/example-echo
	@deploy/foreground deploy/conformance-server build $(OPTIONS)

configured: packages client
	@[ -f build/build.ninja ] || meson setup build --buildtype=release -Db_lto=true -Dsocketio_client=$(CLIENT_FOLDER)

build: configured
	@ninja -C build

install: configured
	@[ -z '$(PREFIX)' ] || meson configure build -Dprefix='$(PREFIX)'
	@ninja -C build $(INSTALLED)
	@meson install -C build --no-rebuild --quiet $(if $(DESTDIR),--destdir '$(abspath $(DESTDIR))')

packages:
	@deploy/install-packages deploy/packages.txt

client: packages
	@grep -qs '"version": "$(CLIENT_VERSION)"' $(CLIENT_FOLDER)/package.json || \
	    npm install --prefix build/client --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
	    $(CLIENT)@$(CLIENT_VERSION)

test-tools: client
	@deploy/install-packages tests/packages.txt
	@cd tests && npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error
	@cd examples/express && npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error || \
	    echo 'npm does not install what examples/express needs: its tests are skipped'
	@[ -x build/venv/bin/python ] || python3 -m venv build/venv
	@build/venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@tests/clients/prepare
	@[ "$$(id -u)" != 0 ] || deploy/install-packages tests/stack/packages.txt || echo 'no docker: tests of the stack are skipped'

test: test-tools
	@tests/run $(TEST_OPTIONS)

test-fault: test-tools
	@tests/run --stage hooks --only fault --fault-seconds $(FAULT_SECONDS) $(TEST_OPTIONS)

test-stack: test-tools
	@tests/run --stage release --only stack $(TEST_OPTIONS)

test-load: build test-tools
	@HUBBUB_BUILD=build HUBBUB_LOAD_SECONDS=$(LOAD_SECONDS) build/venv/bin/python -W ignore tests/security/test_load.py

bench: build
	@tests/bench/run --peer npm $(BENCH_OPTIONS)

fuzz: test-tools
	@tests/run --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

clean:
	rm -rf build build-* test-results
