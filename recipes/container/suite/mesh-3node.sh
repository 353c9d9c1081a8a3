# recipes/mesh-3node.yml, and what the guide says one can do with it. Sourced by test.sh.

mesh_3node_part() {
    open mesh-3node
    gateway=$project-gateway worker=$project-worker inference=$project-inference
    local each
    for each in one_command_and_three_nodes_are_alive every_container_is_healthy \
        mesh_status_is_the_overview_on_any_node mesh_nodes_is_the_whole_table the_generated_configuration_can_be_seen \
        a_request_at_the_gateway_is_answered_by_the_worker mesh_leave_takes_the_worker_out_and_join_brings_it_back \
        scaling_adds_workers_that_get_requests a_killed_worker_costs_no_request_that_may_run_twice \
        a_killed_worker_costs_no_more_than_what_it_ran what_is_hurt_is_suspect_and_dead_in_time_and_heals \
        scaling_down_loses_no_request docker_stop_loses_no_request \
        up_after_down_starts_clean any_order_of_starting_ends_in_one_mesh; do
        scene "mesh-3node $each" "$each"
    done
    close
}

one_command_and_three_nodes_are_alive() {
    compose up -d
    within 15 state_lists 3
}

# Whether the guide's curl shows so many nodes, all of them alive.
state_lists() {
    local found
    found=$(curl -sf "$(url "$gateway")/v1/mesh/state" | grep -o '"status":"[a-z]*"' | tr -d '"' | sort | uniq -c | xargs)
    [[ $found == "$1 status:alive" ]]
}

every_container_is_healthy() {
    local each
    for each in "$gateway" "$worker" "$inference"; do
        within 30 is_healthy "$each"
    done
}

mesh_status_is_the_overview_on_any_node() {
    local each
    for each in "$gateway" "$worker" "$inference"; do
        expect "$(ctl "$each" mesh status)" '3 nodes: 3 alive, 0 suspect, 0 dead' 'Leader    ' 'Load      0 requests running'
    done
    expect "$(ctl "$gateway" mesh status)" 'Here      gateway (role gateway, http://'
}

mesh_nodes_is_the_whole_table() {
    local table
    table=$(ctl "$gateway" mesh nodes)
    expect "$table" NAME STATUS SINCE URL SERVICES AGENTS LOAD 'api,channels,observability' \
        'api,agents,memory,tools,rag,observability' 'api,inference,observability' 'As gateway sees it'
    local name
    for name in gateway worker inference; do
        equal "$(row "$gateway" "$name" status)" alive "$name"
    done
    [[ $(row "$gateway" worker agents) == *echo* ]] || fail "$table"
}

# row VIEWER NAME COLUMN: what `mesh nodes` says there.
row() {
    local column
    case $3 in status) column=2 ;; agents) column=6 ;; esac
    ctl "$1" mesh nodes | awk -v name="$2" -v column="$column" '{ sub(/^[*> ] /, "") } $1 == name { print $column }'
}

the_generated_configuration_can_be_seen() {
    expect "$(docker exec "$gateway" cat /etc/astromesh/runtime.yaml)" 'name: mesh-gateway' 'node_name: gateway' 'seeds: []'
    expect "$(docker exec "$worker" cat /etc/astromesh/runtime.yaml)" 'name: mesh-worker' '- http://gateway:8000'
}

# ask WORDS: answers with the name of the node that ran it.
ask() {
    curl -sf -o /dev/null -D - "$(url "$gateway")/v1/agents/echo/run" -d "{\"query\":\"$1\"}" |
        tr -d '\r' | sed -n 's/^x-astromesh-routed-to: //Ip'
}

a_request_at_the_gateway_is_answered_by_the_worker() {
    equal "$(ask hello)" worker 'who ran it'
    equal "$(docker exec "$gateway" astromeshctl run echo 'hello, mesh' 2>/dev/null)" 'hello, mesh' 'the answer'
}

mesh_leave_takes_the_worker_out_and_join_brings_it_back() {
    expect "$(ctl "$worker" mesh leave)" 'has left the mesh'
    within 5 state_lists 2
    equal "$(docker inspect --format '{{.State.Running}}' "$worker")" true 'the container runs on'
    expect "$(ctl "$worker" healthcheck)" 'healthy, not ready (left)'
    # Already left is done, too.
    ctl "$worker" mesh leave
    ctl "$worker" mesh join
    within 10 state_lists 3
    within 5 ask hello
}

scaling_adds_workers_that_get_requests() {
    local before each names=()
    before=$(docker inspect --format '{{.Id}} {{.State.StartedAt}}' "$gateway" "$worker" "$inference")
    compose up -d --scale worker=3
    within 15 state_lists 6
    equal "$(docker inspect --format '{{.Id}} {{.State.StartedAt}}' "$gateway" "$worker" "$inference")" "$before" \
        'the other containers'
    for each in $(compose ps -q worker); do
        names+=("$(docker inspect --format '{{.Config.Hostname}}' "$each")")
    done
    equal "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" 3 'names of their own'
    for each in "${names[@]}"; do
        equal "$(row "$gateway" "$each" status)" alive "$each"
        within 15 asked_is "$each"
    done
}

asked_is() {
    [[ $(ask hello) == "$1" ]]
}

# The nth of the workers that Compose counts.
scaled() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
        --filter label=com.docker.compose.service=worker --filter "label=com.docker.compose.container-number=$1"
}

# Sends requests to the gateway, three at a time, until the file $load is gone; every answer leaves its code and why.
begin_load() {
    load=$(mktemp -d)
    local target each
    target=$(url "$gateway")/v1/agents/echo/run
    touch "$load/go"
    for each in 1 2 3; do
        while [[ -e $load/go ]]; do
            curl -s -w ' %{http_code}\n' "$@" "$target?[1-20]" -d '{"query":"load"}' || true
            sleep 0.02
        done >"$load/$each" &
    done
}

# end_load: sets $sent, and $lost to the answers that were not 200.
end_load() {
    rm "$load/go"
    wait
    sent=$(cat "$load"/[123] | wc -l)
    lost=$(grep -hv ' 200$' "$load"/[123] || true)
    rm -r "$load"
    ((sent > 20)) || fail "only $sent requests were sent"
}

# Another worker runs what the killed one had.
a_killed_worker_costs_no_request_that_may_run_twice() {
    kill_under_load 2 --header 'Idempotency-Key: load'
    [[ -z $lost ]] || fail "of $sent requests these were lost: $lost"
}

# What a worker ran when it was killed may have been done or not: 502 says so, and no more than was in flight is lost.
a_killed_worker_costs_no_more_than_what_it_ran() {
    kill_under_load 3
    local codes
    codes=$(sed -n 's/.* \([0-9]*\)$/\1/p' <<<"$lost" | sort -u | xargs)
    [[ -z $codes || $codes == 502 ]] || fail "of $sent requests these were lost: $lost"
    (($(grep -c . <<<"$lost") <= 3)) || fail "more than were in flight: $lost"
}

# kill_under_load NUMBER ARGUMENT...: kills that worker under load, with these arguments to curl, and brings it back: at its
# own address, for no other is free. Elsewhere its life before would keep a row for as long as a silence takes, since nobody
# is there to refuse.
kill_under_load() {
    begin_load "${@:2}"
    sleep 1
    docker kill "$(scaled "$1")" >/dev/null
    sleep 3
    end_load
    docker start "$(scaled "$1")" >/dev/null
    within 10 worker_is_back "$1"
}

worker_is_back() {
    [[ $(row "$gateway" "$(docker inspect --format '{{.Config.Hostname}}' "$(scaled "$1")")" status) == alive ]]
}

scaling_down_loses_no_request() {
    begin_load
    sleep 1
    compose up -d --scale worker=1
    sleep 1
    end_load
    [[ -z $lost ]] || fail "of $sent requests these were lost: $lost"
    within 10 state_lists 4
}

docker_stop_loses_no_request() {
    begin_load
    sleep 1
    docker stop --time 30 "$worker" >/dev/null
    sleep 1
    end_load
    [[ -z $lost ]] || fail "of $sent requests these were lost: $lost"
    equal "$(docker inspect --format '{{.State.ExitCode}}' "$worker")" 0 'exit code'
    within 5 state_lists 3
}

up_after_down_starts_clean() {
    compose down
    equal "$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project")" '' 'containers left'
    compose up -d
    within 15 state_lists 3
    equal "$(ctl "$gateway" mesh nodes | grep -c alive)" 3 'rows'
}

any_order_of_starting_ends_in_one_mesh() {
    local order each
    for order in "$gateway $worker $inference" "$gateway $inference $worker" "$worker $gateway $inference" \
        "$worker $inference $gateway" "$inference $gateway $worker" "$inference $worker $gateway"; do
        docker kill "$gateway" "$worker" "$inference" >/dev/null
        for each in $order; do
            docker start "$each" >/dev/null
            # The next comes when this one has tried what there is to try.
            within 10 ctl "$each" healthcheck
        done
        within 15 state_lists 3
        for each in $order; do
            within 15 ctl "$each" mesh status --check
        done
    done
}
