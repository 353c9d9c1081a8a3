//! A `runtime.yaml` with variables and flags: settings that go together, or a short complaint that names its place.
//!
//! The first lines, each `NAME=value`, are variables (the short names of [`NAMES`]) and flags; what follows the first line
//! without such a name is the file. If there is nothing, there is no file.

use crate::decode::first_line;
use astromesh_core::settings::{Environment, Flags, Settings};
use std::fs;
use std::path::{Path, PathBuf};

/// What may stand before the file, and what it sets.
pub const NAMES: [(&str, &str); 12] = [
    ("ROLE", "ASTROMESH_ROLE"),
    ("MESH", "ASTROMESH_MESH_ENABLED"),
    ("NAME", "ASTROMESH_NODE_NAME"),
    ("SEEDS", "ASTROMESH_SEEDS"),
    ("PORT", "ASTROMESH_PORT"),
    ("AUTO", "ASTROMESH_AUTO_CONFIG"),
    ("ADVERTISE", "ASTROMESH_ADVERTISE"),
    ("LOG", "ASTROMESH_LOG"),
    ("FORMAT", "ASTROMESH_LOG_FORMAT"),
    ("host", "--host"),
    ("port", "--port"),
    ("log", "--log-level"),
];

/// Where complaints that are about neither a variable nor a flag nor the file begin.
const HOST: &str = "name of this host";

/// One input: see the head of this file.
pub fn run(data: &[u8]) {
    let (environment, mut flags, file) = sorted_out(data);
    if !file.is_empty() {
        let path = place();
        fs::write(&path, file).expect("the folder for temporary files can be written to");
        flags.config = Some(path);
    }
    let settings = Settings::load(&flags, &environment);
    if let Some(path) = &flags.config {
        fs::remove_file(path).expect("it was written just now");
    }
    match settings {
        Ok(settings) => go_together(&settings),
        Err(error) => names_its_place(&error.to_string(), flags.config.as_deref()),
    }
}

/// A file of this process alone.
fn place() -> PathBuf {
    let process = std::process::id();
    std::env::temp_dir().join(format!("fuzz-settings-{process}.yaml"))
}

fn sorted_out(mut data: &[u8]) -> (Environment, Flags, &[u8]) {
    let (mut environment, mut flags) = (Environment::empty(), Flags::default());
    while let Some((name, value, rest)) = assignment(data) {
        match name {
            "--host" => flags.host = Some(value.to_owned()),
            "--port" => flags.port = Some(value.to_owned()),
            "--log-level" => flags.log_level = Some(value.to_owned()),
            name => environment = environment.with(name, value),
        }
        data = rest;
    }
    (environment, flags, data)
}

/// What the first line sets, to what, and what follows it.
fn assignment(data: &[u8]) -> Option<(&'static str, &str, &[u8])> {
    let (line, rest) = first_line(data);
    let (short, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
    let (_, name) = NAMES.iter().find(|(name, _)| *name == short)?;
    Some((name, value, rest))
}

fn go_together(settings: &Settings) {
    assert!(settings.api.port > 0);
    assert!(settings.limits.header_bytes >= 8 && settings.limits.headers <= 1_024);
    if let Some(mesh) = &settings.mesh {
        assert_eq!(mesh.config.check(), Ok(()));
        assert!(settings.peers.is_empty());
    }
}

fn names_its_place(complaint: &str, file: Option<&Path>) {
    let file = file.map(|path| path.display().to_string());
    let begins_with = |place: &str| complaint.starts_with(place);
    let by_name = NAMES.iter().any(|(_, name)| begins_with(name));
    let in_file = file.as_deref().is_some_and(begins_with);
    let unreadable = file.is_some_and(|file| begins_with(&format!("cannot read {file}")));
    assert!(
        by_name || in_file || unreadable || begins_with(HOST),
        "{complaint}"
    );
    assert!(complaint.lines().count() <= 4, "{complaint}");
}
