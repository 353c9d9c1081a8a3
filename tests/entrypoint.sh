#!/usr/bin/env bash
# The image's entrypoint as a script on its own, with a daemon from cargo and a folder in place of /etc/astromesh. The
# scenes that hold in a container too are in recipes/container/suite/entry.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source recipes/container/suite/runner.sh
source recipes/container/suite/entry.sh

cargo build --locked -q -p astromeshd
binaries=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
host=$(hostname)
script=$root/recipes/container/entrypoint.sh

# A folder as /etc/astromesh is in the image, with nothing made in it yet.
fresh() {
    rm -rf "$scratch/etc"
    mkdir "$scratch/etc"
    cp -r "$root/profiles" "$scratch/etc/"
}

# As `enter`, without a fresh folder, and with other arguments than --check after a --.
enter_again() {
    local variables=()
    while (($# > 0)) && [[ $1 != -- ]]; do
        variables+=("$1")
        shift
    done
    (($# == 0)) && set -- --check || shift
    code=0
    said=$(cd "$scratch" && env -i PATH="$binaries:$PATH" ASTROMESH_ETC="$scratch/etc" "${variables[@]}" \
        "$script" "$@" 2>&1) || code=$?
    made=$(cat "$scratch/etc/runtime.yaml" 2>/dev/null) || true
}

enter() {
    fresh
    enter_again "$@"
}

without_automatic_configuration_there_must_be_a_file() {
    enter ASTROMESH_AUTO_CONFIG=false
    ends "$misconfigured"
    says "[entrypoint] ERROR: No config at $scratch/etc/runtime.yaml"
}

mine='apiVersion: astromesh/v1
kind: RuntimeConfig
metadata: {name: mine}
spec: {api: {port: 9100}}'

without_automatic_configuration_the_file_alone_counts() {
    fresh
    printf '%s\n' "$mine" >"$scratch/etc/runtime.yaml"
    enter_again ASTROMESH_AUTO_CONFIG=false ASTROMESH_PORT=9000
    ends 0
    says 'using'
    says 'role mine, on 0.0.0.0:9100'
    says 'puts ASTROMESH_PORT out of force'
    [[ $made == "$mine" ]] || fail "the file was changed: $made"
}

a_file_of_somebody_else_is_never_written_over() {
    fresh
    printf '%s\n' "$mine" >"$scratch/etc/runtime.yaml"
    enter_again ASTROMESH_PORT=9000
    ends 0
    says 'is not of our making'
    says 'role mine, on 0.0.0.0:9000'
    [[ $made == "$mine" ]] || fail "the file was changed: $made"
}

a_file_of_our_own_is_made_anew() {
    enter ASTROMESH_PORT=9000
    enter_again ASTROMESH_PORT=9001
    ends 0
    makes '    port: 9001'
}

a_folder_in_the_place_of_the_file_is_explained() {
    local switch
    for switch in true false; do
        fresh
        mkdir "$scratch/etc/runtime.yaml"
        enter_again ASTROMESH_AUTO_CONFIG="$switch"
        ends "$misconfigured"
        says 'is a folder: the file to be mounted there does not exist on the host'
    done
}

a_place_that_cannot_be_written_is_explained() {
    fresh
    ln -s "$scratch/nowhere/runtime.yaml" "$scratch/etc/runtime.yaml"
    enter_again
    ends "$misconfigured"
    says "[entrypoint] ERROR: Cannot write $scratch/etc/runtime.yaml"
    says 'mount a tmpfs at /run/astromesh'
}

a_profile_of_somebody_else_is_one_too() {
    fresh
    printf '%s\n' "$mine" >"$scratch/etc/profiles/mesh-mine.yaml"
    enter_again ASTROMESH_ROLE=mine ASTROMESH_MESH_ENABLED=true
    ends 0
    says 'role mine, on 0.0.0.0:9100; the mesh is on, without seeds'
}

another_command_takes_the_place_of_the_daemon() {
    enter -- astromeshd --version
    ends 0
    [[ $said == 'astromeshd '* ]] || fail "it said: $said"
    [[ -z $made ]] || fail 'a configuration was made for it'
}

# A daemon that says what it was given.
the_daemon_takes_the_place_of_the_script_and_gets_the_keys() {
    mkdir -p "$scratch/stand-in"
    cat >"$scratch/stand-in/astromeshd" <<'END'
#!/bin/sh
case "$*" in *--print) exit 0 ;; esac
echo "process $$ $OPENAI_API_KEY $ANTHROPIC_API_KEY $*"
END
    chmod +x "$scratch/stand-in/astromeshd"
    fresh
    local started
    said=$(env -i PATH="$scratch/stand-in:$PATH" ASTROMESH_ETC="$scratch/etc" OPENAI_API_KEY=one ANTHROPIC_API_KEY=two \
        sh -c 'echo "script $$"; exec "$0" --port 9000' "$script" 2>/dev/null)
    started=$(sed -n 's/^script //p' <<<"$said")
    says "process $started one two --config $scratch/etc/runtime.yaml --port 9000"
}

for each in "${entry_scenes[@]}" \
    without_automatic_configuration_there_must_be_a_file \
    without_automatic_configuration_the_file_alone_counts \
    a_file_of_somebody_else_is_never_written_over \
    a_file_of_our_own_is_made_anew \
    a_folder_in_the_place_of_the_file_is_explained \
    a_place_that_cannot_be_written_is_explained \
    a_profile_of_somebody_else_is_one_too \
    another_command_takes_the_place_of_the_daemon \
    the_daemon_takes_the_place_of_the_script_and_gets_the_keys; do
    scene "entrypoint $each" "$each"
done
conclude
