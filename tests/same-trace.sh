#!/usr/bin/env bash
# The same seeds bring the same runs of the simulator, whether it is built for debugging or for release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

hashes() {
    cargo run --locked -q "$@" -p benches --bin soak -- --print-hashes --runs 3 --from 100 --events 20000
}

debug=$(hashes)
release=$(hashes --release)
if [ "$(printf '%s\n' "$debug" | wc -l)" -ne 3 ]; then
    printf 'expected three hashes, found:\n%s\n' "$debug" >&2
    exit 1
fi
if [ "$debug" != "$release" ]; then
    printf 'debug:\n%s\nrelease:\n%s\n' "$debug" "$release" >&2
    echo 'the same seeds bring other runs' >&2
    exit 1
fi
printf '%s\n' "$debug"
