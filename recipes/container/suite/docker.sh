# The engine, the image, and what is made on them and has to go again. Sourced by test.sh.

mark=amt$$        # what the name of everything made here begins with
built_image=''    # an image that was built here, if any
open_projects=()  # "PROJECT RECIPE"
compose_program=() # `docker compose` or `docker-compose`

find_engine() {
    docker info >/dev/null 2>&1 || {
        echo 'test.sh: no Docker engine answers here, so nothing was tested' >&2
        exit 3
    }
    if docker compose version >/dev/null 2>&1; then
        compose_program=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose_program=(docker-compose)
    else
        echo 'test.sh: there is neither docker compose nor docker-compose' >&2
        exit 3
    fi
}

find_image() {
    if [[ -z ${ASTROMESH_IMAGE:-} ]]; then
        built_image=astromesh-test:$mark
        "$here/offline.sh" --tag "$built_image"
        export ASTROMESH_IMAGE=$built_image
    fi
    image=$ASTROMESH_IMAGE
}

clean_up() {
    local each project recipe
    docker ps --all --quiet --filter "label=test=$mark" | xargs -r docker rm --force >/dev/null 2>&1 || true
    for each in "${open_projects[@]}"; do
        read -r project recipe <<<"$each"
        "${compose_program[@]}" -p "$project" -f "$recipe" down --volumes --remove-orphans --timeout 2 >/dev/null 2>&1 || true
    done
    docker network ls --quiet --filter "label=test=$mark" | xargs -r docker network rm >/dev/null 2>&1 || true
    [[ -z $built_image ]] || docker rmi "$built_image" >/dev/null 2>&1 || true
}

# open PART: the recipe of that name is the one that `compose` speaks of, with names of its own and a free port.
open() {
    project=$mark-$1
    recipe=$recipes/$1.yml
    open_projects+=("$project $recipe")
    export ASTROMESH_CONTAINER=$project ASTROMESH_PUBLISH=127.0.0.1:
}

# close ARGUMENT...: takes the recipe that was opened down, with these arguments. What a scene that failed has left in its
# network goes first, or the network could not.
close() {
    docker ps --all --quiet --filter "label=test=$mark" --filter "network=${project}_default" |
        xargs -r docker rm --force >/dev/null || true
    compose down "$@" >/dev/null || printf '######  NOT TAKEN DOWN: %s, which is tried again at the end\n' "$project"
}

compose() {
    "${compose_program[@]}" -p "$project" -f "$recipe" "$@" 2>&1
}

# start ARGUMENT...: a container of the image, away from all recipes; its id is in $id.
start() {
    id=$(docker run --detach --label "test=$mark" "$@")
}

# Stops and removes it at once.
discard() {
    docker rm --force "$1" >/dev/null
}

# ctl CONTAINER ARGUMENT...: the guide's way to ask a node.
ctl() {
    docker exec "$1" astromeshctl "${@:2}"
}

# Where the port 8000 of a container is published, as http://127.0.0.1:PORT.
url() {
    printf 'http://%s' "$(docker port "$1" 8000 | head -n 1)"
}

is_healthy() {
    [[ $(docker inspect --format '{{.State.Health.Status}}' "$1") == healthy ]]
}

# What a container has logged.
logged() {
    docker logs "$1" 2>&1
}

# expect TEXT WORDS...: the text has all these words in it.
expect() {
    local text=$1 words
    shift
    for words; do
        [[ $text == *"$words"* ]] || fail "expected: $words"$'\n'"in: $text"
    done
}

# equal FOUND EXPECTED ABOUT
equal() {
    [[ $1 == "$2" ]] || fail "$3: expected $2, found $1"
}

now_ms() {
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
}
