#!/usr/bin/env bash
# Fuzzes with a stable toolchain and a C++ compiler, and nothing else: fuzz/run.sh [TARGET...]
#
#   SECONDS_EACH=36     how long each target goes on
#   FUZZ_ARGS=          what else to tell libFuzzer: -runs=100000000, -verbosity=0
#
# Without a target, all of them. What was reached is kept in corpus/, what broke in artifacts/. The address sanitizer is not
# in it, for nothing here is unsafe.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
targets=("$@")
if ((${#targets[@]} == 0)); then
    targets=(decode merge operations settings address)
fi

cargo run --locked --release -q --no-default-features --example seeds

# What tells libFuzzer which code an input reached. A target triple of its own keeps it out of build scripts and macros.
coverage='-Ccodegen-units=1 -Cpasses=sancov-module'
for setting in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$setting"
done
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --locked --release --target "$triple"

for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    mkdir -p "artifacts/$target"
    # Words of FUZZ_ARGS are arguments each.
    # shellcheck disable=SC2086
    "./target/$triple/release/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" \
        -max_total_time="${SECONDS_EACH:-36}" -print_final_stats=1 ${FUZZ_ARGS:-}
done
