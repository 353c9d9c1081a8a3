#!/usr/bin/env bash
# Builds the image where there is no registry: binaries of this host's cargo, on a base of this host's packages.
#
#   recipes/container/offline.sh [--base busybox|debian] [--binaries FOLDER] [--tag NAME]
#
#   --base busybox     a root of nothing but Debian's busybox-static, 2 MB, as astromesh-base:busybox (the default)
#   --base debian      bookworm's packages by mmdebstrap, as debian:bookworm-slim, unless there is such an image
#   --binaries FOLDER  where astromeshd and astromeshctl are, static; without it they are built
#   --tag NAME         the image's name, astromesh:latest by default
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
base=busybox binaries='' tag=astromesh:latest
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    printf 'offline.sh: %s\n' "$*" >&2
    exit 1
}

while (($# > 0)); do
    case $1 in
        --base) base=${2:?--base takes busybox or debian} ;;
        --binaries) binaries=${2:?--binaries takes a folder} ;;
        --tag) tag=${2:?--tag takes a name} ;;
        *) fail "unknown argument $1; the head of this file says what there is" ;;
    esac
    shift 2
done

needs() {
    command -v "$1" >/dev/null || fail "there is no $1: apt-get install $2"
}

# As in the stage `build` of the Dockerfile. The target is named so that the flag is for the programs alone.
build_binaries() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    (cd "$root" && CARGO_PROFILE_RELEASE_STRIP=symbols RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --locked --release --target "$host" -p astromeshd -p astromeshctl)
    binaries=$(cd "$root" && cd "${CARGO_TARGET_DIR:-target}/$host/release" && pwd)
}

# A root with busybox under the name of each of its commands, and the files that name lookups read.
make_busybox() {
    needs busybox busybox-static
    local busybox=$scratch/root/bin/busybox
    mkdir -p "$scratch"/root/{bin,etc,run,tmp,proc,sys,dev}
    chmod 1777 "$scratch/root/tmp"
    cp "$(command -v busybox)" "$busybox"
    (cd "$scratch/root/bin" && ./busybox --list | grep -vx busybox | xargs -n 1 ln -s busybox)
    echo 'root:x:0:0:root:/:/bin/sh' >"$scratch/root/etc/passwd"
    echo 'root:x:0:' >"$scratch/root/etc/group"
    echo 'hosts: files dns' >"$scratch/root/etc/nsswitch.conf"
    runtime=astromesh-base:busybox
    tar -C "$scratch/root" --owner 0 --group 0 -c . | docker import - "$runtime" >/dev/null
}

make_debian() {
    runtime=debian:bookworm-slim
    if docker image inspect "$runtime" >/dev/null 2>&1; then
        echo "offline.sh: $runtime is there already"
        return
    fi
    needs mmdebstrap mmdebstrap
    mmdebstrap --quiet --variant=minbase --dpkgopt='path-exclude=/usr/share/{doc,man,locale,info}/*' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/*' bookworm "$scratch/root.tar"
    docker import "$scratch/root.tar" "$runtime" >/dev/null
}

[ -n "$binaries" ] || build_binaries
version=$("$binaries/astromeshd" --version | sed 's/.* //')
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
case $base in
    busybox) make_busybox ;;
    debian) make_debian ;;
    *) fail "unknown base $base: busybox or debian" ;;
esac

mkdir -p "$scratch"/context/{recipes/container,prebuilt}
cp -r "$root/profiles" "$root/LICENSE" "$scratch/context/"
cp "$root/recipes/container/entrypoint.sh" "$scratch/context/recipes/container/"
cp "$binaries/astromeshd" "$binaries/astromeshctl" "$scratch/context/prebuilt/"
docker build --quiet --target prebuilt --tag "$tag" --file "$root/recipes/container/Dockerfile" \
    --build-arg "RUNTIME=$runtime" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$scratch/context"
docker image inspect --format "$tag on $runtime: {{.Size}} bytes" "$tag"
