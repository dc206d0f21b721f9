SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: run test check gen build

run:
	cargo run -- dev

# make test ARGS="--test it some_name"
test:
	tests/run $(ARGS)

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

build:
	cargo build --release
