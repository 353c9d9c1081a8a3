#!/usr/bin/env bash
# The manifests of recipes/kubernetes/, without a cluster: against Kubernetes' published schema, and their configuration on
# three real daemons that are given what a pod is given of DNS: a resolv.conf with search domains, and a server on port 53
# that has the records of a headless service. That needs root, for a network and a resolv.conf of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source recipes/container/suite/runner.sh
manifest=recipes/kubernetes/maia.yaml

not_run() {
    echo '############################################################'
    printf '# %s\n' "$@"
    echo '############################################################'
}

# The schemas come with a Python package.
they_fit_the_published_schema() {
    local own=target/kubernetes-validate
    [ -x "$own/bin/kubernetes-validate" ] \
        || { python3 -m venv "$own" && "$own/bin/pip" -q install kubernetes-validate==1.37.0; }
    "$own/bin/kubernetes-validate" --strict "$manifest"
    # It does find what is wrong.
    sed 's/terminationGracePeriodSeconds/terminationGraceSeconds/' "$manifest" >"$scratch/wrong.yaml"
    ! "$own/bin/kubernetes-validate" --strict "$scratch/wrong.yaml"
}

# A DNS server that knows three pods of the headless service, all others not.
serve_names() {
    python3 -c '
import socket, struct
ZONE = "maia-nodes.demo.svc.cluster.local"
PODS = {f"maia-{n}.{ZONE}": f"127.0.0.{n + 1}" for n in range(3)}
def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".")) + b"\0"
def record(kind, data):
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(data)) + data
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("serving", flush=True)
while True:
    asked, client = server.recvfrom(4096)
    at, labels = 12, []
    while asked[at]:
        labels.append(asked[at + 1:at + 1 + asked[at]].decode().lower())
        at += asked[at] + 1
    question, (kind,) = asked[12:at + 5], struct.unpack("!H", asked[at + 1:at + 3])
    host = ".".join(labels)
    print(host, kind, flush=True)
    found = []
    if host == f"_maia._tcp.{ZONE}":
        found = [record(33, struct.pack("!HHH", 0, 33, 8000) + name(pod)) for pod in PODS] if kind == 33 else []
    elif host in PODS:
        found = [record(1, socket.inet_aton(PODS[host]))] if kind == 1 else []
    known = host in PODS or host == f"_maia._tcp.{ZONE}"
    head = asked[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, len(found), 0, 0)
    server.sendto(head + question + b"".join(found), client)
' >"$scratch/asked" &
    children+=($!)
    within 10 grep -q serving "$scratch/asked"
}

# Runs in namespaces of its own, as the pods would be: see below.
three_pods() {
    local n ready
    children=()
    trap 'kill "${children[@]}" 2>/dev/null; wait' EXIT
    ip link set lo up
    printf 'nameserver 127.0.0.1\nsearch demo.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n' \
        >"$scratch/resolv.conf"
    mount --bind "$scratch/resolv.conf" /etc/resolv.conf
    serve_names
    for n in 0 1 2; do
        env -i ASTROMESH_NODE_NAME="maia-$n" "$binaries/astromeshd" --config "$scratch/runtime.yaml" \
            --host "127.0.0.$((n + 1))" 2>"$scratch/maia-$n.log" &
        children+=($!)
    done
    for n in 1 2 3; do
        "$binaries/astromeshctl" --url "http://127.0.0.$n:8000" --timeout 30 mesh status --wait 3 --check \
            || fail "$(cat "$scratch"/*.log "$scratch/asked")"
        ready=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.$n:8000/readyz")
        [ "$ready" = 200 ] || fail "maia-$((n - 1)) is not ready: $ready"
    done
    "$binaries/astromeshctl" --url http://127.0.0.1:8000 --json mesh status | grep -F '"srv://_maia._tcp.maia-nodes"'
    grep -F '_maia._tcp.maia-nodes.demo.svc.cluster.local 33' "$scratch/asked"
}

their_configuration_makes_a_mesh() {
    sed -n '/^  runtime.yaml: |/,/^---/{/^    /s/^    //p}' "$manifest" >"$scratch/runtime.yaml"
    export scratch binaries
    export -f three_pods serve_names within fail
    unshare --net --mount bash -euc three_pods
}

cargo build --locked -q -p astromeshd -p astromeshctl
binaries=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

scene 'the manifests fit the published schema' they_fit_the_published_schema
if [ "$(id -u)" -eq 0 ] && command -v ip >/dev/null && unshare --net --mount true 2>/dev/null; then
    scene 'their configuration makes a mesh of three, by the DNS of a pod' their_configuration_makes_a_mesh
else
    not_run 'NOT RUN: the configuration of the manifests needs root,' 'iproute2 and namespaces to be tried on daemons.'
fi
conclude
