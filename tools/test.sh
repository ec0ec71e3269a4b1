#!/usr/bin/env bash
# Everything that must hold before a change lands: formatting, lints, documentation, tests. Installs what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
if ! command -v cc >/dev/null; then
    apt-get update -qq && apt-get install -y -qq gcc libc6-dev
fi
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
# The suites of the simulated services. They need boto3, and the SDKs, which take minutes to build and so are asked for here
# alone.
boto3="${CARGO_TARGET_DIR:-target}/tmp/boto3"
if ! "$boto3/bin/python" -c 'import boto3' 2>/dev/null; then
    python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
    python3 -m venv "$boto3" && "$boto3/bin/pip" install --quiet boto3
fi
services=(--workspace --locked --features sumzero-sim/local,sumzero-sim/_sdk --test services)
cargo clippy "${services[@]}" -- -D warnings
cargo test "${services[@]}"
cargo test --workspace --locked
