#!/bin/sh
# What a container runs: makes /etc/astromesh/runtime.yaml of a profile and the ASTROMESH_* variables, then becomes the
# daemon. It chooses the profile and nothing else: what a variable may be, and what comes of it, astromeshd says.
#
# Arguments are the daemon's; where the first is a word, it is a command to run in its place. ASTROMESH_ETC is where the configuration is, for tests.
set -eu

etc=${ASTROMESH_ETC:-/etc/astromesh}
config=$etc/runtime.yaml
mark='# Made by the entrypoint'

say() {
    printf '[entrypoint] %s\n' "$*" >&2
}

# 2 is the daemon's code for a configuration that cannot be used.
fail() {
    say "ERROR: $*"
    exit 2
}

# What the daemon takes for true or false it takes in capitals too, and nothing for the default.
lower() {
    printf '%s' "$1" | tr -d ' ' | tr '[:upper:]' '[:lower:]'
}

# Docker makes a folder of a file that is to be mounted and is not there.
refuse_folder() {
    if [ -d "$config" ]; then
        fail "$config is a folder: the file to be mounted there does not exist on the host"
    fi
}

# Whether somebody else put the configuration there. One of ours stays where a container is restarted.
is_foreign() {
    [ -e "$config" ] || return 1
    first=
    read -r first <"$config" || true
    case $first in "$mark"*) return 1 ;; esac
}

case ${1:-} in
    '' | -*) ;;
    *) exec "$@" ;;
esac

# 1. Opt-out: the mounted configuration, and nothing of ours.
if [ "$(lower "${ASTROMESH_AUTO_CONFIG:-}")" = false ]; then
    [ -e "$config" ] || fail "No config at $config: ASTROMESH_AUTO_CONFIG=false needs one to be mounted there"
    refuse_folder
    say "ASTROMESH_AUTO_CONFIG=false: using $config as it is"
    exec astromeshd --config "$config" "$@"
fi
refuse_folder
if is_foreign; then
    say "$config is not of our making: leaving it as it is, with the variables over it"
    exec astromeshd --config "$config" "$@"
fi

# 2. The profile.
role=${ASTROMESH_ROLE:-full}
case $(lower "${ASTROMESH_MESH_ENABLED:-}") in
    true) profile=$etc/profiles/mesh-$role.yaml ;;
    *) profile=$etc/profiles/$role.yaml ;;
esac

# 3. A combination that there is no profile for.
if [ ! -f "$profile" ]; then
    say "ERROR: Profile not found: $profile"
    say "ASTROMESH_ROLE=$role with ASTROMESH_MESH_ENABLED=${ASTROMESH_MESH_ENABLED:-false} names it. Available profiles:"
    for each in "$etc"/profiles/*.yaml; do
        name=${each##*/}
        say "  ${name%.yaml}"
    done
    exit 2
fi

# 4. The profile with the variables put in.
made=$(astromeshd --config "$profile" --print)
if ! printf '%s from %s, anew at each start\n%s\n' "$mark" "$profile" "$made" >"$config"; then
    fail "Cannot write $config: with a read-only root, mount a tmpfs at /run/astromesh with uid=65532,gid=65532"
fi
say "Made $config from $profile"

# 5. The daemon.
exec astromeshd --config "$config" "$@"
