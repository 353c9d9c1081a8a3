# What the entrypoint does, as scenes that hold in a container and for the script alone. Sourced by tests/entrypoint.sh and
# by test.sh, each of which says how to run it:
#
#   enter [VARIABLE=value]...
#
# starts the entrypoint with these variables and --check, so that the daemon says what it understood and ends. It leaves the
# exit code in $code, everything that was said in $said, and the configuration that was made in $made.

entry_scenes=(
    without_variables_it_is_a_full_node_named_after_its_host
    each_role_has_its_profile
    each_role_in_a_mesh_has_its_profile
    the_name_is_put_in
    seeds_are_put_in_as_people_write_them
    the_port_is_put_in
    a_wrong_port_ends_it_and_names_the_variable
    a_wrong_seed_ends_it_and_names_the_variable
    a_missing_profile_ends_it_with_the_list
    a_switch_that_is_neither_ends_it
    variables_that_are_empty_are_not_set
    what_is_printed_is_yaml_whatever_the_name
)

# The daemon's code for a configuration that cannot be used.
misconfigured=2

says() {
    [[ $said == *"$1"* ]] || fail "expected it to say: $1"$'\n'"it said: $said"
}

makes() {
    grep -qxF -- "$1" <<<"$made" || fail "expected the line: $1"$'\n'"in: $made"
}

ends() {
    ((code == $1)) || fail "expected exit code $1, found $code: $said"
}

without_variables_it_is_a_full_node_named_after_its_host() {
    enter
    ends 0
    says 'Made '
    says '/profiles/full.yaml'
    says "is valid: node $host, role full, on 0.0.0.0:8000; the mesh is off"
    makes "    node_name: $host"
    makes '    port: 8000'
}

each_role_has_its_profile() {
    local role
    for role in full gateway worker inference; do
        enter ASTROMESH_ROLE="$role"
        ends 0
        says "/profiles/$role.yaml"
        says "role $role,"
        says 'the mesh is off'
        makes "  name: $role"
    done
}

each_role_in_a_mesh_has_its_profile() {
    local role seeds
    for role in gateway worker inference; do
        enter ASTROMESH_ROLE="$role" ASTROMESH_MESH_ENABLED=true
        ends 0
        says "/profiles/mesh-$role.yaml"
        says "role $role,"
        case $role in gateway) seeds='without seeds' ;; *) seeds='with 1 seed(s)' ;; esac
        says "the mesh is on, $seeds"
        makes "  name: mesh-$role"
        makes '    enabled: true'
        [[ $role == gateway ]] || makes '    - http://gateway:8000'
    done
}

the_name_is_put_in() {
    enter ASTROMESH_NODE_NAME=gate-7
    ends 0
    says 'node gate-7,'
    makes '    node_name: gate-7'
}

seeds_are_put_in_as_people_write_them() {
    enter ASTROMESH_ROLE=worker ASTROMESH_MESH_ENABLED=true \
        ASTROMESH_SEEDS=' http://one:8000 , http://two:8000/,three:8000,'
    ends 0
    says 'with 3 seed(s)'
    makes '    - http://one:8000'
    [[ $made != *http://gateway:8000* ]] || fail "the profile's seed is still there: $made"
}

the_port_is_put_in() {
    enter ASTROMESH_PORT=9000
    ends 0
    says 'on 0.0.0.0:9000'
    makes '    port: 9000'
}

a_wrong_port_ends_it_and_names_the_variable() {
    local port
    for port in 'eight thousand' 0 65536 -1; do
        enter ASTROMESH_PORT="$port"
        ends "$misconfigured"
        says 'astromeshd: ASTROMESH_PORT: expected a port (1-65535)'
        [[ -z $made ]] || fail "a configuration was made all the same: $made"
    done
}

a_wrong_seed_ends_it_and_names_the_variable() {
    enter ASTROMESH_ROLE=worker ASTROMESH_MESH_ENABLED=true ASTROMESH_SEEDS='http://one:8000,ftp://two:8000'
    ends "$misconfigured"
    says 'astromeshd: ASTROMESH_SEEDS: '
    says 'ftp://two:8000'
}

a_missing_profile_ends_it_with_the_list() {
    enter ASTROMESH_ROLE=full ASTROMESH_MESH_ENABLED=true
    ends "$misconfigured"
    says '[entrypoint] ERROR: Profile not found: '
    says '/profiles/mesh-full.yaml'
    local name
    for name in full gateway worker inference mesh-gateway mesh-worker mesh-inference; do
        says "[entrypoint]   $name"
    done
    enter ASTROMESH_ROLE=manager
    ends "$misconfigured"
    says '[entrypoint] ERROR: Profile not found: '
    says '/profiles/manager.yaml'
}

a_switch_that_is_neither_ends_it() {
    local name
    for name in ASTROMESH_MESH_ENABLED ASTROMESH_AUTO_CONFIG; do
        enter "$name=maybe"
        ends "$misconfigured"
        says "astromeshd: $name: expected true or false"
    done
    enter ASTROMESH_ROLE=gateway ASTROMESH_MESH_ENABLED=TRUE
    ends 0
    says '/profiles/mesh-gateway.yaml'
}

variables_that_are_empty_are_not_set() {
    enter ASTROMESH_ROLE= ASTROMESH_MESH_ENABLED= ASTROMESH_NODE_NAME= ASTROMESH_SEEDS= ASTROMESH_PORT= \
        ASTROMESH_AUTO_CONFIG=
    ends 0
    says "is valid: node $host, role full, on 0.0.0.0:8000; the mesh is off"
}

what_is_printed_is_yaml_whatever_the_name() {
    local name
    for name in 'yes' '12' 'a: b # c' "it's \"quoted\"" '&anchor' 'größer'; do
        enter ASTROMESH_NODE_NAME="$name"
        ends 0
        says "node $name,"
    done
}
