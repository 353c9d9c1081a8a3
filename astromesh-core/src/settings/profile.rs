//! The profiles that ship with the daemon, also built in for a start without any file.

/// Each by its name, in the order in which they are listed.
const PROFILES: [(&str, &str); 7] = [
    ("full", include_str!("../../../profiles/full.yaml")),
    ("gateway", include_str!("../../../profiles/gateway.yaml")),
    ("worker", include_str!("../../../profiles/worker.yaml")),
    (
        "inference",
        include_str!("../../../profiles/inference.yaml"),
    ),
    (
        "mesh-gateway",
        include_str!("../../../profiles/mesh-gateway.yaml"),
    ),
    (
        "mesh-worker",
        include_str!("../../../profiles/mesh-worker.yaml"),
    ),
    (
        "mesh-inference",
        include_str!("../../../profiles/mesh-inference.yaml"),
    ),
];

/// The text of the profile `name`.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let found = PROFILES.iter().find(|(held, _)| *held == name);
    found.map(|(_, text)| *text)
}

/// The roles that there are profiles for, in a mesh or without one.
pub(super) fn roles(in_mesh: bool) -> impl Iterator<Item = &'static str> {
    let names = PROFILES.iter().map(|(name, _)| *name);
    names.filter_map(move |name| match name.strip_prefix("mesh-") {
        Some(role) => in_mesh.then_some(role),
        None => (!in_mesh).then_some(name),
    })
}
