# What a person types. `make` alone lists it.
#
# Each target first runs scripts/setup.sh, which installs what that target needs on a Debian machine and costs a fraction
# of a second when nothing is missing.

DATA_DIR ?= galerie-data
LISTEN ?= 127.0.0.1:8443
CONFIG ?=
BENCH ?= target/corpus
LIVES ?= 40
# Files are shared out to so many workers, each with a server of its own, and Rust tests to so many processes: tests mostly
# wait.
WORKERS ?= 3
THREADS ?= 4
NEXTEST = cargo nextest run --workspace --test-threads $(THREADS)
PYTEST = target/venv/sdk/bin/pytest -n $(WORKERS) --dist loadfile
PYTHON = target/venv/sdk/bin/python
SEED ?=
KILLS ?= 1000
SEEDED = $(if $(SEED),--seed $(SEED))
SEEDS ?= 10000

.PHONY: help run check test lints clients test-rust test-clients test-postgres test-torture torture test-collector test-simulation simulate bench deny

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start the server (DATA_DIR=galerie-data LISTEN=127.0.0.1:8443 CONFIG=)
	@scripts/setup.sh run
	cargo build --release --package galerie
	@exec target/release/galerie serve --data-dir $(DATA_DIR) --listen $(LISTEN) $(if $(CONFIG),--config $(CONFIG))

check: ## format, lints and unit tests: under three minutes once dependencies are built
	@scripts/setup.sh check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(NEXTEST) --lib --bins

test: ## everything that CI runs
	@scripts/setup.sh check
	@$(MAKE) --no-print-directory -j2 lints clients
	$(MAKE) --no-print-directory test-rust test-simulation test-postgres test-clients test-torture

# Side by side: the compiler waits for one file, the installers for the network. Cargo shares the processors out by itself.
lints:
	cargo fmt --all --check
	env -u MAKEFLAGS cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" env -u MAKEFLAGS cargo doc --workspace --no-deps --quiet

clients:
	@scripts/setup.sh test

test-rust: ## every Rust test
	$(NEXTEST)
	cargo test --workspace --doc --quiet

test-clients: ## the real clients (az, Azure SDKs, NBD tools, QEMU) against a started server; test-postgres has those of several
	cargo build --workspace --all-targets
	$(PYTEST) tests/clients --ignore-glob '*/test_processes*.py' $(PYTEST_ARGS)

test-postgres: ## what touches the catalogue once more, on PostgreSQL
	scripts/postgres.sh --short-lived $(NEXTEST) -E 'package(galerie-control) + package(galerie-api) + package(galerie-testkit) + (package(galerie) & test(backup::))'
	cargo build --workspace --all-targets
	scripts/postgres.sh $(PYTEST) tests/clients/test_sdk_compute.py tests/clients/test_restart.py tests/clients/test_canaries.py tests/clients/test_processes.py tests/clients/test_processes_identity.py

test-torture: ## a few kills on both databases, failing disks and buckets, power losses, and clock jumps: three minutes (SEED=)
	cargo build --workspace --all-targets
	$(PYTHON) tests/torture/kills.py --kills 25 --hasty $(SEEDED)
	scripts/postgres.sh $(PYTHON) tests/torture/kills.py --kills 25 --hasty $(SEEDED)
	$(PYTHON) tests/torture/faults.py --rounds 8 $(SEEDED)
	$(PYTHON) tests/torture/clock.py --kills 6 --hasty $(SEEDED)
	$(PYTHON) tests/torture/power.py --cuts 20 $(SEEDED)

torture: ## the same for much longer, and how long a killed server is away (SEED= KILLS=1000)
	@scripts/setup.sh test
	cargo build --workspace --all-targets
	$(PYTHON) tests/torture/kills.py --kills $(KILLS) $(SEEDED)
	scripts/postgres.sh $(PYTHON) tests/torture/kills.py --kills $(KILLS) $(SEEDED)
	$(PYTHON) tests/torture/faults.py --rounds $$(($(KILLS) / 5)) $(SEEDED)
	$(PYTHON) tests/torture/faults.py --rounds 6 --lie $(SEEDED)
	scripts/postgres.sh $(PYTHON) tests/torture/faults.py --rounds $$(($(KILLS) / 10)) $(SEEDED)
	$(PYTHON) tests/torture/clock.py --kills $$(($(KILLS) / 10)) $(SEEDED)
	$(PYTHON) tests/torture/power.py --cuts $$(($(KILLS) / 4)) $(SEEDED)
	$(PYTHON) tests/torture/power.py --cuts 8 --forget files $(SEEDED)
	$(PYTHON) tests/torture/power.py --cuts 8 --forget folders $(SEEDED)
	$(PYTHON) tests/torture/recovery.py
	scripts/postgres.sh $(PYTHON) tests/torture/recovery.py

bench: ## the budgets beside what was reached (BENCH=target/corpus makes the corpus there; BENCH=--small is quick)
	@scripts/setup.sh bench
	benches/run.sh $(BENCH)

test-collector: ## imports, copies, deletions, reads and collections at once, killed again and again (LIVES=40 SEED=41)
	GALERIE_FIRE_LIVES=$(LIVES) GALERIE_FIRE_SEED=$(SEED) cargo nextest run --workspace --no-capture \
		-E 'package(galerie-control) & test(under_fire)'

test-simulation: ## 500 seeds of processes, regions and clients in virtual time, on all cores
	cargo build --workspace --bins
	target/debug/galerie-simulation --seeds 1..500

simulate: ## the same for many more seeds (SEEDS=10000), or for one with all its events when it breaks something (SEED=42)
	cargo build --workspace --bins
	target/debug/galerie-simulation $(if $(SEED),--seed $(SEED),--seeds 1..$(SEEDS))

deny: ## licences, duplicate and withdrawn dependencies (installs cargo-deny the first time)
	@scripts/setup.sh check
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny --version 0.20.2
	cargo deny check licenses bans sources
