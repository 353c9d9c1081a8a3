# The image by itself: what is in it, as whom it runs, how it starts and stops. Sourced by test.sh.

image_part() {
    local each
    for each in it_is_small_and_labelled its_binaries_are_static it_runs_as_65532 \
        the_root_may_be_read_only without_a_place_to_write_it_says_what_to_mount \
        the_configuration_can_be_seen healthy_is_what_answers_without_curl \
        a_mounted_file_is_used_as_the_guide_says a_mounted_file_that_does_not_exist_is_explained \
        a_restart_makes_the_configuration_anew keys_reach_the_daemon it_stops_in_good_order \
        agents_can_be_mounted any_command_can_be_run; do
        scene "image $each" "$each"
    done
}

it_is_small_and_labelled() {
    local size base label
    size=$(docker image inspect --format '{{.Size}}' "$image")
    base=$(docker history --human=false --format '{{.Size}}' "$image" | tail -n 1)
    # 20 MB, of which the small base takes two.
    ((size - base <= 18000000)) || fail "$size bytes, of which the base has $base, are over 20 MB on the small base"
    for label in title description licenses revision; do
        [[ -n $(label_of "$label") ]] || fail "no label $label"
    done
    equal "$(label_of licenses)" Apache-2.0 licenses
    equal "astromeshd $(label_of version)" "$(docker run --rm "$image" astromeshd --version)" 'label version'
    equal "$(sed -n 's/^ARG VERSION=//p' "$here/Dockerfile")" "$(label_of version)" "the Dockerfile's VERSION"
}

label_of() {
    docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"
}

its_binaries_are_static() {
    local folder each
    folder=$(mktemp -d)
    start "$image"
    docker cp "$id:/opt/astromesh/." "$folder"
    discard "$id"
    for each in astromeshd astromeshctl; do
        # ldd ends with 1 for what needs no loader.
        if LC_ALL=C ldd "$folder/$each" >"$folder/ldd" 2>&1 && ! grep -q 'statically linked' "$folder/ldd"; then
            fail "$each needs $(cat "$folder/ldd")"
        fi
    done
    rm -r "$folder"
}

it_runs_as_65532() {
    start "$image"
    equal "$(docker exec "$id" id -u):$(docker exec "$id" id -g)" 65532:65532 'a command'
    expect "$(docker exec "$id" cat /proc/1/status)" $'Uid:\t65532\t65532' 'astromeshd'
    # Nothing of the image is its own, but where the configuration is made.
    equal "$(docker exec "$id" sh -c 'find / -xdev -user 65532 -type d | grep -v ^/proc')" /run/astromesh 'folders of its own'
    discard "$id"
}

the_root_may_be_read_only() {
    start --read-only --tmpfs /run/astromesh:uid=65532,gid=65532 --cap-drop ALL --security-opt no-new-privileges "$image"
    within 10 ctl "$id" healthcheck
    expect "$(docker exec "$id" cat /etc/astromesh/runtime.yaml)" 'port: 8000'
    discard "$id"
}

without_a_place_to_write_it_says_what_to_mount() {
    local said code=0
    said=$(docker run --rm --read-only "$image" 2>&1) || code=$?
    equal "$code" 2 'exit code'
    expect "$said" '[entrypoint] ERROR: Cannot write /etc/astromesh/runtime.yaml' 'mount a tmpfs at /run/astromesh'
}

# The guide's first line when the wrong profile was selected.
the_configuration_can_be_seen() {
    start --env ASTROMESH_ROLE=worker --env ASTROMESH_MESH_ENABLED=true --env ASTROMESH_SEEDS=http://127.0.0.1:1 \
        --env ASTROMESH_NODE_NAME=w1 "$image"
    within 10 ctl "$id" healthcheck
    expect "$(docker exec "$id" cat /etc/astromesh/runtime.yaml)" '/etc/astromesh/profiles/mesh-worker.yaml' \
        'name: mesh-worker' 'node_name: w1' '- http://127.0.0.1:1'
    discard "$id"
}

healthy_is_what_answers_without_curl() {
    equal "$(docker image inspect --format '{{json .Config.Healthcheck.Test}}' "$image")" \
        '["CMD","astromeshctl","healthcheck"]' HEALTHCHECK
    start "$image"
    docker exec "$id" sh -c '! command -v curl' || fail 'there is a curl in it'
    within 30 is_healthy "$id"
    # A process that is stopped does not answer.
    docker kill --signal STOP "$id" >/dev/null
    local code=0
    ctl "$id" healthcheck || code=$?
    equal "$code" 1 'exit code of the check'
    discard "$id"
}

# The guide's command, with a port of its own, and with a port in the file that nothing but the file says.
a_mounted_file_is_used_as_the_guide_says() {
    local file
    file=$(mktemp)
    cat >"$file" <<'END'
apiVersion: astromesh/v1
kind: RuntimeConfig
metadata: {name: mine}
spec: {api: {port: 9000}, mesh: {enabled: true, node_name: mine}}
END
    chmod a+r "$file"
    start -v "$file:/etc/astromesh/runtime.yaml:ro" -e ASTROMESH_AUTO_CONFIG=false -p 127.0.0.1::9000 "$image"
    within 10 ctl "$id" healthcheck
    expect "$(ctl "$id" mesh status)" 'Here      mine (role mine'
    expect "$(curl -sf "http://$(docker port "$id" 9000)/v1/mesh/state")" '"name":"mine"'
    expect "$(logged "$id")" 'configured by /etc/astromesh/runtime.yaml'
    within 30 is_healthy "$id"
    discard "$id"

    # Without the variable it is used as well, and with a read-only root.
    start --read-only --tmpfs /run/astromesh:uid=65532,gid=65532 -v "$file:/etc/astromesh/runtime.yaml:ro" "$image"
    within 10 ctl "$id" healthcheck
    expect "$(logged "$id")" 'is not of our making'
    discard "$id"
    rm "$file"

    local said code=0
    said=$(docker run --rm -e ASTROMESH_AUTO_CONFIG=false "$image" 2>&1) || code=$?
    equal "$code" 2 'exit code without a file'
    expect "$said" '[entrypoint] ERROR: No config at /etc/astromesh/runtime.yaml'
}

a_mounted_file_that_does_not_exist_is_explained() {
    local folder said code=0
    folder=$(mktemp -d)
    said=$(docker run --rm -v "$folder/runtime.yaml:/etc/astromesh/runtime.yaml:ro" -e ASTROMESH_AUTO_CONFIG=false \
        "$image" 2>&1) || code=$?
    equal "$code" 2 'exit code'
    expect "$said" 'is a folder: the file to be mounted there does not exist on the host'
    rm -r "$folder"
}

a_restart_makes_the_configuration_anew() {
    start "$image"
    within 10 ctl "$id" healthcheck
    docker restart "$id" >/dev/null
    within 10 ctl "$id" healthcheck
    equal "$(logged "$id" | grep -c 'Made /etc/astromesh/runtime.yaml')" 2 'times made'
    discard "$id"
}

keys_reach_the_daemon() {
    start -e OPENAI_API_KEY=key-one -e ANTHROPIC_API_KEY=key-two "$image"
    within 10 ctl "$id" healthcheck
    equal "$(docker exec "$id" cat /proc/1/comm)" astromeshd 'process 1'
    expect "$(docker exec "$id" sh -c 'tr "\0" "\n" </proc/1/environ')" \
        OPENAI_API_KEY=key-one ANTHROPIC_API_KEY=key-two
    [[ $(logged "$id") != *key-one* ]] || fail 'a key is in the log'
    discard "$id"
}

it_stops_in_good_order() {
    start "$image"
    within 10 ctl "$id" healthcheck
    docker stop --time 30 "$id" >/dev/null
    equal "$(docker inspect --format '{{.State.ExitCode}}' "$id")" 0 'exit code'
    expect "$(logged "$id")" 'SIGTERM: finishing what is in flight' stopped
    discard "$id"
}

agents_can_be_mounted() {
    local folder
    folder=$(mktemp -d)
    cat >"$folder/parrot.agent.yaml" <<'END'
apiVersion: astromesh/v1
kind: Agent
metadata: {name: parrot}
spec: {identity: {description: repeats}, model: {primary: {provider: echo, model: echo}}}
END
    chmod -R a+rX "$folder"
    start -v "$folder:/etc/astromesh/agents:ro" "$image"
    within 10 ctl "$id" healthcheck
    equal "$(docker exec "$id" astromeshctl run parrot hello 2>/dev/null)" hello 'the answer'
    discard "$id"
    rm -r "$folder"
}

any_command_can_be_run() {
    expect "$(docker run --rm "$image" astromeshctl --version)" 'astromeshctl '
    expect "$(docker run --rm "$image" --check 2>&1)" 'is valid'
}

# The scenes of entry.sh, in containers.
entrypoint_part() {
    host=node-of-the-test
    local each
    for each in "${entry_scenes[@]}"; do
        scene "entrypoint $each (in a container)" "$each"
    done
}

enter() {
    local variables=() each
    for each; do
        variables+=(--env "$each")
    done
    code=0
    said=$(docker run --rm --hostname "$host" "${variables[@]}" "$image" sh -c \
        'entrypoint.sh --check && echo ---- && cat /etc/astromesh/runtime.yaml' 2>&1) || code=$?
    made=''
    if [[ $said == *$'\n----\n'* ]]; then
        made=${said#*$'\n----\n'}
        said=${said%%$'\n----\n'*}
    fi
}
