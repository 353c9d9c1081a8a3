//! Where settings come from: the file or a built-in profile, then the variables, then the flags.
//!
//! Each is checked by itself while its place is still known (a line, a variable, a flag), and figment lays one over the
//! other. It also remembers which layer a key came from, for the complaints that only show once all are together.

use super::profile;
use super::raw::{LogFilter, LogFormat, Merged};
use super::seed::Seed;
use crate::error::ConfigError;
use crate::leaf::{Leaf, Listen, Place, Port, Scalar, Switch};
use crate::wording::{self, suggestion};
use crate::yaml::{self, Fault};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use maia::id::Name;
use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands on the daemon's command line, unchecked. Each wins over the variable and the key of the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`: a file, or a folder with `runtime.yaml` and `agents/`.
    pub config: Option<PathBuf>,
    /// `--host`: the address to listen on.
    pub host: Option<String>,
    /// `--port`: the port to listen on.
    pub port: Option<String>,
    /// `--log-level`: a level, or `target=level`, or several with commas between.
    pub log_level: Option<String>,
}

/// What a process finds around itself: its variables, the name of its host, and the files to look for.
///
/// A value of its own, so that a test can make one up.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    hostname: String,
    search: Vec<PathBuf>,
}

impl Environment {
    /// That of this process, on the host called `hostname`.
    pub fn of_process(hostname: &str) -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Self {
            variables: env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            hostname: hostname.to_owned(),
            search: vec![
                "/etc/astromesh/runtime.yaml".into(),
                "./runtime.yaml".into(),
            ],
        }
    }

    /// One without variables and without files to look for, on a host called `localhost`.
    pub fn empty() -> Self {
        Self {
            variables: BTreeMap::new(),
            hostname: "localhost".to_owned(),
            search: Vec::new(),
        }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same on a host called `hostname`.
    #[must_use]
    pub fn on_host(self, hostname: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            ..self
        }
    }

    /// The same with these files to look for, the first that exists being taken.
    #[must_use]
    pub fn searching<P: Into<PathBuf>>(self, files: impl IntoIterator<Item = P>) -> Self {
        Self {
            search: files.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// A variable that is set to something. Compose sets those it has no value for to nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?.trim();
        Some(value).filter(|value| !value.is_empty())
    }
}

/// Variables may hold secrets, so only their names are printed.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("hostname", &self.hostname)
            .field("search", &self.search)
            .finish()
    }
}

/// What a node's settings are based on. Prints as a log line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A profile of the daemon's own, where there was no file.
    BuiltIn(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::BuiltIn(name) => write!(f, "built-in profile {name}"),
        }
    }
}

/// A variable or a flag that sets a key.
struct Setter {
    name: &'static str,
    key: &'static str,
    read: fn(&str) -> Result<Value, String>,
}

const ROLE: &str = "ASTROMESH_ROLE";
const MESH_ENABLED: &str = "ASTROMESH_MESH_ENABLED";
const AUTO_CONFIG: &str = "ASTROMESH_AUTO_CONFIG";
pub(super) const ADVERTISE: &str = "ASTROMESH_ADVERTISE";
pub(super) const SEEDS: &str = "ASTROMESH_SEEDS";

/// The variables that `ASTROMESH_AUTO_CONFIG=false` puts out of force.
const AUTOMATIC: [Setter; 5] = [
    Setter::new(ROLE, "role", text::<Name>),
    Setter::new(MESH_ENABLED, "spec.mesh.enabled", switch),
    Setter::new("ASTROMESH_NODE_NAME", "spec.mesh.node_name", text::<Name>),
    Setter::new(SEEDS, "spec.mesh.seeds", seeds),
    Setter::new("ASTROMESH_PORT", "spec.api.port", port),
];

/// The variables that always hold.
const ALWAYS: [Setter; 3] = [
    Setter::new(ADVERTISE, "spec.mesh.advertise", text::<Place>),
    Setter::new("ASTROMESH_LOG", "log.filter", text::<LogFilter>),
    Setter::new("ASTROMESH_LOG_FORMAT", "log.format", text::<LogFormat>),
];

/// Variables that mean something to others: the command line, the image's entrypoint and the recipes.
const OTHERS: [&str; 5] = [
    "ASTROMESH_URL",
    "ASTROMESH_IMAGE",
    "ASTROMESH_CONTAINER",
    "ASTROMESH_PUBLISH",
    "ASTROMESH_ETC",
];

impl Setter {
    const fn new(
        name: &'static str,
        key: &'static str,
        read: fn(&str) -> Result<Value, String>,
    ) -> Self {
        Self { name, key, read }
    }

    fn layer(&self, value: &str) -> Result<Layer, ConfigError> {
        let value = (self.read)(value).map_err(|reason| ConfigError::at(self.name, reason))?;
        Ok(Layer::new(self.name, self.key, value))
    }
}

/// Text that a leaf accepts stays text: it is read again, once all layers are together.
fn text<T: Leaf>(value: &str) -> Result<Value, String> {
    T::read(Scalar::Text(value))?;
    Ok(Value::from(value))
}

fn switch(value: &str) -> Result<Value, String> {
    Switch::read(Scalar::Text(value)).map(|Switch(on)| Value::from(on))
}

fn port(value: &str) -> Result<Value, String> {
    Port::read(Scalar::Text(value)).map(|Port(port)| Value::from(port))
}

fn seeds(value: &str) -> Result<Value, String> {
    let entries = value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let seeds: Vec<Value> = entries.map(text::<Seed>).collect::<Result<_, _>>()?;
    Ok(Value::from(seeds))
}

/// The text that settings are based on, and where it is from.
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) text: String,
    pub(super) agents_dir: Option<PathBuf>,
}

impl Source {
    /// The file that was asked for, else the first that is found, else the built-in profile that the variables name.
    pub(super) fn find(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        if let Some(path) = &flags.config {
            let is_folder = path.is_dir();
            return Self::from_file(if is_folder {
                path.join("runtime.yaml")
            } else {
                path.clone()
            });
        }
        // A file that may be there, but not for us to see, is tried as well: its complaint is better than a surprise.
        let found = environment
            .search
            .iter()
            .find(|path| path.try_exists().unwrap_or(true));
        match found {
            Some(path) => Self::from_file(path.clone()),
            None => Self::built_in(environment),
        }
    }

    /// What is wrong with this text, as it is to be shown.
    pub(super) fn complaint(&self, fault: Fault) -> ConfigError {
        fault.in_source(&self.origin.to_string())
    }

    fn from_file(path: PathBuf) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(&path).map_err(|cause| ConfigError::unreadable(&path, cause))?;
        let agents_dir = path.parent().unwrap_or(Path::new("")).join("agents");
        Ok(Self {
            origin: Origin::File(path),
            text,
            agents_dir: Some(agents_dir),
        })
    }

    fn built_in(environment: &Environment) -> Result<Self, ConfigError> {
        if !is_automatic(environment)? {
            let looked: Vec<String> = environment
                .search
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let message = format!(
                "no configuration file ({}), and no profile is to be used",
                looked.join(", ")
            );
            let hint = format!("give a file with --config, or unset {AUTO_CONFIG}");
            return Err(ConfigError::at(format!("{AUTO_CONFIG}=false"), message).with_hint(hint));
        }
        let given = environment.get(ROLE);
        let role = given.unwrap_or("full");
        let mesh = environment.get(MESH_ENABLED).unwrap_or("false");
        let Switch(in_mesh) = read_variable(MESH_ENABLED, mesh)?;
        let name = if in_mesh {
            format!("mesh-{role}")
        } else {
            role.to_owned()
        };
        let text = profile::text(&name).filter(|_| !role.starts_with("mesh-"));
        let Some(text) = text else {
            let given = match given {
                Some(role) => format!("{ROLE}={}", role.escape_debug()),
                None => format!("{ROLE} not set, so {role},"),
            };
            let place = format!("{given} with {MESH_ENABLED}={in_mesh}");
            let message = format!("there is no profile {}", wording::excerpt(&name));
            let roles = profile::roles(in_mesh).collect::<Vec<_>>().join(", ");
            let hint = format!("with that, set {ROLE} to one of: {roles}");
            return Err(ConfigError::at(place, message).with_hint(hint));
        };
        Ok(Self {
            origin: Origin::BuiltIn(name),
            text: text.to_owned(),
            agents_dir: None,
        })
    }
}

fn read_variable<T: Leaf>(name: &str, value: &str) -> Result<T, ConfigError> {
    T::read(Scalar::Text(value)).map_err(|reason| ConfigError::at(name, reason))
}

/// Whether role, mesh, name, seeds and port may come from variables.
fn is_automatic(environment: &Environment) -> Result<bool, ConfigError> {
    let value = environment.get(AUTO_CONFIG).unwrap_or("true");
    read_variable(AUTO_CONFIG, value).map(|Switch(automatic)| automatic)
}

/// All layers, one over the other.
pub(super) struct Layers<'a> {
    figment: Figment,
    source: &'a Source,
}

impl<'a> Layers<'a> {
    const FILE: &'static str = "file";
    const HOSTNAME: &'static str = "name of this host";

    /// Lays the file over what the host gives, variables over the file, and flags over all.
    pub(super) fn of(
        source: &'a Source,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let hostname = Value::from(environment.hostname.as_str());
        let mut figment =
            Figment::from(Layer::new(Self::HOSTNAME, "spec.mesh.node_name", hostname));
        let spec = yaml::part(&source.text, "spec").map_err(|fault| source.complaint(fault))?;
        figment = figment.merge(Layer::new(Self::FILE, "spec", Value::from(spec)));
        for layer in variables(environment)?.into_iter().chain(given(flags)?) {
            figment = figment.merge(layer);
        }
        Ok(Self { figment, source })
    }

    /// What the layers say together.
    pub(super) fn merged(&self) -> Result<Merged, ConfigError> {
        self.figment.extract().map_err(|error| {
            let reason = wording::of_serde(&error.kind.to_string());
            let complaint = |name: &str| match name {
                Self::FILE => self.complaint(&error.path.join("."), &reason),
                Self::HOSTNAME => {
                    ConfigError::at(name, reason.as_str()).with_hint("set ASTROMESH_NODE_NAME")
                }
                name => ConfigError::at(name, reason.as_str()),
            };
            let metadata = error.metadata.as_ref();
            complaint(metadata.map_or(Self::FILE, |metadata| &*metadata.name))
        })
    }

    /// The file that would say by itself what the layers say together.
    pub(super) fn as_file(&self) -> Result<String, ConfigError> {
        let spec = self.figment.extract_inner("spec").unwrap_or_default();
        yaml::with_part(&self.source.text, "spec", &spec)
            .map_err(|fault| self.source.complaint(fault))
    }

    /// Whether a variable or a flag has set `key`.
    pub(super) fn is_overridden(&self, key: &str) -> bool {
        self.setter(key).is_some()
    }

    /// The complaint that `key` cannot be what it is, at the place that made it so.
    pub(super) fn complaint(&self, key: &str, reason: &str) -> ConfigError {
        match self.setter(key) {
            Some(name) => ConfigError::at(name, reason),
            None => self
                .source
                .complaint(yaml::fault_at(&self.source.text, key, reason)),
        }
    }

    fn setter(&self, key: &str) -> Option<String> {
        let name = &self.figment.find_metadata(key)?.name;
        Some(name.to_string()).filter(|name| name != Self::FILE && name != Self::HOSTNAME)
    }
}

fn variables(environment: &Environment) -> Result<Vec<Layer>, ConfigError> {
    let automatic = is_automatic(environment)?;
    let in_force = AUTOMATIC.iter().filter(|_| automatic).chain(&ALWAYS);
    let set = in_force.filter_map(|setter| Some((setter, environment.get(setter.name)?)));
    set.map(|(setter, value)| setter.layer(value)).collect()
}

fn given(flags: &Flags) -> Result<Vec<Layer>, ConfigError> {
    let setters = [
        (
            Setter::new("--host", "spec.api.host", text::<Listen>),
            &flags.host,
        ),
        (Setter::new("--port", "spec.api.port", port), &flags.port),
        (
            Setter::new("--log-level", "log.filter", text::<LogFilter>),
            &flags.log_level,
        ),
    ];
    let set = setters
        .iter()
        .filter_map(|(setter, value)| Some((setter, value.as_deref()?)));
    set.map(|(setter, value)| setter.layer(value)).collect()
}

/// Variables that are set to no effect: out of force, without a mesh to be for, or unknown.
pub(super) fn idle_variables(
    environment: &Environment,
    in_mesh: bool,
) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    let automatic = is_automatic(environment)?;
    let set: Vec<&str> = AUTOMATIC
        .iter()
        .map(|setter| setter.name)
        .filter(|name| environment.get(name).is_some())
        .collect();
    if !automatic && !set.is_empty() {
        warnings.push(format!(
            "{AUTO_CONFIG}=false puts {} out of force: role, mesh, name, seeds and port come from the file alone",
            set.join(", ")
        ));
    }
    for name in [SEEDS, ADVERTISE] {
        let in_force = automatic || !set.contains(&name);
        if !in_mesh && in_force && environment.get(name).is_some() {
            warnings.push(format!(
                "{name} is set but not used: the mesh is off, and {MESH_ENABLED}=true turns it on"
            ));
        }
    }
    warnings.extend(unknown_variables(environment));
    Ok(warnings)
}

fn unknown_variables(environment: &Environment) -> impl Iterator<Item = String> {
    let setters = AUTOMATIC.iter().chain(&ALWAYS).map(|setter| setter.name);
    let known: Vec<&str> = setters.chain([AUTO_CONFIG]).chain(OTHERS).collect();
    let ours = environment
        .variables
        .keys()
        .filter(|name| name.starts_with("ASTROMESH_"));
    ours.filter_map(move |name| {
        let is_known = known.contains(&name.as_str());
        (!is_known).then(|| {
            format!(
                "unknown variable {}; {}",
                name.escape_debug(),
                suggestion(name, &known)
            )
        })
    })
}

/// One key set by one thing, which figment remembers by its name.
struct Layer {
    name: &'static str,
    data: Dict,
}

impl Layer {
    fn new(name: &'static str, key: &str, value: Value) -> Self {
        Self {
            name,
            data: figment::util::nest(key, value)
                .into_dict()
                .unwrap_or_default(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}
