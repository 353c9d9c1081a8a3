# recipes/single-node.yml. Sourced by test.sh.

single_node_part() {
    open single-node
    local each
    for each in one_command_starts_a_node_that_answers it_has_every_service it_is_gone_after_down; do
        scene "single-node $each" "$each"
    done
}

one_command_starts_a_node_that_answers() {
    compose up -d
    within 15 ctl "$project" healthcheck
    expect "$(curl -sf "$(url "$project")/v1/agents/echo/run" -d '{"query":"hello"}')" '"answer":"hello"'
    expect "$(ctl "$project" agents list)" echo
    within 30 is_healthy "$project"
}

it_has_every_service() {
    expect "$(docker exec "$project" cat /etc/astromesh/runtime.yaml)" 'name: full' 'agents: true' 'api: true' \
        'channels: true' 'inference: true' 'memory: true' 'observability: true' 'rag: true' 'tools: true'
    local code=0
    ctl "$project" mesh status || code=$?
    equal "$code" 5 'exit code without a mesh'
}

it_is_gone_after_down() {
    compose down
    equal "$(docker ps --all --quiet --filter "name=^$project\$")" '' 'containers left'
}
