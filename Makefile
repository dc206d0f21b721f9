SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: run test check gen build soak bench spread fuzz

run:
	cargo run -- dev

# make test ARGS="--test it some_name"
test:
	tests/run $(ARGS)

# Faults on real databases for so many minutes: make soak MINUTES=10 SEED=7
MINUTES ?= 10
SEED ?= $(shell date +%s)
soak:
	tests/run with-databases cargo test --features failpoints --test soak -- --minutes $(MINUTES) --seed $(SEED)

# OpenSSL is looked for in the lock file, which names the crates of every target; `cargo tree -i` also fails offline.
check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --features failpoints -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
	tests/check-sizes
	tests/check-docs
	! grep -E '^name = "(openssl|openssl-sys|native-tls)"$$' Cargo.lock

gen:
	cargo run -q -- generate

build:
	cargo build --release

# Measurements side by side; what they showed is in docs/develop/benchmarks.md.
bench:
	tests/run with-databases cargo bench --bench stampede --bench refresher --bench hit

# When 10,000 secrets fetched together are renewed: docs/develop/renewal-spread.md.
spread:
	PRINT_SPREAD=1 cargo test --test simulation evenly_over_the_window -- --nocapture

# What reads definitions, templates, paths, responses and requests, each for so many seconds: make fuzz SECONDS=60
SECONDS ?= 60
fuzz:
	fuzz/run $(SECONDS)
