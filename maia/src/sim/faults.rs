//! What one can do to a simulated mesh: crashes, pauses, cuts, starvation, lies.

use super::Sim;
use super::liar::{Liar, Lie};
use super::world::Happening;
use std::time::Duration;

impl Sim {
    /// Kills what runs on this machine, and starts a node there anew, with a new id and the same seeds.
    pub fn restart(&mut self, name: &str) {
        let machine = self.world.place_of(name);
        self.world.boot(machine, None);
    }

    /// The same, but the new node forges a part of what it says: see [`Liar`].
    pub fn restart_as_liar(&mut self, name: &str, lie: Lie) {
        let machine = self.world.place_of(name);
        let node = self.world.fresh_node(machine, None);
        let rng = self.world.rng.split();
        self.world.put(machine, Box::new(Liar::new(node, lie, rng)));
    }

    /// Kills what runs on this machine: nobody listens there any more.
    pub fn crash(&mut self, name: &str) {
        let machine = self.world.place_of(name);
        let machine = &mut self.world.machines[machine];
        machine.process = None;
        machine.stand_by();
    }

    /// Stops what runs on this machine in its tracks, as SIGSTOP does: what arrives waits.
    pub fn pause(&mut self, name: &str) {
        let machine = self.world.place_of(name);
        self.world.machines[machine]
            .held_back
            .get_or_insert_default();
    }

    /// Stops the whole machine, as a virtual one is: its monotonic clock stands still too, and what arrives is lost.
    pub fn suspend(&mut self, name: &str) {
        let now = self.world.now;
        let machine = self.world.place_of(name);
        let machine = &mut self.world.machines[machine];
        machine.held_back.get_or_insert_default();
        machine.suspended.get_or_insert(now);
    }

    /// Lets it go on.
    pub fn resume(&mut self, name: &str) {
        let now = self.world.now;
        let place = self.world.place_of(name);
        let machine = &mut self.world.machines[place];
        let held_back = machine.held_back.take().unwrap_or_default();
        if let Some(since) = machine.suspended.take() {
            machine.behind += now.since(since);
        }
        // A clock that stood still puts off every deadline.
        let deadline = machine.process.as_ref().map(|process| process.deadline());
        let wake = deadline.map_or(now, |deadline| now.max(deadline + machine.behind));
        self.world.plan(wake, place, Happening::Wake);
        for what in held_back {
            self.world.plan(now, place, what);
        }
    }

    /// Gives what runs on this machine so little of the processor that each input takes it up to `most`, during which the
    /// others wait, ticks among them. `None` gives it enough again.
    pub fn starve(&mut self, name: &str, most: Option<Duration>) {
        let machine = self.world.place_of(name);
        self.world.machines[machine].starved = most;
    }

    /// Sets a machine's time of day off by `millis`.
    pub fn set_wall_off(&mut self, name: &str, millis: i64) {
        let machine = self.world.machine(name);
        self.world.machines[machine].wall_off = millis;
    }

    /// Cuts both ways between `name` and everybody else.
    pub fn isolate(&mut self, name: &str) {
        self.split(&[name]);
    }

    /// Cuts the way from one machine to another; the way back stays.
    pub fn cut_one_way(&mut self, from: &str, to: &str) {
        let (from, to) = (self.world.place_of(from), self.world.place_of(to));
        self.world.network.cut(from, to);
    }

    /// Mends the way from one machine to another.
    pub fn mend_one_way(&mut self, from: &str, to: &str) {
        let (from, to) = (self.world.place_of(from), self.world.place_of(to));
        self.world.network.mend_one(from, to);
    }

    /// Cuts both ways between every machine of `side` and every other.
    pub fn split(&mut self, side: &[&str]) {
        let mut parts = vec![0; self.world.machines.len()];
        side.iter()
            .for_each(|name| parts[self.world.place_of(name)] = 1);
        self.part(|machine| parts[machine]);
    }

    /// Cuts both ways between machines that are not in the same part.
    pub fn shatter(&mut self, part_of: &dyn Fn(&str) -> usize) {
        let names = self.world.machines.iter();
        let parts: Vec<usize> = names.map(|machine| part_of(&machine.name)).collect();
        self.part(|machine| parts[machine]);
    }

    fn part(&mut self, part_of: impl Fn(usize) -> usize) {
        for one in 0..self.world.machines.len() {
            for other in 0..self.world.machines.len() {
                if part_of(one) != part_of(other) {
                    self.world.network.cut(one, other);
                }
            }
        }
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.world.network.mend();
    }
}
