#!/usr/bin/env bash
# Runs the whole test matrix that exists, and says what ran and what does not exist yet.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust from https://rustup.rs and run this again." >&2
    exit 1
fi

if ! command -v cc >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "cc is missing: installing gcc."
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev
    else
        echo "cc is missing: install a C compiler (Debian: apt-get install gcc libc6-dev) and run this again." >&2
        exit 1
    fi
fi

# The crash tests start and kill the program itself: `cargo test` builds that binary with the tests.
cargo test --locked

cat <<'END'

Ran:            unit and integration tests, state in SQLite, embedded broker.
Not there yet:  PostgreSQL, RabbitMQ, the console in a browser.
END
