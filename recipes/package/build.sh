#!/usr/bin/env bash
# Builds the Debian package from what stands in astromeshd/Cargo.toml, and says where it is.
#
#   recipes/package/build.sh
#
# cargo-deb makes it; where there is none, it is compiled into target/cargo-deb, which takes three minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-target}

cargo_deb() {
    if ! cargo deb --version >/dev/null 2>&1; then
        cargo install -q --locked cargo-deb --version 3.8.0 --root target/cargo-deb >&2
        PATH=$PWD/target/cargo-deb/bin:$PATH
    fi
    cargo deb "$@"
}

cargo build -q --locked --release -p astromeshd -p astromeshctl >&2
mkdir -p target/package
for shell in bash zsh fish; do
    "$target/release/astromeshctl" completion "$shell" >"target/package/astromeshctl.$shell"
done
cargo_deb -q --locked --strip -p astromeshd --no-build --output target/package/
