# recipes/dev-full.yml, as far as there is something in it. Sourced by test.sh.

dev_full_part() {
    open dev-full
    gateway=$project-gateway
    local each
    for each in its_three_nodes_are_a_mesh_too the_logs_are_json; do
        scene "dev-full $each" "$each"
    done
}

its_three_nodes_are_a_mesh_too() {
    compose up -d
    within 15 state_lists 3
    within 5 ask hello
}

# Every line but the entrypoint's.
the_logs_are_json() {
    local lines
    lines=$(logged "$gateway" | grep -v '^\[entrypoint\]')
    expect "$lines" joined
    if grep -v '^{.*}$' <<<"$lines"; then
        fail 'these lines of the log are no objects'
    fi
}
