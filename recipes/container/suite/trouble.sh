# What the guide says of containers without a recipe: static peers, a file of one's own for a full node in a mesh, and its
# troubleshooting. Sourced by test.sh.

trouble_part() {
    network=$mark-net
    docker network create --label "test=$mark" "$network" >/dev/null
    local each
    for each in static_peers_come_with_the_profiles a_full_node_in_a_mesh_takes_a_file \
        a_mesh_that_is_off_is_named_with_what_turns_it_on a_seed_on_another_network_is_named \
        a_container_without_a_profile_says_so_in_its_log; do
        scene "trouble $each" "$each"
    done
}

# start_as NAME ARGUMENT...: a container that the others on the network call NAME.
start_as() {
    start --network "$network" --network-alias "$1" --env "ASTROMESH_NODE_NAME=$1" "${@:2}"
}

# The gateway's profile has one peer, http://worker:8000.
static_peers_come_with_the_profiles() {
    local worker_id
    start_as worker --env ASTROMESH_ROLE=worker "$image"
    worker_id=$id
    start_as gateway --env ASTROMESH_ROLE=gateway "$image"
    within 10 ctl "$id" healthcheck
    within 10 ctl "$worker_id" healthcheck
    expect "$(docker exec "$id" astromeshctl run echo hello 2>&1)" hello 'worker ran it'
    # A peer that is dead is an answer and not a request that hangs.
    docker kill "$worker_id" >/dev/null
    local said code=0
    said=$(docker exec "$id" astromeshctl run echo hello 2>&1) || code=$?
    equal "$code" 1 'exit code'
    expect "$said" 'No available node provides agent'
    discard "$id"
    discard "$worker_id"
}

a_full_node_in_a_mesh_takes_a_file() {
    local seed
    start_as gateway --env ASTROMESH_ROLE=gateway --env ASTROMESH_MESH_ENABLED=true "$image"
    seed=$id
    start_as all -v "$recipes/../profiles/full.yaml:/etc/astromesh/runtime.yaml:ro" --env ASTROMESH_MESH_ENABLED=true \
        --env ASTROMESH_SEEDS=http://gateway:8000 "$image"
    within 15 ctl "$id" mesh status --wait 2
    expect "$(ctl "$seed" mesh nodes)" 'api,agents,inference,memory,tools,channels,rag,observability'
    discard "$id"
    discard "$seed"
}

a_mesh_that_is_off_is_named_with_what_turns_it_on() {
    local said code=0
    start_as gateway --env ASTROMESH_ROLE=gateway "$image"
    within 10 ctl "$id" healthcheck
    said=$(docker exec "$id" astromeshctl mesh status 2>&1) || code=$?
    equal "$code" 5 'exit code'
    expect "$said" 'the mesh is off' 'ASTROMESH_MESH_ENABLED'
    discard "$id"
}

# On Docker's own bridge no name of another network resolves.
a_seed_on_another_network_is_named() {
    start --env ASTROMESH_ROLE=worker --env ASTROMESH_MESH_ENABLED=true --env ASTROMESH_SEEDS=http://gateway:8000 "$image"
    within 15 says_its_seed_fails "$id"
    expect "$(ctl "$id" healthcheck)" 'healthy, not ready (joining)' 'seed http://gateway:8000 fails'
    discard "$id"
}

says_its_seed_fails() {
    [[ $(ctl "$1" mesh status) == *'! seed http://gateway:8000 failing: cannot be reached'* ]]
}

a_container_without_a_profile_says_so_in_its_log() {
    start --env ASTROMESH_ROLE=full --env ASTROMESH_MESH_ENABLED=true "$image"
    equal "$(docker wait "$id")" 2 'exit code'
    expect "$(logged "$id")" '[entrypoint] ERROR: Profile not found: /etc/astromesh/profiles/mesh-full.yaml' \
        'Available profiles:' '  mesh-gateway'
    discard "$id"
}
