# recipes/mesh-gpu.yml, as far as a machine without a GPU goes: its nodes run, and the device is asked for. Sourced by
# test.sh. Neither Ollama nor a model was run.

mesh_gpu_part() {
    open mesh-gpu
    gateway=$project-gateway
    local each
    for each in its_three_nodes_are_a_mesh the_inference_node_is_told_of_ollama the_gpu_is_asked_of_the_engine; do
        scene "mesh-gpu $each" "$each"
    done
}

its_three_nodes_are_a_mesh() {
    compose up -d gateway worker-main inference
    within 15 state_lists 3
}

the_inference_node_is_told_of_ollama() {
    equal "$(docker exec "$project-inference" sh -c 'echo $OLLAMA_HOST')" http://ollama:11434 OLLAMA_HOST
}

# Any image does: the engine looks for the device before anything runs.
the_gpu_is_asked_of_the_engine() {
    export OLLAMA_IMAGE=$image
    compose up --no-start ollama
    expect "$(docker inspect --format '{{json .HostConfig.DeviceRequests}}' "$project-ollama")" '"Driver":"nvidia"' \
        '"Count":-1' '[["gpu"]]'
    if docker info --format '{{json .Runtimes}}' | grep -q nvidia; then
        return
    fi
    local said code=0
    said=$(compose up -d ollama) || code=$?
    ((code != 0)) || fail "it started without a GPU: $said"
    expect "$said" 'could not select device driver'
}
