//! Whether all nodes agree, as they must after some quiet.

use super::Sim;
use super::world::Machine;
use crate::message::Status;
use crate::node::Node;
use std::time::Duration;

impl Sim {
    /// Whether every node that runs holds every other for alive, holds nobody else for that, and all name one leader.
    pub fn is_whole(&self) -> bool {
        let leader = self.nodes().next().and_then(Node::leader);
        leader.is_some()
            && self.nodes().all(|node| node.leader() == leader)
            && self.agrees_on_members()
    }

    /// Whether every node that runs holds every other for alive, and nobody else.
    pub fn agrees_on_members(&self) -> bool {
        let running: Vec<&Machine> = self.running_machines().collect();
        self.nodes().all(|node| {
            running.iter().all(|machine| {
                let id = machine.last_id.as_ref();
                id.is_some_and(|id| node.status(id) == Some(Status::Alive))
            }) && count_alive(node) == running.len()
        })
    }

    /// Lets time pass until the mesh is whole; if that takes longer than `most`, it is a violation.
    pub fn must_become_whole(&mut self, most: Duration) {
        if self.run_until(most, Self::is_whole).is_none() {
            let text = format!(
                "not whole after {most:?} of peace:{}",
                self.what_is_missing()
            );
            if let Some(watch) = &mut self.world.watch {
                watch.note(text);
            }
        }
    }

    fn running_machines(&self) -> impl Iterator<Item = &Machine> {
        let machines = self.world.machines.iter();
        machines.filter(|machine| machine.process.is_some())
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let processes = self
            .world
            .machines
            .iter()
            .filter_map(|m| m.process.as_ref());
        processes.filter_map(|process| process.as_node())
    }

    fn what_is_missing(&self) -> String {
        let mut text = String::new();
        for machine in self.running_machines() {
            let by = &machine.name;
            let missing: Vec<String> = self
                .running_machines()
                .map(|of| (&of.name, self.belief(by, &of.name)))
                .filter(|(_, belief)| *belief != Some(Status::Alive))
                .map(|(of, belief)| format!("{of} {belief:?}"))
                .collect();
            let (leader, missing) = (self.leader(by), missing.join(", "));
            text += &format!(" {by} (leader {leader:?}) misses [{missing}]");
            if let Some(node) = self.node(by) {
                text += &format!(" and sees {} alive;", count_alive(node));
            }
        }
        text
    }
}

fn count_alive(node: &Node) -> usize {
    let view = node.view();
    let alive = view.members.iter();
    alive
        .filter(|seen| seen.status == Status::Alive && seen.confirmed)
        .count()
}
