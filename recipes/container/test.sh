#!/usr/bin/env bash
# The container suite: the image and the recipes on a real Docker engine.
#
#   recipes/container/test.sh [image|entrypoint|compose|single-node|mesh-3node|mesh-gpu|dev-full|trouble]...
#
# runs what is named, or all of it, and ends with 1 if anything failed. It builds an image by offline.sh, unless
# ASTROMESH_IMAGE names one that is there. Every project, container and image made here has a name of its own, ports are
# picked free by the engine, and all of it is gone at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipes=$(cd "$here/.." && pwd)
source "$here/suite/runner.sh"
source "$here/suite/docker.sh"
source "$here/suite/entry.sh"
source "$here/suite/image.sh"
source "$here/suite/compose.sh"
source "$here/suite/single-node.sh"
source "$here/suite/mesh-3node.sh"
source "$here/suite/faults.sh"
source "$here/suite/mesh-gpu.sh"
source "$here/suite/dev-full.sh"
source "$here/suite/trouble.sh"

parts=("$@")
((${#parts[@]} > 0)) || parts=(image entrypoint compose single-node mesh-3node mesh-gpu dev-full trouble)

for part in "${parts[@]}"; do
    declare -F "${part//-/_}_part" >/dev/null || {
        echo "test.sh: there is no part $part; the head of this file names them" >&2
        exit 2
    }
done

# Whatever ended this, nothing is left and the closing line is said.
finish() {
    local code=$?
    # What goes wrong in here is no reason to leave the rest.
    set +e
    if ((code != 0)); then
        failed=$((failed + 1))
        printf 'FAILED  %s broke off\n' "${at_work:-the build of the image}"
    fi
    clean_up
    conclude || code=1
    exit "$code"
}

find_engine
trap finish EXIT
find_image
for part in "${parts[@]}"; do
    at_work=$part
    "${part//-/_}_part"
done
