# recipes/dev-full.yml: its nodes, and a real Prometheus that finds them and can answer all that the dashboard asks. Sourced
# by test.sh. Grafana was not run.

dev_full_part() {
    open dev-full
    gateway=$project-gateway
    export PROMETHEUS_PUBLISH=127.0.0.1: GRAFANA_PUBLISH=127.0.0.1:
    local each
    for each in its_three_nodes_are_a_mesh_too the_logs_are_json; do
        scene "dev-full $each" "$each"
    done
    if ! command -v prometheus promtool >/dev/null; then
        echo '######  NOT RUN: Prometheus, which is not installed here (apt-get install --no-install-recommends prometheus)'
        return
    fi
    export PROMETHEUS_IMAGE=$mark-prometheus
    for each in prometheus_finds_every_node_by_name the_dashboard_asks_nothing_in_vain the_alerts_are_loaded; do
        scene "dev-full $each" "$each"
    done
    compose down --volumes >/dev/null
    docker rmi "$PROMETHEUS_IMAGE" >/dev/null 2>&1 || true
}

its_three_nodes_are_a_mesh_too() {
    compose up -d gateway worker-main inference
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

# Debian's Prometheus with the libraries that it loads, as the image that the recipe names.
make_prometheus_image() {
    local root
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,etc/prometheus,prometheus,tmp}
    cp "$(command -v prometheus)" "$root/bin/"
    ldd "$(command -v prometheus)" | grep -o '/[^ ]*' | xargs -I{} cp --parents --dereference {} "$root"
    printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
    tar -C "$root" --owner 0 --group 0 -c . |
        docker import --change 'ENTRYPOINT ["/bin/prometheus"]' --change 'WORKDIR /prometheus' - "$PROMETHEUS_IMAGE"
    rm -r "$root"
}

# prometheus PATH ARGUMENT...: what its API says.
prometheus_says() {
    curl -sfG "http://$(docker port "${project}_prometheus_1" 9090 2>/dev/null ||
        docker port "${project}-prometheus-1" 9090)/api/v1/$1" "${@:2}"
}

# How many series answer a question.
answers() {
    prometheus_says query --data-urlencode "query=$1" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["data"]["result"]))'
}

has_answers() {
    [[ $(answers "$1") -ge $2 ]]
}

prometheus_finds_every_node_by_name() {
    make_prometheus_image
    compose up -d prometheus
    within 40 has_answers 'up{job="astromesh"} == 1' 3
    # One more is found without a word to anybody.
    compose up -d --no-recreate --scale worker=1 worker
    within 40 has_answers 'up{job="astromesh"} == 1' 4
}

# Something of everything that is shown: answers, refusals, streams, a node that dies under load, calls that are refused.
cause_everything() {
    local each at
    at=$(url "$gateway")
    for each in 1 2 3 4 5; do
        ask hello
        curl -s "$at/v1/agents/nobody/run" -d '{"query":"hello"}'
        curl -s "$at/v1/mesh/gossip" -H 'Content-Type: application/json' -d '{"nodes":7}'
        # Both lengths at once: refused, and counted.
        curl -s "$at/v1/agents/echo/run" -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' -d '{"query":"hello"}'
        curl -sN "$at/v1/chat/completions" -d '{"model":"echo","stream":true,"stream_options":{"include_usage":true},
            "messages":[{"role":"user","content":"hello"}]}'
        sleep 1
    done
}

the_dashboard_asks_nothing_in_vain() {
    cause_everything
    docker kill "$(compose ps -q worker)" >/dev/null
    for _ in $(seq 40); do
        curl -s "$(url "$gateway")/v1/agents/echo/run" -H 'Idempotency-Key: one' -d '{"query":"hello"}'
    done
    sleep 12
    cause_everything
    sleep 6
    local question empty=''
    while IFS= read -r question; do
        has_answers "$question" 1 || empty+=$question$'\n'
    done < <(python3 - "$recipes/monitoring/grafana/astromesh.json" <<'EOF'
import json, sys

for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel.get("targets", []):
        print(target["expr"].replace("$__rate_interval", "1m"))
EOF
)
    [[ -z $empty ]] || fail "nothing came of:"$'\n'"$empty"
}

the_alerts_are_loaded() {
    local rules
    rules=$(prometheus_says rules)
    expect "$rules" AstromeshMemberDead AstromeshSplit '"health":"ok"'
    [[ $rules != *'"health":"err"'* ]] || fail "$rules"
}
