#!/usr/bin/env bash
# Every test that tests/guide.md names is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

names=$(grep -oE '`[a-z0-9]+(_[a-z0-9]+){2,}`' tests/guide.md | tr -d '`' | sort -u)
missing=0
for name in $names; do
    if ! grep -rqE "(^|fn )$name\(" --include '*.rs' --include '*.sh' \
        tests recipes maia astromesh-core astromeshd astromeshctl; then
        printf 'tests/guide.md names %s, and there is no such test\n' "$name" >&2
        missing=$((missing + 1))
    fi
done
printf '%s tests named, %s missing\n' "$(wc -w <<<"$names")" "$missing"
((missing == 0))
