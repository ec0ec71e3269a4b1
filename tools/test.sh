#!/usr/bin/env bash
# Everything that must hold before a change lands: formatting, lints, documentation, tests. Installs what the tests need:
# a C compiler, PostgreSQL (the truth that the simulated Aurora is held to), boto3 (a client that nobody here wrote),
# schemathesis (which holds the API against its description), validators of Kubernetes' and GitHub's files, and Chromium (which
# the pages of reports are opened in).
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
# Everything is built once here: what would make a second build of the same crate faster only takes the disk's room.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

install() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "$@"
}

command -v cc >/dev/null || install gcc libc6-dev
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install postgresql postgresql-client
command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || install chromium
python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
python="${CARGO_TARGET_DIR:-target}/tmp/python"
if ! "$python/bin/python" -c 'import boto3, check_jsonschema, kubernetes_validate' 2>/dev/null; then
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --requirement tests/requirements.txt
fi

schemathesis="${CARGO_TARGET_DIR:-target}/tmp/schemathesis"
if [ ! -x "$schemathesis/bin/schemathesis" ]; then
    python3 -m venv "$schemathesis"
    "$schemathesis/bin/pip" install --quiet 'schemathesis==4.32.5'
fi

cargo fmt --all --check
# All but TLS, which would have every client of HTTP in the build look for the machine's certificates.
everything=(--workspace --features sumzero-sim/local,sumzero-sim/_sdk,sumzero-sim/_sqlx)

# The framework by itself, as the first command of the README builds it; everything; the payment system as it is deployed.
cargo clippy -p sumzero-sim --all-targets --locked -- -D warnings
cargo clippy "${everything[@]}" --all-targets --locked -- -D warnings
cargo clippy -p payments --features tls --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc "${everything[@]}" --no-deps --locked
cargo test "${everything[@]}" --locked --no-fail-fast
# Worlds that showed a bug once, and as many seeds of every scenario as two minutes allow: the sound system shows nothing.
sumzero="${CARGO_TARGET_DIR:-target}/debug/sumzero"
"$sumzero" corpus scenarios/regressions/bugs.toml
"$sumzero" explore --for 2m
# Whether the properties notice what is wrong: by itself, for no other build may have the variants.
variants=(--workspace --features sumzero-sim/local,sumzero-sim/_sdk,sumzero-sim/_sqlx,scenarios/as-written,sumzero/as-written)
cargo clippy "${variants[@]}" --all-targets --locked -- -D warnings
cargo test "${variants[@]}" --test variants --locked
