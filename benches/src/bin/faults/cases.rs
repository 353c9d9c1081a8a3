//! The cases: what each is called, how often and how long it is run, and whether it needs the machine for itself.

mod boots;
mod clocks;
mod cuts;
mod fifty;
mod forged;
mod kills;
mod scarce;

use crate::findings::Outcome;
use crate::mesh::Stage;
use std::pin::Pin;

/// A run of a case.
pub(crate) type Run = Pin<Box<dyn Future<Output = Outcome>>>;

/// One fault, and how it is brought about.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The number of the fault of the older daemon that it is about, or nothing.
    pub(crate) number: &'static str,
    /// What happens, for the table.
    pub(crate) fault: &'static str,
    /// How often it is run.
    pub(crate) runs: usize,
    /// How often in a slice.
    pub(crate) runs_in_slice: usize,
    /// Whether nothing else may run meanwhile, for it counts what daemons cost.
    pub(crate) is_alone: bool,
    pub(crate) run: fn(Stage) -> Run,
}

impl Case {
    fn new(
        name: &'static str,
        number: &'static str,
        fault: &'static str,
        run: fn(Stage) -> Run,
    ) -> Self {
        let (runs, runs_in_slice, is_alone) = (1, 1, false);
        Self {
            name,
            number,
            fault,
            runs,
            runs_in_slice,
            is_alone,
            run,
        }
    }

    /// So many runs, and so many in a slice.
    fn times(self, runs: usize, runs_in_slice: usize) -> Self {
        Self {
            runs,
            runs_in_slice,
            ..self
        }
    }

    fn alone(self) -> Self {
        Self {
            is_alone: true,
            ..self
        }
    }

    /// Whether it goes by that name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.name == name || self.number.to_lowercase() == name
    }
}

/// All of them, those that take longest first.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = cuts();
    cases.extend(processes());
    cases.extend(scarcities());
    cases.extend(many());
    cases
}

fn cuts() -> Vec<Case> {
    vec![
        Case::new("halves", "S4", "cut 4/4, then healed", |s| {
            Box::pin(cuts::halves(s))
        })
        .times(20, 1),
        Case::new("one-of-eight", "S4", "cut 1/7, then healed", |s| {
            Box::pin(cuts::one_of_eight(s))
        })
        .times(20, 1),
        Case::new("refused", "", "cut 1/7 by refusals, then healed", |s| {
            Box::pin(cuts::refused(s))
        }),
        Case::new(
            "one-way-packets",
            "",
            "3 pairs whose packets pass one way only",
            |s| Box::pin(cuts::one_way_packets(s)),
        ),
        Case::new("one-way-in", "", "one that nobody can call", |s| {
            Box::pin(cuts::one_way_in(s))
        }),
        Case::new("one-way-out", "", "one that can call nobody", |s| {
            Box::pin(cuts::one_way_out(s))
        }),
        Case::new("black-hole", "", "3 of 8 swallow everything", |s| {
            Box::pin(cuts::black_hole(s))
        }),
        Case::new("loss-5", "", "5 % of packets lost", |s| {
            Box::pin(cuts::loss_of_5(s))
        }),
        Case::new("loss-30", "", "30 % of packets lost", |s| {
            Box::pin(cuts::loss_of_30(s))
        }),
    ]
}

fn processes() -> Vec<Case> {
    vec![
        Case::new("kill-leader", "S3", "kill -9 of the leader of 8", |s| {
            Box::pin(kills::leader(s))
        })
        .times(3, 1),
        Case::new("kill", "", "kill -9 of another of 8", |s| {
            Box::pin(kills::other(s))
        })
        .times(3, 1),
        Case::new(
            "sleep",
            "S5",
            "SIGSTOP of the leader of 8 for 60 s (slice: 40 s)",
            |s| Box::pin(clocks::asleep(s)),
        )
        .times(3, 1),
        Case::new(
            "clocks",
            "S6",
            "wall clocks −1 h, 0, +1 h, +10 years; then kill -9 of a fast one",
            |s| Box::pin(clocks::wrong(s)),
        ),
        Case::new("terminate", "S7", "SIGTERM of one of 8", |s| {
            Box::pin(kills::terminated(s))
        })
        .times(3, 1),
        Case::new(
            "leave",
            "S10",
            "`astromeshctl mesh leave` of one of 8",
            |s| Box::pin(kills::leaver(s)),
        ),
        Case::new(
            "boots",
            "S8",
            "4 nodes booted in every order (slice: 6 of the 24)",
            |s| Box::pin(boots::any_order(s)),
        )
        .times(24, 6),
        Case::new(
            "open-bind",
            "S1",
            "3 hosts with `bind: 0.0.0.0`, 60 s (slice: 45 s)",
            |s| Box::pin(boots::open_bind(s)),
        ),
        Case::new("calm", "S2", "nothing", |s| Box::pin(boots::calm(s))),
        Case::new("forged", "S9", "forged calls to all 8", |s| {
            Box::pin(forged::calls(s))
        }),
    ]
}

fn scarcities() -> Vec<Case> {
    vec![
        Case::new(
            "processor",
            "",
            "one of 8 starved: 5 % of a core, shared with a busy loop",
            |s| Box::pin(scarce::processor(s)),
        ),
        Case::new(
            "files",
            "",
            "`ulimit -n 64`, then 100 idle connections held to one",
            |s| Box::pin(scarce::files(s)),
        ),
        Case::new("memory", "", "64 MiB for one of 8", |s| {
            Box::pin(scarce::memory(s))
        }),
        Case::new("full-disk", "", "one of 8 on a full tmpfs", |s| {
            Box::pin(scarce::full_disk(s))
        }),
        Case::new(
            "read-only",
            "",
            "one of 8 with nothing but read-only disks",
            |s| Box::pin(scarce::read_only(s)),
        ),
    ]
}

fn many() -> Vec<Case> {
    vec![
        Case::new(
            "short-timers",
            "",
            "50 with 0.5/3/6 s: one killed, then 5 % of packets lost",
            |s| Box::pin(fifty::short_timers(s)),
        )
        .times(1, 0)
        .alone(),
        Case::new("fifty", "", "50 on one machine: what each takes", |s| {
            Box::pin(fifty::cost(s))
        })
        .times(1, 0)
        .alone(),
    ]
}
