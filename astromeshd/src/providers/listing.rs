//! Which models a provider has: what it last said, and whom to believe where it says nothing.

use super::json::{Object, Wrong};
use astromesh_core::api::Model;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a list is taken for the truth.
const FRESH: Duration = Duration::from_secs(60);

/// How soon a provider is asked again: for a model that it had not got, or because it did not answer.
const AGAIN: Duration = Duration::from_secs(2);

/// The most models of one provider that are remembered, and the longest name of one.
const MOST_MODELS: usize = 4_096;
const LONGEST_NAME: usize = 256;

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoList {
    /// It is one of those servers that have none.
    Unheard,
    /// It cannot say now, and most likely can do nothing else either.
    Down(String),
}

/// What is known of a provider's models.
#[derive(Debug, Default)]
pub(super) struct Listing(Mutex<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    /// What it last said, however long ago.
    models: Option<Arc<Vec<Model>>>,
    /// How the last attempt ended, where that was no list.
    trouble: Option<NoList>,
    asked: Option<Instant>,
}

/// Whether a provider has a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Having {
    Has,
    Lacks,
    /// It never says what it has.
    Perhaps,
    /// It never said, and cannot be asked now; or was not asked yet.
    Unknown(String),
}

impl Listing {
    /// Whether `model` is one of them, as far as is known.
    pub(super) fn having(&self, model: &str) -> Having {
        let known = self.known();
        match (&known.models, &known.trouble) {
            (Some(models), _) => match models.iter().any(|held| held.id == model) {
                true => Having::Has,
                false => Having::Lacks,
            },
            (None, Some(NoList::Unheard)) => Having::Perhaps,
            (None, Some(NoList::Down(why))) => Having::Unknown(why.clone()),
            (None, None) => Having::Unknown("was not asked yet what it has".to_owned()),
        }
    }

    /// All that are known, and why the last attempt to learn of more failed.
    pub(super) fn models(&self) -> (Arc<Vec<Model>>, Option<NoList>) {
        let known = self.known();
        (
            known.models.clone().unwrap_or_default(),
            known.trouble.clone(),
        )
    }

    /// Whether what is known is old.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.is_older_than(FRESH, now) || self.known().trouble.is_some() && self.may_be_asked(now)
    }

    /// Whether it is time to ask again where what is known does not help.
    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        self.is_older_than(AGAIN, now)
    }

    /// Takes note of what it said at `now`.
    pub(super) fn note(&self, said: Result<Vec<Model>, NoList>, now: Instant) {
        let mut known = self.known();
        known.asked = Some(now);
        match said {
            Ok(models) => (known.models, known.trouble) = (Some(Arc::new(models)), None),
            Err(trouble) => known.trouble = Some(trouble),
        }
    }

    fn is_older_than(&self, age: Duration, now: Instant) -> bool {
        let asked = self.known().asked;
        asked.is_none_or(|asked| now.saturating_duration_since(asked) > age)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The models in a provider's own list, of either dialect. Entries that name no model are passed over.
pub(super) fn models(provider: &str, list: &[u8]) -> Result<Vec<Model>, Wrong> {
    let entries: Vec<Object> = Object::read(list)?.need("data")?;
    let models = entries
        .into_iter()
        .filter_map(|entry| model(provider, entry).ok());
    Ok(models
        .filter(|model| (1..=LONGEST_NAME).contains(&model.id.len()))
        .take(MOST_MODELS)
        .collect())
}

fn model(provider: &str, mut entry: Object) -> Result<Model, Wrong> {
    let id: String = entry.need("id")?;
    let seconds = entry.take::<f64>("created").ok().flatten();
    let written = entry.take::<String>("created_at").ok().flatten();
    let created = seconds.map(|seconds| seconds as i64).or_else(|| {
        let moment: Timestamp = written?.parse().ok()?;
        Some(moment.as_second())
    });
    let mut text = |name: &str| entry.take::<String>(name).ok().flatten();
    let (owner, display) = (text("owned_by"), text("display_name"));
    Ok(named(
        &id,
        created,
        owner.as_deref().unwrap_or(provider),
        display,
    ))
}

/// A model as this node lists it, so that clients of both dialects can read it.
pub(super) fn named(
    id: &str,
    created: Option<i64>,
    owned_by: &str,
    display_name: Option<String>,
) -> Model {
    let moment =
        Timestamp::from_second(created.unwrap_or_default()).unwrap_or(Timestamp::UNIX_EPOCH);
    Model {
        id: id.to_owned(),
        object: "model".to_owned(),
        kind: "model".to_owned(),
        created: moment.as_second(),
        created_at: moment.to_string(),
        owned_by: owned_by.to_owned(),
        display_name: display_name.unwrap_or_else(|| id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_dialects_are_read() {
        let openai = br#"{"object":"list","data":[{"id":"a","object":"model","created":1700000000,"owned_by":"me"},{"id":7},{"no":1},{"id":"b"}]}"#;
        let read = models("p", openai).expect("a list");
        let seen: Vec<_> = read
            .iter()
            .map(|m| (m.id.as_str(), m.created, m.owned_by.as_str()))
            .collect();
        assert_eq!(seen, [("a", 1_700_000_000, "me"), ("b", 0, "p")]);
        let anthropic = br#"{"data":[{"type":"model","id":"claude","display_name":"Claude","created_at":"2025-02-19T00:00:00Z"}],"has_more":false}"#;
        let read = models("p", anthropic).expect("a list");
        assert_eq!(
            (read[0].display_name.as_str(), read[0].created),
            ("Claude", 1_739_923_200)
        );
        assert_eq!(read[0].created_at, "2025-02-19T00:00:00Z");
        for bad in ["", "[]", "{}", r#"{"data":7}"#] {
            models("p", bad.as_bytes()).expect_err(bad);
        }
    }

    #[test]
    fn what_was_known_stays_known_while_a_provider_is_down() {
        let (listing, now) = (Listing::default(), Instant::now());
        assert!(matches!(listing.having("a"), Having::Unknown(_)));
        listing.note(Err(NoList::Down("refused".into())), now);
        assert_eq!(listing.having("a"), Having::Unknown("refused".into()));
        listing.note(Ok(vec![named("a", None, "p", None)]), now);
        assert_eq!(
            (listing.having("a"), listing.having("b")),
            (Having::Has, Having::Lacks)
        );
        listing.note(Err(NoList::Down("refused".into())), now);
        assert_eq!(listing.having("a"), Having::Has);
        let unheard = Listing::default();
        unheard.note(Err(NoList::Unheard), now);
        assert_eq!(unheard.having("a"), Having::Perhaps);
    }

    #[test]
    fn a_provider_is_asked_anew_in_good_time() {
        let (listing, now) = (Listing::default(), Instant::now());
        assert!(listing.is_stale(now) && listing.may_be_asked(now));
        listing.note(Ok(Vec::new()), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(!listing.may_be_asked(later(1)) && listing.may_be_asked(later(3)));
        assert!(!listing.is_stale(later(59)) && listing.is_stale(later(61)));
        listing.note(Err(NoList::Down("refused".into())), now);
        assert!(listing.is_stale(later(3)));
    }
}
