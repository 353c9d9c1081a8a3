# The recipes as files: what Compose makes of them, and the Compose specification. Sourced by test.sh.

compose_part() {
    local each
    checker=${CHECK_JSONSCHEMA:-check-jsonschema}
    configs=$(mktemp -d)
    for each in compose_accepts_every_recipe names_and_ports_are_those_of_the_guide every_node_has_time_to_finish; do
        scene "compose $each" "$each"
    done
    rm -r "$configs"
    if command -v "$checker" >/dev/null; then
        scene 'compose every_recipe_is_one_by_the_specification' every_recipe_is_one_by_the_specification
    else
        echo '######  NOT CHECKED: the recipes against the Compose specification, for there is no check-jsonschema'
        echo '######  (pip install check-jsonschema, or say where it is in CHECK_JSONSCHEMA)'
    fi
}

# configured RECIPE: as Compose reads it, with nothing set.
configured() {
    cat "$configs/$1"
}

compose_accepts_every_recipe() {
    local each
    for each in single-node mesh-3node mesh-gpu dev-full; do
        env -u ASTROMESH_IMAGE -u ASTROMESH_CONTAINER -u ASTROMESH_PUBLISH \
            "${compose_program[@]}" -f "$recipes/$each.yml" config >"$configs/$each" || fail "$each.yml is not accepted"
    done
}

# check-jsonschema brings the specification's schema with it, so that this asks nobody.
every_recipe_is_one_by_the_specification() {
    "$checker" --builtin-schema vendor.compose-spec "$recipes"/*.yml
}

names_and_ports_are_those_of_the_guide() {
    expect "$(configured single-node)" 'container_name: astromesh' 'image: astromesh:latest'
    local each
    for each in mesh-3node mesh-gpu dev-full; do
        expect "$(configured "$each")" 'container_name: astromesh-gateway' 'container_name: astromesh-worker' \
            'image: astromesh:latest'
    done
    for each in single-node mesh-3node mesh-gpu dev-full; do
        # The one port that the world sees; others are for this machine.
        equal "$(sed -n '/:-127\.0\.0\.1:/d; s/^ *ports: //p' "$recipes/$each.yml")" \
            '["${ASTROMESH_PUBLISH:-8000}:8000"]' "$each.yml"
    done
}

every_node_has_time_to_finish() {
    local each nodes graces
    for each in single-node mesh-3node mesh-gpu dev-full; do
        nodes=$(configured "$each" | grep -c 'image: astromesh:latest')
        graces=$(configured "$each" | grep -c 'stop_grace_period: 30s')
        ((graces >= nodes)) || fail "$each.yml: $nodes nodes, $graces with 30 s to stop"
    done
}
