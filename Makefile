SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: run test check gen build soak bench

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
	! grep -E '^name = "(openssl|openssl-sys|native-tls)"$$' Cargo.lock

gen:
	cargo run -q -- openapi >openapi.json.new
	mv openapi.json.new openapi.json

# Needs nothing but time: the databases are started for it.
bench:
	tests/run with-databases cargo bench

build:
	cargo build --release
