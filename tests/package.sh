#!/usr/bin/env bash
# The Debian package: built, installed, run as its unit says, upgraded and purged, on this machine. It needs root and dpkg,
# and a machine on which none is installed. Where systemd runs the machine the unit is started by it; else what the unit
# starts is started by hand, and a socket of ours hears what systemd would.
#
#   tests/package.sh [PACKAGE]     without one, recipes/package/build.sh makes it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source recipes/container/suite/runner.sh

not_run() {
    echo '############################################################'
    printf '# %s\n' "$@"
    echo '############################################################'
    exit 0
}

[ "$(id -u)" -eq 0 ] && command -v dpkg >/dev/null || not_run 'NOT RUN: the package is not tried without root and dpkg.'
[ ! -e /etc/astromesh ] && [ ! -e /usr/bin/astromeshd ] || not_run 'NOT RUN: the package is not tried where Astromesh is installed.'
missing=()
for each in systemd-analyze:systemd man:man-db setpriv:util-linux col:bsdextrautils; do
    command -v "${each%%:*}" >/dev/null || missing+=("${each#*:}")
done
if ((${#missing[@]} > 0)); then
    apt-get install -qq -y "${missing[@]}" || { apt-get update -qq && apt-get install -qq -y "${missing[@]}"; } \
        || not_run "NOT RUN: the package is not tried without ${missing[*]}."
fi >/dev/null

scratch=$(mktemp -d)
children=()
clean_up() {
    ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true
    dpkg --purge astromesh >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap clean_up EXIT
package=${1:-$(recipes/package/build.sh | tail -n 1)}
unit=/lib/systemd/system/astromeshd.service

installs() {
    dpkg --install "$package"
    astromeshd --config /etc/astromesh --check | grep -F 'is valid'
    [ "$(stat -c %a /etc/default/astromeshd)" = 600 ] || fail 'anybody may read the keys'
    for profile in profiles/*.yaml; do
        cmp "$profile" "/usr/share/astromesh/${profile}"
    done
}

the_unit_is_right() {
    local said
    said=$(systemd-analyze verify "$unit" 2>&1 | grep -F astromeshd || true)
    [ -z "$said" ] || fail "$said"
    # 0 is nothing to attack, 10 is everything.
    systemd-analyze security --offline=true --threshold=15 "$unit"
}

# what_is_offered PROGRAM WORD...: the options and commands that its help names.
what_is_offered() {
    "$@" --help | grep -oE '^  [a-z-]+|--[a-z-]+' | sed 's/^ *//; s/^--/-/' | sort -u
}

the_manuals_name_all_there_is() {
    local page text word program
    for page in astromeshd.8 astromeshctl.1; do
        text=$(MANWIDTH=120 man --warnings "${page%.*}" 2>"$scratch/warnings" | col -b)
        [ ! -s "$scratch/warnings" ] || fail "$(cat "$scratch/warnings")"
        program=${page%.*}
        {
            what_is_offered "$program"
            [ "$program" = astromeshd ] || {
                what_is_offered "$program" mesh
                what_is_offered "$program" mesh status
                what_is_offered "$program" agents
                what_is_offered "$program" run
            }
        } | sort -u >"$scratch/offered"
        [ "$(wc -l <"$scratch/offered")" -ge 6 ] || fail "the help of $program was not understood"
        while read -r word; do
            grep -qF -- "$word" <<<"$text" || fail "$page says nothing of $word"
        done <"$scratch/offered"
    done
}

the_shells_complete() {
    bash -n /usr/share/bash-completion/completions/astromeshctl
    local shell
    for shell in zsh:/usr/share/zsh/vendor-completions/_astromeshctl fish:/usr/share/fish/vendor_completions.d/astromeshctl.fish; do
        [ -s "${shell#*:}" ] || fail "${shell#*:} is empty"
        ! command -v "${shell%%:*}" >/dev/null || "${shell%%:*}" -n "${shell#*:}"
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# What systemd would hear, a message a line with spaces between.
listen_as_manager() {
    python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
' "$scratch/notify" >"$scratch/heard" &
    children+=($!)
    within 10 test -S "$scratch/notify"
    chmod 666 "$scratch/notify"
}

it_runs_as_the_unit_says() {
    local port daemon command
    port=$(free_port)
    command=$(sed -n 's/^ExecStart=//p' "$unit")
    chmod 755 "$scratch"
    listen_as_manager
    # As nobody, for the unit gives it a user with no more rights.
    # shellcheck disable=SC2086
    env -i PATH="$PATH" ASTROMESH_PORT="$port" NOTIFY_SOCKET="$scratch/notify" WATCHDOG_USEC=1000000 \
        setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all $command &
    daemon=$!
    children+=("$daemon")
    within 20 grep -F 'READY=1' "$scratch/heard"
    within 20 grep -F 'WATCHDOG=1' "$scratch/heard"
    astromeshctl --url "http://127.0.0.1:$port" healthcheck
    astromeshctl --url "http://127.0.0.1:$port" run echo 'hello, package' | grep -F 'hello, package'
    kill "$daemon"
    wait "$daemon" || fail "it ended with $?"
    grep -F 'STOPPING=1' "$scratch/heard"
    kill "${children[0]}"
}

# For a machine that systemd runs: the sandbox is real there.
it_runs_under_systemd() {
    local port
    port=$(free_port)
    mkdir -p /run/systemd/system/astromeshd.service.d
    printf '[Service]\nEnvironment=ASTROMESH_PORT=%s\n' "$port" >/run/systemd/system/astromeshd.service.d/test.conf
    systemctl daemon-reload
    # Type=notify: this returns once it serves.
    systemctl start astromeshd
    astromeshctl --url "http://127.0.0.1:$port" healthcheck
    astromeshctl --url "http://127.0.0.1:$port" run echo 'hello, systemd' | grep -F 'hello, systemd'
    systemctl stop astromeshd
    [ "$(systemctl show -p Result --value astromeshd)" = success ] || fail "$(systemctl status astromeshd)"
    rm -r /run/systemd/system/astromeshd.service.d
    systemctl daemon-reload
}

an_upgrade_keeps_what_was_written() {
    echo '# ours' >>/etc/astromesh/runtime.yaml
    dpkg --install --force-confold "$package"
    grep -F '# ours' /etc/astromesh/runtime.yaml
}

purged_it_is_gone() {
    local files
    files=$(dpkg --listfiles astromesh)
    dpkg --remove astromesh
    grep -F '# ours' /etc/astromesh/runtime.yaml
    dpkg --purge astromesh
    local file
    while read -r file; do
        [[ $file != *astromesh* ]] || [ ! -e "$file" ] || fail "$file is still there"
    done <<<"$files"
}

scene 'it installs, and its configuration is right' installs
scene 'systemd-analyze finds nothing wrong, and little to attack' the_unit_is_right
scene 'the manuals name every option and command' the_manuals_name_all_there_is
scene 'the shells can read the completions' the_shells_complete
if [ -d /run/systemd/system ]; then
    scene 'it runs under systemd' it_runs_under_systemd
else
    scene 'it runs as the unit says, and tells its manager' it_runs_as_the_unit_says
    echo 'not run  the unit in its sandbox: systemd does not run this machine'
fi
scene 'an upgrade keeps what was written' an_upgrade_keeps_what_was_written
scene 'purged, it is gone' purged_it_is_gone
conclude
