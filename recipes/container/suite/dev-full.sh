# recipes/dev-full.yml: its nodes; what they tell of a request to a stand-in for the collector; and a real Prometheus that
# finds them and can answer all that the dashboard asks. Sourced by test.sh. Grafana, Jaeger and a real collector were not
# run.

dev_full_part() {
    open dev-full
    gateway=$project-gateway
    export PROMETHEUS_PUBLISH=127.0.0.1: GRAFANA_PUBLISH=127.0.0.1: JAEGER_PUBLISH=127.0.0.1:
    export OTEL_COLLECTOR_IMAGE=$mark-stand-in-for-the-collector PROMETHEUS_IMAGE=$mark-prometheus
    unset OTEL_EXPORTER_OTLP_ENDPOINT
    local each
    for each in its_three_nodes_are_a_mesh_too the_logs_are_json; do
        scene "dev-full $each" "$each"
    done
    if command -v busybox >/dev/null; then
        scene 'dev-full two_nodes_tell_the_collector_of_one_trace' two_nodes_tell_the_collector_of_one_trace
    else
        echo '######  NOT RUN: the stand-in for the collector, for there is no busybox (apt-get install busybox-static)'
    fi
    if command -v prometheus promtool >/dev/null; then
        for each in prometheus_finds_every_node_by_name the_dashboard_asks_nothing_in_vain the_alerts_are_loaded; do
            scene "dev-full $each" "$each"
        done
    else
        echo '######  NOT RUN: Prometheus, which is not installed here (apt-get install --no-install-recommends prometheus)'
    fi
    close --volumes
    docker rmi "$PROMETHEUS_IMAGE" "$OTEL_COLLECTOR_IMAGE" >/dev/null 2>&1 || true
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

# Stands in for the collector: busybox, which takes what is told on the port 4318 and keeps each body as a file. It wants
# the configuration to be where the recipe says, and does not read it.
make_stand_in_for_the_collector() {
    local root
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,told,tmp}
    cp "$(command -v busybox)" "$root/bin/"
    cat >"$root/bin/collector" <<'EOF'
#!/bin/busybox sh
[ -f "${1#--config=}" ] || exit 1
busybox nc -ll -p 4318 -e /bin/take &
trap exit TERM
wait
EOF
    cat >"$root/bin/take" <<'EOF'
#!/bin/busybox sh
# One call: its head up to the empty line, and as much of a body as that says.
while read -r name value && [ "$name" != $'\r' ]; do
    case $name in
        [Cc]ontent-[Ll]ength:) length=${value%?} ;;
    esac
done
busybox head -c "$length" >"/tmp/$$"
busybox mv "/tmp/$$" /told/
printf 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'
EOF
    chmod +x "$root"/bin/*
    tar -C "$root" --owner 0 --group 0 -c . |
        docker import --change 'ENTRYPOINT ["/bin/collector"]' - "$OTEL_COLLECTOR_IMAGE"
    rm -r "$root"
}

# A request of a trace that the client began, which the gateway lets the worker run: what the worker tells is below what
# the gateway tells, and that below the client's.
two_nodes_tell_the_collector_of_one_trace() {
    make_stand_in_for_the_collector
    compose up -d otel-collector
    within 20 the_collector_knows_of_a_request
}

# What a node told before the collector was there is lost, so it is asked anew. In a subshell, which may fail.
the_collector_knows_of_a_request() (
    trace=$(tr -d - </proc/sys/kernel/random/uuid)
    curl -sf "$(url "$gateway")/v1/agents/echo/run" -H "traceparent: 00-$trace-b7ad6b7169203331-01" -d '{"query":"hello"}'
    within 4 was_told_of "$trace"
)

was_told_of() {
    # Each body is one line of its own.
    docker exec "$(compose ps -q otel-collector)" busybox sh -c 'for each in /told/*; do busybox cat "$each"; echo; done' |
        python3 -c '
import json, sys

spans = {}
for body in sys.stdin:
    for resource in json.loads(body)["resourceSpans"]:
        about = {each["key"]: each["value"].get("stringValue") for each in resource["resource"]["attributes"]}
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if span["traceId"] == sys.argv[1]:
                    spans[span["spanId"]] = (about["astromesh.node.name"], span["parentSpanId"])
top = [own for own, (node, parent) in spans.items() if (node, parent) == ("gateway", "b7ad6b7169203331")]
below = [node for node, parent in spans.values() if spans.get(parent, ("", ""))[0] == "gateway"]
sys.exit(not (len(top) == 1 and "worker" in below))
' "$1"
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
    cause_everything
    local questions question
    questions=$(python3 - "$recipes/monitoring/grafana/astromesh.json" <<'EOF'
import json, sys

for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel.get("targets", []):
        print(target["expr"].replace("$__rate_interval", "1m"))
EOF
)
    # Prometheus looks every 5 s, and a rate needs two looks.
    while IFS= read -r question; do
        within 30 has_answers "$question" 1
    done <<<"$questions"
}

the_alerts_are_loaded() {
    local rules
    rules=$(prometheus_says rules)
    expect "$rules" AstromeshMemberDead AstromeshSplit '"health":"ok"'
    [[ $rules != *'"health":"err"'* ]] || fail "$rules"
}
