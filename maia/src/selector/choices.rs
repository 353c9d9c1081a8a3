//! Who can take which request, kept as the mesh changes.

use super::candidates::{Candidate, Candidates, Set};
use super::counter::{Counter, InFlight, Seat};
use crate::id::Label;
use crate::view::{View, Want};
use std::collections::BTreeMap;
use std::sync::Arc;

/// For each agent and each service, those who can take a request for it, as of one view. Make the next from the one before:
/// what did not change is kept, and with it what was learned.
#[derive(Debug, Default)]
pub struct Choices {
    agents: BTreeMap<Label, Candidates>,
    services: BTreeMap<Label, Candidates>,
}

impl Choices {
    /// Who can take what, by `view`. Takes note of the reports in it ([`InFlight::note_reports`]).
    ///
    /// Members keep account in the newest choices that were made with this `in_flight`; who still holds older ones chooses
    /// by older counts.
    pub fn of(view: &View, in_flight: &InFlight, before: &Self) -> Self {
        let counters = in_flight.note_reports(view);
        let mut sets = Sets {
            view,
            counters: &counters,
            made: BTreeMap::new(),
        };
        let choices = Self {
            agents: sets.of_all(&view.index.carriers, &before.agents),
            services: sets.of_all(&view.index.providers, &before.services),
        };
        sets.seat();
        choices
    }

    /// Those who can take what is wanted. None of them may be fit to; `None` where nobody has it at all.
    pub fn get(&self, want: Want<'_>) -> Option<&Candidates> {
        match want {
            Want::Agent(agent) => self.agents.get(agent),
            Want::Service(service) => self.services.get(service),
        }
    }
}

/// The sets of one view: those that are made of the same rows are one.
struct Sets<'a> {
    view: &'a View,
    counters: &'a [Arc<Counter>],
    made: BTreeMap<Vec<usize>, Arc<Set>>,
}

impl Sets<'_> {
    fn of_all(
        &mut self,
        rows: &BTreeMap<Label, Vec<usize>>,
        before: &BTreeMap<Label, Candidates>,
    ) -> BTreeMap<Label, Candidates> {
        let made = rows.iter().map(|(label, rows)| {
            let before = before.get(label);
            let usual = before.map(Candidates::usual).cloned();
            let set = self.of(rows, before);
            (
                label.clone(),
                Candidates::from_parts(set, usual.unwrap_or_default()),
            )
        });
        made.collect()
    }

    fn of(&mut self, rows: &[usize], before: Option<&Candidates>) -> Arc<Set> {
        let rows = rows.iter().copied();
        let rows: Vec<usize> = rows
            .filter(|row| self.view.members[*row].takes_requests())
            .collect();
        if let Some(set) = self.made.get(&rows) {
            return Arc::clone(set);
        }
        let members = rows
            .iter()
            .map(|row| Candidate::of(&self.view.members[*row], Arc::clone(&self.counters[*row])));
        let set = Set::new(members.collect());
        let set = match before {
            Some(before) if before.set.is_same(&set) => Arc::clone(&before.set),
            _ => Arc::new(set.seated()),
        };
        self.made.insert(rows, Arc::clone(&set));
        set
    }

    /// Lets all members know where they sit now.
    fn seat(&self) {
        let mut seats: BTreeMap<*const Counter, Vec<Seat>> = BTreeMap::new();
        for set in self.made.values() {
            let Some(slate) = &set.slate else { continue };
            for (place, member) in set.alive().iter().enumerate() {
                let slate = Arc::clone(slate);
                let seat = Seat { slate, place };
                seats
                    .entry(Arc::as_ptr(&member.counter))
                    .or_default()
                    .push(seat);
            }
        }
        for counter in self.counters {
            counter.sit(seats.remove(&Arc::as_ptr(counter)).unwrap_or_default());
        }
    }
}
