//! What was said in the sessions of this node's agents: bounded in every way, and forgotten after a while.
//!
//! A session is a list of turns, each a question with all that was said until it was answered. The oldest turns go first,
//! and whole: half a turn, such as a tool's answer without the call, is nothing that a model understands. Of a turn that is
//! too long by itself, question and answer stay.

use astromesh_core::settings::HttpLimits;
use maia::id::Label;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One message, as it is written to the model.
#[derive(Clone, Debug)]
pub(super) struct Message(Arc<RawValue>);

/// A question and all that was said until it was answered.
type Turn = Vec<Message>;

/// The sessions of one node.
pub(crate) struct Sessions {
    bounds: Bounds,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    sessions: usize,
    messages: usize,
    bytes: usize,
    all_bytes: usize,
    timeout: Duration,
}

#[derive(Default)]
struct Held {
    sessions: HashMap<Key, Session>,
    /// By when they were used last, the oldest first.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    agent: Label,
    session: Arc<str>,
}

struct Session {
    turns: VecDeque<Turn>,
    bytes: usize,
    last_use: u64,
    used_at: Instant,
}

impl Message {
    /// A message that says this.
    pub(super) fn new(value: &impl Serialize) -> Self {
        let raw = to_raw_value(value).expect("text keys and finite numbers always make JSON");
        Self(raw.into())
    }

    fn bytes(&self) -> usize {
        self.0.get().len()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Sessions {
    /// None yet, within these limits.
    pub(crate) fn new(limits: &HttpLimits) -> Self {
        Self {
            bounds: Bounds {
                sessions: limits.sessions,
                messages: limits.session_messages,
                bytes: limits.session_bytes,
                all_bytes: limits.all_sessions_bytes,
                timeout: limits.session_timeout,
            },
            held: Mutex::default(),
        }
    }

    /// What was said so far, the oldest first.
    pub(super) fn recall(&self, agent: &Label, session: &str) -> Vec<Message> {
        let mut held = self.held();
        held.expire(self.bounds.timeout);
        let key = Key::new(agent, session);
        held.touch(&key);
        let found = held.sessions.get(&key);
        found.map_or_else(Vec::new, |session| {
            session.turns.iter().flatten().cloned().collect()
        })
    }

    /// Adds a turn, and forgets what is too much with it.
    pub(super) fn keep(&self, agent: &Label, session: &str, turn: Turn) {
        let Some(turn) = self.bounds.fit(turn) else {
            return;
        };
        let mut held = self.held();
        held.expire(self.bounds.timeout);
        let key = Key::new(agent, session);
        let before = held.remove(&key);
        let mut session = before.unwrap_or_else(Session::new);
        session.bytes += bytes(&turn);
        session.turns.push_back(turn);
        session.trim(&self.bounds);
        held.add(key, session);
        while held.sessions.len() > self.bounds.sessions || held.bytes > self.bounds.all_bytes {
            held.forget_oldest();
        }
    }

    /// How many there are, and the bytes of all.
    pub(crate) fn size(&self) -> (usize, usize) {
        let mut held = self.held();
        held.expire(self.bounds.timeout);
        (held.sessions.len(), held.bytes)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bounds {
    /// As much of a turn as may be kept.
    fn fit(&self, turn: Turn) -> Option<Turn> {
        let fits = |turn: &Turn| turn.len() <= self.messages && bytes(turn) <= self.bytes;
        if fits(&turn) {
            return Some(turn);
        }
        let ends = [turn.first()?.clone(), turn.last()?.clone()];
        Some(ends.to_vec()).filter(fits)
    }
}

impl Held {
    fn expire(&mut self, timeout: Duration) {
        let now = Instant::now();
        while let Some(key) = self.by_use.values().next() {
            let session = self.sessions.get(key);
            if session.is_some_and(|session| now.duration_since(session.used_at) < timeout) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn touch(&mut self, key: &Key) {
        if let Some(session) = self.remove(key) {
            self.add(key.clone(), session);
        }
    }

    fn add(&mut self, key: Key, mut session: Session) {
        self.uses += 1;
        session.last_use = self.uses;
        session.used_at = Instant::now();
        self.bytes += session.weight(&key);
        self.by_use.insert(self.uses, key.clone());
        self.sessions.insert(key, session);
    }

    fn remove(&mut self, key: &Key) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        self.by_use.remove(&session.last_use);
        self.bytes -= session.weight(key);
        Some(session)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.by_use.pop_first() {
            let session = self.sessions.remove(&key);
            self.bytes -= session.map_or(0, |session| session.weight(&key));
        }
    }
}

impl Session {
    fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            bytes: 0,
            last_use: 0,
            used_at: Instant::now(),
        }
    }

    fn trim(&mut self, bounds: &Bounds) {
        let messages = |turns: &VecDeque<Turn>| turns.iter().map(Vec::len).sum::<usize>();
        while messages(&self.turns) > bounds.messages || self.bytes > bounds.bytes {
            let Some(oldest) = self.turns.pop_front() else {
                return;
            };
            self.bytes -= bytes(&oldest);
        }
    }

    /// What it takes, its name included: many short ones add up too.
    fn weight(&self, key: &Key) -> usize {
        const BESIDES: usize = 256;
        self.bytes + key.session.len() + BESIDES
    }
}

impl Key {
    fn new(agent: &Label, session: &str) -> Self {
        Self {
            agent: agent.clone(),
            session: session.into(),
        }
    }
}

fn bytes(turn: &Turn) -> usize {
    turn.iter().map(Message::bytes).sum()
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(change: impl FnOnce(&mut HttpLimits)) -> Sessions {
        let mut limits = HttpLimits::default();
        change(&mut limits);
        Sessions::new(&limits)
    }

    fn agent() -> Label {
        Label::new("ana").expect("a plain name")
    }

    fn turn(texts: &[&str]) -> Turn {
        texts.iter().map(|text| Message::new(&text)).collect()
    }

    fn said(sessions: &Sessions, session: &str) -> Vec<String> {
        let messages = sessions.recall(&agent(), session).into_iter();
        messages
            .map(|message| message.0.get().trim_matches('"').to_owned())
            .collect()
    }

    #[tokio::test]
    async fn what_was_said_is_recalled_to_whom_it_was_said() {
        let sessions = sessions(|_| ());
        sessions.keep(&agent(), "a", turn(&["hi", "hello"]));
        sessions.keep(&agent(), "a", turn(&["bye", "see you"]));
        assert_eq!(said(&sessions, "a"), ["hi", "hello", "bye", "see you"]);
        assert!(said(&sessions, "b").is_empty());
        let other = Label::new("bob").expect("a plain name");
        assert!(sessions.recall(&other, "a").is_empty());
    }

    #[tokio::test]
    async fn the_oldest_turns_go_first_and_whole() {
        let sessions = sessions(|limits| limits.session_messages = 5);
        sessions.keep(&agent(), "a", turn(&["1", "2", "3"]));
        sessions.keep(&agent(), "a", turn(&["4", "5"]));
        assert_eq!(said(&sessions, "a").len(), 5);
        sessions.keep(&agent(), "a", turn(&["6", "7"]));
        assert_eq!(said(&sessions, "a"), ["4", "5", "6", "7"]);
    }

    #[tokio::test]
    async fn of_a_turn_that_is_too_long_question_and_answer_stay() {
        let sessions = sessions(|limits| limits.session_bytes = 100);
        let long = "x".repeat(200);
        sessions.keep(&agent(), "a", turn(&["1", &long, "2"]));
        assert_eq!(said(&sessions, "a"), ["1", "2"]);
        sessions.keep(&agent(), "a", turn(&[&long, "4"]));
        assert_eq!(said(&sessions, "a"), ["1", "2"]);
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_makes_way() {
        let sessions = sessions(|limits| limits.sessions = 2);
        sessions.keep(&agent(), "a", turn(&["1"]));
        sessions.keep(&agent(), "b", turn(&["2"]));
        assert_eq!(said(&sessions, "a"), ["1"]);
        sessions.keep(&agent(), "c", turn(&["3"]));
        assert!(said(&sessions, "b").is_empty());
        assert_eq!(
            (said(&sessions, "a"), said(&sessions, "c")),
            (vec!["1".into()], vec!["3".into()])
        );
    }

    #[tokio::test]
    async fn all_of_them_together_are_bounded() {
        let sessions = sessions(|limits| limits.all_sessions_bytes = 10_000);
        for session in 0..1_000 {
            sessions.keep(&agent(), &session.to_string(), turn(&["hello"]));
            assert!(sessions.size().1 <= 10_000);
        }
        assert!(sessions.size().0 > 20);
        sessions.keep(&agent(), &"n".repeat(20_000), turn(&["hello"]));
        assert!(sessions.size().1 <= 10_000, "a name counts too");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_uses_is_forgotten() {
        let sessions = sessions(|limits| limits.session_timeout = Duration::from_secs(10));
        sessions.keep(&agent(), "a", turn(&["1"]));
        sessions.keep(&agent(), "b", turn(&["2"]));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(said(&sessions, "a"), ["1"]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(said(&sessions, "a"), ["1"], "it was used since");
        assert!(said(&sessions, "b").is_empty());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(sessions.size(), (0, 0));
    }
}
