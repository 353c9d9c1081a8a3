//! What a command comes to: an answer, what is wrong, and the exit code that says which.

use astromesh_core::arguments::UsageError;
use maia::address::Url;
use std::time::Duration;

/// How the program ends. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done, or was done already.
    Done = 0,
    /// The daemon refused or failed, or there is a bug.
    Refused = 1,
    /// The command line or the environment is wrong.
    Usage = 2,
    /// The daemon cannot be reached, or did not answer in time.
    Unreachable = 3,
    /// `--check` found a member that is not alive, or `--wait` ran out.
    NotAlive = 4,
    /// The mesh is off on this node.
    MeshOff = 5,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// What is to be printed, and how to end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// For stdout; a line break is added. `None` where there is no answer.
    pub answer: Option<String>,
    /// For stderr, a line.
    pub remark: Option<String>,
    /// How to end.
    pub exit: Exit,
}

impl Outcome {
    /// Done, with this answer.
    pub fn done(answer: impl Into<String>) -> Self {
        Self {
            answer: Some(answer.into()),
            remark: None,
            exit: Exit::Done,
        }
    }

    /// Done, with nothing more to say.
    pub fn silent() -> Self {
        Self {
            answer: None,
            remark: None,
            exit: Exit::Done,
        }
    }

    /// The same, with a line on stderr.
    pub fn remarking(self, remark: impl Into<String>) -> Self {
        Self {
            remark: Some(remark.into()),
            ..self
        }
    }

    /// The same answer, but the program ends with `exit`, and says why.
    pub fn but(self, exit: Exit, why: &str) -> Self {
        Self {
            exit,
            ..self.remarking(complaint(why))
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let exit = failure.exit();
        let remark = match failure {
            Failure::Usage(error) => error.to_string(),
            other => complaint(&other.to_string()),
        };
        Self {
            answer: None,
            remark: Some(remark),
            exit,
        }
    }
}

fn complaint(why: &str) -> String {
    format!("astromeshctl: {why}")
}

/// Why there is no answer. Every text from elsewhere in it is fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The command line cannot be followed.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A setting is wrong.
    #[error("{name}: {why}")]
    Setting {
        /// The option or variable.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there.
    #[error(
        "cannot reach {url}: {why}; is astromeshd running there? (--url or ASTROMESH_URL names another)"
    )]
    Unreachable {
        /// Where.
        url: Url,
        /// Why not.
        why: String,
    },
    /// The answer did not come in time.
    #[error("no answer from {url} within {}s; {hint}", .after.as_secs_f64())]
    TimedOut {
        /// From where.
        url: Url,
        /// How long it was waited for.
        after: Duration,
        /// What to do.
        hint: &'static str,
    },
    /// There was a connection, but no whole answer on it.
    #[error(
        "{url} broke off before it had answered: {why}; is it astromeshd? (--url or ASTROMESH_URL names another)"
    )]
    Broken {
        /// Who.
        url: Url,
        /// What happened.
        why: String,
    },
    /// The daemon answered no.
    #[error("{url} refused (status {status}): {detail}")]
    Refused {
        /// Who.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// Its reason.
        detail: String,
    },
    /// Something answered, but not as the daemon does.
    #[error(
        "{url} answered, but not as astromeshd does: {why}; is it another program? (--url or ASTROMESH_URL names another)"
    )]
    Strange {
        /// Who.
        url: Url,
        /// What is wrong with the answer.
        why: String,
    },
    /// It is not clear which member is meant.
    #[error("{why}")]
    Unclear {
        /// Why not.
        why: String,
    },
    /// What came cannot be printed.
    #[error("cannot write the answer: {why}")]
    Unwritable {
        /// Why not.
        why: String,
    },
    /// The node takes part in no mesh.
    #[error(
        "the mesh is off on the node at {url}; spec.mesh.enabled in its runtime.yaml or ASTROMESH_MESH_ENABLED=true turns it on"
    )]
    MeshOff {
        /// Which node.
        url: Url,
    },
}

impl Failure {
    /// Whether it may be gone in a moment: a daemon that starts or is busy.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// How the program ends with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Setting { .. } => Exit::Usage,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => {
                Exit::Unreachable
            }
            Self::Refused { .. }
            | Self::Strange { .. }
            | Self::Unclear { .. }
            | Self::Unwritable { .. } => Exit::Refused,
            Self::MeshOff { .. } => Exit::MeshOff,
        }
    }
}
