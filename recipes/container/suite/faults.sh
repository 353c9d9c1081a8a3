# Containers that are killed, paused, disconnected and deafened: when the others call them suspect and dead, and that they
# heal. All four at once, for the timeouts are long. Sourced by test.sh.
#
# A node is suspect 15 to 18 s after its last heartbeat and dead after 30 to 33. The heartbeat may be two seconds older than
# the fault, and younger with one that is deaf: what it says still arrives for some seconds, on connections that are open.

late=4000 # ms that a busy machine, and looking, may add
deaf=6000 # ms for which one that hears nothing may still be heard

what_is_hurt_is_suspect_and_dead_in_time_and_heals() {
    compose up -d --scale worker=4
    within 15 state_lists 7
    victims=() since=() suspect=() dead=()
    local number
    for number in 1 2 3 4; do
        victims+=("$(docker inspect --format '{{.Config.Hostname}}' "$(scaled $number)")")
    done
    hurt_all
    watch_them_die
    # The dead get no requests.
    local each
    for each in {1..20}; do
        equal "$(ask hello)" worker 'who ran it'
    done
    heal_all
    for each in 0 1 2; do
        check_times "$each" "$late"
    done
    check_times 3 $((late + deaf))
    # One row each, and nobody else is there.
    within 10 state_lists 7
    equal "$(ctl "$gateway" mesh nodes | grep -c alive)" 7 rows
    for each in "${victims[@]}"; do
        equal "$(row "$gateway" "$each" status)" alive "$each"
        within 15 asked_is "$each"
    done
}

# The third finds its address taken by another container when it comes back, and gets a new one. That one is begun before
# the first is killed, or it could take the address of either.
hurt_all() {
    since[2]=$(now_ms)
    docker network disconnect "${project}_default" "$(scaled 3)"
    printf 'disconnected within %s ms\n' "$(($(now_ms) - since[2]))"
    start --network "${project}_default" "$image" sh -c 'sleep 300'
    # Also where the scene fails: what is in the network keeps later scenes from taking that down.
    trap 'discard "$id"' EXIT
    since[0]=$(now_ms)
    docker kill "$(scaled 1)"
    since[1]=$(now_ms)
    docker pause "$(scaled 2)"
    since[3]=$(now_ms)
    deafen --append
}

heal_all() {
    docker start "$(scaled 1)"
    docker unpause "$(scaled 2)"
    docker network connect "${project}_default" "$(scaled 3)"
    deafen --delete
}

# Nothing comes in at the fourth from its network any more; what it sends goes out.
deafen() {
    ((EUID == 0)) || fail 'only root can cut a container off one way, by nsenter and iptables'
    nsenter --target "$(docker inspect --format '{{.State.Pid}}' "$(scaled 4)")" --net \
        iptables "$1" INPUT ! --in-interface lo --jump DROP
}

# Looks at the gateway and at the worker until each calls all four dead.
watch_them_die() {
    local deadline=$((SECONDS + 60)) left=8
    while ((left > 0)); do
        ((SECONDS < deadline)) || fail "after 60 s: $(ctl "$gateway" mesh nodes)"
        left=8
        look "$gateway" 0
        look "$worker" 4
        sleep 0.3
    done
}

# look VIEWER FROM: notes when VIEWER first calls each victim suspect, and dead, from that index on.
look() {
    local table now each at
    table=$(ctl "$1" mesh nodes)
    now=$(now_ms)
    for each in 0 1 2 3; do
        at=$(($2 + each))
        case $table in
            *"${victims[each]}  suspect"*) suspect[at]=${suspect[at]:-$((now - since[each]))} ;;
            *"${victims[each]}  dead"*)
                dead[at]=${dead[at]:-$((now - since[each]))}
                left=$((left - 1))
                ;;
        esac
    done
}

# check_times VICTIM LATE: as both viewers saw it.
check_times() {
    local at
    for at in "$1" $(($1 + 4)); do
        printf '%s: suspect after %s ms, dead after %s ms\n' "${victims[$1]}" "${suspect[at]:-?}" "${dead[at]}"
        [[ -n ${suspect[at]:-} ]] || fail "${victims[$1]} was never suspect"
        ((suspect[at] >= 13000 && suspect[at] <= 18000 + $2)) || fail 'suspect at the wrong time'
        ((dead[at] >= 28000 && dead[at] <= 33000 + $2)) || fail 'dead at the wrong time'
    done
}
