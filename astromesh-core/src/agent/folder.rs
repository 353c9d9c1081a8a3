//! The agent files of a folder, and what becomes of them while a node runs.
//!
//! At the start a mistake is an error. Later it is a complaint: the file goes on standing for the agent it described
//! before. Files are looked at, not watched: what tells of changes does not reach into every mounted volume, and a look
//! costs microseconds. One that is just being written is let be until it has stayed the same from one look to the next.

use super::{Agent, FILE_SUFFIX};
use crate::error::ConfigError;
use crate::wording::excerpt;
use crate::yaml;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder of agent files, as it was when it was last looked at.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// The folder itself could not be read when it was last looked at, which has been said.
    is_out_of_reach: bool,
}

/// What a look at the folder found.
#[derive(Debug, Default)]
pub struct Look {
    /// Whether there are other agents than before.
    pub changed: bool,
    /// What cannot be used, said once for each change of a file.
    pub complaints: Vec<ConfigError>,
}

#[derive(Debug)]
struct File {
    /// As it was when it was last read.
    read: Stamp,
    /// As it was at the last look, if that was something else.
    seen: Option<Stamp>,
    /// What it says, or said before it went wrong.
    agent: Option<Agent>,
    /// Whether it was wrong when it was last read.
    is_wrong: bool,
}

/// By what one knows that a file is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Folder {
    /// Reads every agent file in `dir`. Other files are left alone, and a folder that is not there holds none.
    ///
    /// # Errors
    /// Where the folder or a file cannot be read, a file is wrong, or two files describe an agent of the same name.
    pub fn open(dir: &Path) -> Result<Self, ConfigError> {
        let mut folder = Self {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
            is_out_of_reach: false,
        };
        for (path, read) in folder.stamps()? {
            let agent = Some(folder.agent_in(&path)?);
            let (seen, is_wrong) = (None, false);
            let file = File {
                read,
                seen,
                agent,
                is_wrong,
            };
            folder.files.insert(path, file);
        }
        Ok(folder)
    }

    /// The agents, in order of name.
    pub fn agents(&self) -> Vec<&Agent> {
        let mut agents: Vec<&Agent> = self
            .files
            .values()
            .filter_map(|file| file.agent.as_ref())
            .collect();
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        agents
    }

    /// Looks at the files again, and takes up what was added, changed or removed and has come to rest since the last look.
    pub fn look(&mut self) -> Look {
        let mut look = Look::default();
        let stamps = match self.stamps() {
            Ok(stamps) => stamps,
            Err(complaint) => {
                if !self.is_out_of_reach {
                    look.complaints.push(complaint);
                }
                self.is_out_of_reach = true;
                return look;
            }
        };
        self.is_out_of_reach = false;
        self.files.retain(|path, file| {
            let stays = stamps.contains_key(path);
            look.changed |= !stays && file.agent.is_some();
            stays
        });
        for (path, stamp) in stamps {
            if self.has_come_to_rest(&path, &stamp) {
                match self.take_up(&path) {
                    Ok(changed) => look.changed |= changed,
                    Err(complaint) => look.complaints.push(complaint),
                }
            }
        }
        if look.changed {
            self.give_another_chance();
        }
        look
    }

    /// What was wrong may be right now that others have changed: the name that it wants may be free.
    fn give_another_chance(&mut self) {
        for file in self.files.values_mut().filter(|file| file.is_wrong) {
            let read = std::mem::replace(&mut file.read, Stamp::none());
            file.seen = Some(read);
        }
    }

    /// Whether a file is another than the one that was read, and has been so since the last look.
    fn has_come_to_rest(&mut self, path: &Path, stamp: &Stamp) -> bool {
        let file = self.files.entry(path.to_owned()).or_insert_with(|| File {
            read: Stamp::none(),
            seen: None,
            agent: None,
            is_wrong: false,
        });
        if file.read == *stamp {
            file.seen = None;
            return false;
        }
        if file.seen.as_ref() != Some(stamp) {
            file.seen = Some(stamp.clone());
            return false;
        }
        file.read = stamp.clone();
        file.seen = None;
        true
    }

    /// Reads a file anew; true if that makes a difference.
    fn take_up(&mut self, path: &Path) -> Result<bool, ConfigError> {
        let agent = self.agent_in(path);
        let Some(file) = self.files.get_mut(path) else {
            return Ok(false);
        };
        file.is_wrong = agent.is_err();
        let agent = Some(agent?);
        let changed = file.agent != agent;
        file.agent = agent;
        Ok(changed)
    }

    fn agent_in(&self, path: &Path) -> Result<Agent, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|cause| ConfigError::unreadable(path, cause))?;
        let agent = Agent::parse(path, &text)?;
        let is_namesake = |(other, file): &(&PathBuf, &File)| {
            *other != path
                && file
                    .agent
                    .as_ref()
                    .is_some_and(|held| held.name == agent.name)
        };
        match self.files.iter().find(is_namesake) {
            None => Ok(agent),
            Some((other, _)) => {
                let reason = format!(
                    "{} is already the name of the agent in {}",
                    excerpt(agent.name.as_str()),
                    other.display()
                );
                Err(yaml::fault_at(&text, "metadata.name", &reason).in_file(path))
            }
        }
    }

    /// The agent files there are, in the order of their paths, so that a complaint about two of them is always the same.
    fn stamps(&self) -> Result<BTreeMap<PathBuf, Stamp>, ConfigError> {
        let unreadable = |cause| ConfigError::unreadable(&self.dir, cause);
        let mut stamps = BTreeMap::new();
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stamps),
            entries => entries.map_err(unreadable)?,
        };
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().to_string_lossy().ends_with(FILE_SUFFIX) {
                let path = entry.path();
                // What a link leads to counts, and one that leads nowhere is complained of where it is read.
                let stamp = fs::metadata(&path)
                    .map_or_else(|_| Stamp::unreadable(), |found| Stamp::of(&found));
                stamps.insert(path, stamp);
            }
        }
        Ok(stamps)
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            modified: found.modified().ok(),
            length: found.len(),
            inode: found.ino(),
        }
    }

    /// That of a file which was not read yet.
    fn none() -> Self {
        Self {
            modified: None,
            length: 0,
            inode: 0,
        }
    }

    /// That of a file which cannot be looked at.
    fn unreadable() -> Self {
        Self {
            length: 1,
            ..Self::none()
        }
    }
}
