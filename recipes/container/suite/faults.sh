# Containers that are killed, paused, disconnected and deafened: when the others call them suspect and dead, and that they
# heal. All four at once, for the timeouts are long. Sourced by test.sh.
#
# A node is suspect 15 to 18 s after the last heartbeat that the viewer has seen, and dead after 30 to 33, counted by its
# pace. That heartbeat is older than the fault, mostly by up to three seconds; but whom a viewer hears of in a round is
# drawn, those who are hurt pass nothing on, and on a busy machine calls are lost. So how long it was silent is asked of
# the viewer, who alone knows, and the time since the fault is held to what no bad luck explains. The heartbeat is younger
# with one that is deaf: what it says still arrives for some seconds, on connections that are open.

unseen=8000 # ms by which the last heartbeat that was seen may be older than the fault
late=4000   # ms that a busy machine, and looking, may add
deaf=6000   # ms for which one that hears nothing may still be heard

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
    local at viewer silences
    for at in "$1" $(($1 + 4)); do
        viewer=$gateway
        ((at < 4)) || viewer=$worker
        silences=$(silences "$viewer" "${victims[$1]}")
        printf '%s: suspect after %s ms, dead after %s ms, to %s:\n' \
            "${victims[$1]}" "${suspect[at]:-?}" "${dead[at]}" "$viewer"
        logged "$viewer" | grep -F "${victims[$1]}" || true
        [[ -n ${suspect[at]:-} && -n $silences ]] || fail "${victims[$1]} was never suspect"
        ((${silences%% *} >= 15)) || fail 'suspect before it was silent for 15 s'
        ((suspect[at] >= 15000 - unseen && suspect[at] <= 18000 + $2)) || fail 'suspect at the wrong time'
        ((dead[at] >= 30000 - unseen && dead[at] <= 33000 + $2)) || fail 'dead at the wrong time'
    done
}

# silences VIEWER NAME: for how many whole seconds it was silent each time that VIEWER suspected it for that, the shortest
# first.
silences() {
    logged "$1" | sed -n "s/.* $2 is suspect after \([0-9]*\)\.[0-9] s: silent.*/\1/p" | sort -n | xargs
}
