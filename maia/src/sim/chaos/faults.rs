//! What can happen in a random run, and to whom.

use super::Chaos;
use crate::node::Command;
use crate::record::Load;
use crate::rng::Rng;
use crate::sim::Lie;
use std::collections::BTreeSet;
use std::time::Duration;

/// Something that happens in a random run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Restart,
    Pause,
    Suspend,
    Resume,
    Isolate,
    Split,
    Shatter,
    CutOneWay,
    CutLink,
    MendLink,
    Heal,
    Loss,
    Delay,
    Duplication,
    Replay,
    Damage,
    Leave,
    Drain,
    Rejoin,
    Clock,
    Starve,
    Feed,
    Lie,
    Unmask,
    Work,
    Peace,
}

/// All of them, the frequent ones more than once.
pub(super) const ALL: &[Fault] = {
    use Fault::*;
    &[
        Crash,
        Crash,
        Restart,
        Restart,
        Pause,
        Suspend,
        Resume,
        Resume,
        Isolate,
        Split,
        Shatter,
        CutOneWay,
        CutLink,
        CutLink,
        CutLink,
        CutLink,
        MendLink,
        MendLink,
        MendLink,
        Heal,
        Heal,
        Loss,
        Delay,
        Duplication,
        Replay,
        Damage,
        Leave,
        Drain,
        Rejoin,
        Rejoin,
        Clock,
        Starve,
        Feed,
        Lie,
        Unmask,
        Work,
        Peace,
    ]
};

/// The part of all runs that a kind of fault is missing from.
const MISSING: f64 = 0.4;

/// A choice of faults, and all that mends them.
pub(super) fn some(rng: &mut Rng) -> Vec<Fault> {
    let mut missing: Vec<Fault> = Vec::new();
    let mut faults: Vec<Fault> = Vec::new();
    for &fault in ALL {
        let decided = faults.contains(&fault) || missing.contains(&fault);
        if !fault.mends() && (!decided && rng.chance(MISSING) || missing.contains(&fault)) {
            missing.push(fault);
        } else {
            faults.push(fault);
        }
    }
    faults
}

impl Fault {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Isolate => "isolate",
            Self::Split => "split in two",
            Self::Shatter => "split in more",
            Self::CutOneWay => "cut one way",
            Self::CutLink => "cut a link",
            Self::MendLink => "mend a link",
            Self::Heal => "heal",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplication => "duplication",
            Self::Replay => "replay",
            Self::Damage => "damage",
            Self::Leave => "leave",
            Self::Drain => "drain",
            Self::Rejoin => "rejoin",
            Self::Clock => "set a clock",
            Self::Starve => "starve",
            Self::Feed => "feed",
            Self::Lie => "lie",
            Self::Unmask => "unmask",
            Self::Work => "work",
            Self::Peace => "peace",
        }
    }

    fn mends(self) -> bool {
        matches!(
            self,
            Self::Restart
                | Self::Resume
                | Self::MendLink
                | Self::Heal
                | Self::Rejoin
                | Self::Feed
                | Self::Unmask
                | Self::Peace
        )
    }
}

impl Chaos {
    /// Lets `fault` happen; says to whom, or `None` where there is nobody for it.
    pub(super) fn happen(&mut self, fault: Fault) -> Option<String> {
        match fault {
            Fault::Crash => self.crash(),
            Fault::Restart => self.restart_one(),
            Fault::Pause => self.pause(),
            Fault::Suspend => self.suspend(),
            Fault::Resume => self.resume_one(),
            Fault::Isolate => {
                let name = self.anybody();
                self.sim.isolate(&name);
                Some(name)
            }
            Fault::Split => Some(self.split_into(2)),
            Fault::Shatter => {
                let parts = 3 + self.rng.below(2);
                Some(self.split_into(parts))
            }
            Fault::CutOneWay => {
                let (from, to) = (self.anybody(), self.anybody());
                self.sim.cut_one_way(&from, &to);
                Some(format!("{from} to {to}"))
            }
            Fault::CutLink => self.cut_link(),
            Fault::MendLink => self.mend_link(),
            Fault::Heal => {
                self.sim.heal();
                self.cuts.clear();
                Some(String::new())
            }
            Fault::Loss | Fault::Delay | Fault::Duplication | Fault::Replay | Fault::Damage => {
                Some(self.change_weather(fault))
            }
            Fault::Leave => self.leave(),
            Fault::Drain => self.drain(),
            Fault::Rejoin => self.rejoin_one(),
            Fault::Clock => {
                let (name, off) = (self.anybody(), [-86_400_000, -7_000, 0, 7_000, 86_400_000]);
                let off = off[self.rng.below(off.len())];
                self.sim.set_wall_off(&name, off);
                Some(format!("{name} by {off} ms"))
            }
            Fault::Starve => self.starve(),
            Fault::Feed => {
                let name = self.starved.pop_first()?;
                self.sim.starve(&name, None);
                Some(name)
            }
            Fault::Lie => self.lie(),
            Fault::Unmask => self.unmask_one(),
            Fault::Work => self.work(),
            Fault::Peace => {
                self.make_peace();
                Some(String::new())
            }
        }
    }

    fn anybody(&mut self) -> String {
        self.names[self.rng.below(self.names.len())].clone()
    }

    /// Somebody who runs; two are left to be that for good.
    fn somebody_up(&mut self) -> Option<String> {
        let name = self.anybody();
        let down = self.crashed.len() + self.left.len() + self.draining.len() + self.liars.len();
        let is_up = !self.crashed.contains(&name)
            && !self.left.contains(&name)
            && !self.draining.contains(&name)
            && !self.liars.contains(&name);
        (is_up && down + 2 < self.names.len()).then_some(name)
    }

    fn crash(&mut self) -> Option<String> {
        let name = self.somebody_up()?;
        self.sim.crash(&name);
        self.paused.remove(&name);
        self.suspended.remove(&name);
        self.crashed.insert(name.clone());
        Some(name)
    }

    pub(super) fn restart_one(&mut self) -> Option<String> {
        let name = take_one(&mut self.crashed, &mut self.rng)?;
        self.sim.restart(&name);
        Some(name)
    }

    fn pause(&mut self) -> Option<String> {
        let name = self
            .somebody_up()
            .filter(|name| !self.paused.contains(name))?;
        self.sim.pause(&name);
        self.paused.insert(name.clone());
        Some(name)
    }

    fn suspend(&mut self) -> Option<String> {
        let name = self
            .somebody_up()
            .filter(|name| !self.paused.contains(name))?;
        self.sim.suspend(&name);
        self.suspended.insert(name.clone(), self.sim.now());
        self.paused.insert(name.clone());
        Some(name)
    }

    pub(super) fn resume_one(&mut self) -> Option<String> {
        let names: Vec<String> = self.paused.iter().cloned().collect();
        let name = names.get(self.rng.below(names.len()))?.clone();
        self.paused.remove(&name);
        self.suspended.remove(&name);
        self.sim.resume(&name);
        Some(name)
    }

    fn leave(&mut self) -> Option<String> {
        let name = self.somebody_up()?;
        self.sim.leave(&name);
        self.left.insert(name.clone());
        Some(name)
    }

    fn drain(&mut self) -> Option<String> {
        let name = self
            .somebody_up()
            .filter(|name| !self.paused.contains(name))?;
        self.sim.command(&name, Command::Drain);
        self.draining.insert(name.clone());
        Some(name)
    }

    /// Brings back one that left, or drains: the way back from that leads through leaving.
    pub(super) fn rejoin_one(&mut self) -> Option<String> {
        let away = self.left.union(&self.draining);
        // A machine that is suspended would not hear of it.
        let names: Vec<String> = away
            .filter(|n| !self.paused.contains(*n))
            .cloned()
            .collect();
        let name = names.get(self.rng.below(names.len()))?.clone();
        if self.draining.remove(&name) {
            self.sim.leave(&name);
        }
        self.left.remove(&name);
        self.sim.rejoin(&name);
        Some(name)
    }

    fn split_into(&mut self, parts: usize) -> String {
        let drawn = self.names.iter().map(|_| self.rng.below(parts));
        let part_of: Vec<usize> = drawn.collect();
        let names = self.names.clone();
        let part = |name: &str| {
            names
                .iter()
                .position(|n| n == name)
                .map_or(0, |at| part_of[at])
        };
        self.sim.shatter(&part);
        let part_of: Vec<String> = part_of.iter().map(ToString::to_string).collect();
        part_of.concat()
    }

    fn cut_link(&mut self) -> Option<String> {
        let (from, to) = (self.anybody(), self.anybody());
        let ways = 1 + self.rng.below(2);
        let both = [(from.clone(), to.clone()), (to.clone(), from.clone())];
        for (from, to) in both.into_iter().take(ways) {
            self.sim.cut_one_way(&from, &to);
            self.cuts.push((from, to));
        }
        (from != to).then(|| format!("{from} to {to}, {ways} ways"))
    }

    /// Mends one way, whichever: the order is not that of the cuts.
    fn mend_link(&mut self) -> Option<String> {
        let place = self.rng.below(self.cuts.len());
        let way = (place < self.cuts.len()).then(|| self.cuts.swap_remove(place))?;
        self.sim.mend_one_way(&way.0, &way.1);
        Some(format!("{} to {}", way.0, way.1))
    }

    fn change_weather(&mut self, what: Fault) -> String {
        let part = [0.0, 0.02, 0.2][self.rng.below(3)];
        let delay = Duration::from_millis([2, 50, 700][self.rng.below(3)]);
        let network = self.sim.network();
        match what {
            Fault::Loss => network.loss = part * 1.5,
            Fault::Delay => network.delay_at_most = delay,
            Fault::Duplication => network.duplication = part,
            Fault::Replay => network.replay = part,
            _ => (network.damage, network.forging) = (part / 2.0, true),
        }
        match what {
            Fault::Delay => format!("{delay:?}"),
            _ => part.to_string(),
        }
    }

    fn starve(&mut self) -> Option<String> {
        let name = self.somebody_up()?;
        let most = Duration::from_millis([20, 100, 400][self.rng.below(3)]);
        self.sim.starve(&name, Some(most));
        self.starved.insert(name.clone());
        Some(format!("{name} by {most:?}"))
    }

    /// One liar at a time: what several agree on is another matter.
    fn lie(&mut self) -> Option<String> {
        let name = self.somebody_up().filter(|_| self.liars.is_empty())?;
        self.sim.restart_as_liar(&name, Lie::Everything);
        self.paused.remove(&name);
        self.suspended.remove(&name);
        self.liars.insert(name.clone());
        Some(name)
    }

    pub(super) fn unmask_one(&mut self) -> Option<String> {
        let name = self.liars.pop_first()?;
        self.sim.restart(&name);
        Some(name)
    }

    /// Somebody has more to do, or less.
    fn work(&mut self) -> Option<String> {
        let name = self
            .somebody_up()
            .filter(|name| !self.paused.contains(name))?;
        let requests = u32::try_from(self.rng.below(50)).unwrap_or(0);
        let load = Load::new(self.rng.fraction() * 100.0, 50.0, requests).expect("percentages");
        self.sim.command(&name, Command::Load(load));
        Some(format!("{name} at {requests} requests"))
    }
}

/// Any of them.
fn take_one(names: &mut BTreeSet<String>, rng: &mut Rng) -> Option<String> {
    let name = names.iter().nth(rng.below(names.len()))?.clone();
    names.remove(&name);
    Some(name)
}
