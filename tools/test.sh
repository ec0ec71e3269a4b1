#!/usr/bin/env bash
# Everything that must hold before a change lands: formatting, lints, documentation, tests. Installs what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
if ! command -v cc >/dev/null; then
    apt-get update -qq && apt-get install -y -qq gcc libc6-dev
fi
# boto3, for the suites that drive `sumzero local`.
boto3="${CARGO_TARGET_DIR:-target}/tmp/boto3"
if ! "$boto3/bin/python" -c 'import boto3' 2>/dev/null; then
    python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
    python3 -m venv "$boto3" && "$boto3/bin/pip" install --quiet boto3
fi
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
cargo test --workspace --locked
