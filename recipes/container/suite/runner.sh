# Runs scenes: functions that fail with a reason, or not. Sourced.

passed=0 failed=0

# Ends the scene.
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# scene NAME COMMAND...: runs it in a subshell of its own, quiet unless it fails, and counts.
scene() {
    local name=$1 since=$SECONDS code=0 output
    shift
    output=$(mktemp)
    # Its own -e: in a condition bash would overlook a failure in the middle.
    set +e
    (set -e; "$@") >"$output" 2>&1
    code=$?
    set -e
    if ((code == 0)); then
        passed=$((passed + 1))
        printf 'ok      %s (%d s)\n' "$name" "$((SECONDS - since))"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s (%d s)\n' "$name" "$((SECONDS - since))"
        sed 's/^/        /' "$output"
    fi
    rm -f "$output"
}

# within SECONDS COMMAND...: tries it until it succeeds.
within() {
    local deadline=$((SECONDS + $1)) begun=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "not within $((SECONDS - begun)) s: $*"
        sleep 0.2
    done
}

# The plain closing line. Succeeds if nothing failed.
conclude() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}
