//! The state machine: what happens to this node goes in, what is to be done about it comes out.
//!
//! One idea runs through it: only the owner writes its record, every node judges silence for itself, and an answer that
//! we fetched is evidence where a thing pushed to us is a reason to ask. This file is the face; `round` does what is due,
//! `receive` answers calls, `answer` takes answers in, `hear` weighs what is said of others (`rivals` where two claim one
//! address, `fate` what becomes of each), `exchange` is the cheap way to say it, and `own` keeps this node's own word.

mod answer;
mod exchange;
mod exchanges;
mod fate;
mod hear;
mod io;
mod own;
mod questions;
mod receive;
mod rivals;
mod round;
mod seeds;

pub use io::{CallId, Command, ExchangeId, Identity, Input, Output};

use crate::address::Url;
use crate::book::Book;
use crate::config::Config;
use crate::detector::Detector;
use crate::election::{Bully, Contender, Election};
use crate::error::Invalid;
use crate::event::Event;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Entry, Reply, Request, Status};
use crate::pulse::Signs;
use crate::rng::Rng;
use crate::table::{Table, Votes};
use crate::time::{Instant, Wall};
use crate::view::{Counters, Seen, View};
use exchanges::{Exchanges, Purpose};
use own::Own;
use rivals::Rivals;
use seeds::Seed;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One node of a mesh, as a state machine: no clock, no socket, no thread.
///
/// Whoever drives it calls [`Node::handle`] with [`Input::Tick`] when [`Node::deadline`] comes, and with everything else
/// when it happens, and carries out what is returned. The same inputs at the same moments give the same outputs.
#[derive(Debug)]
pub struct Node {
    config: Config,
    own: Own,
    table: Table,
    book: Book,
    detector: Detector,
    election: Box<dyn Election>,
    exchanges: Exchanges,
    rng: Rng,
    started: Instant,
    seeds: Vec<Seed>,
    joined: bool,
    join_attempts: u32,
    next_join: Instant,
    next_round: Instant,
    next_heartbeat: Instant,
    /// No member's silence becomes anything before then.
    next_sweep: Instant,
    /// Questions about silence that this round may still ask.
    questions_left: usize,
    /// Members to introduce this node to.
    introductions: VecDeque<NodeId>,
    /// Hearsay that this round is to ask.
    to_ask: VecDeque<NodeId>,
    /// Addresses of nodes that were first heard of as suspect or dead: asked, but not entered.
    leads: VecDeque<Url>,
    /// Addresses that more than one id lays claim to.
    rivals: BTreeMap<Url, Rivals>,
    /// Calls that wait for a member to be asked on the caller's behalf.
    on_behalf: Vec<OnBehalf>,
    /// Calls that wait for this node's farewell.
    leaving: Vec<CallId>,
    /// Unknown ids that strangers may still bring, as of then.
    stranger_allowance: f64,
    stranger_allowance_as_of: Instant,
    /// Since when what this node knows may be out of date, because it was asleep.
    asleep_since: Option<Instant>,
    leader: Option<NodeId>,
    leader_since: Instant,
    /// What the leader was named by; nothing where an election is to be held in any case.
    stakes: Option<Stakes>,
    counters: Counters,
    version: u64,
    /// Whether something is other than it was published, and whether that is more than counts and loads, by which
    /// nobody comes, goes or leads.
    risen: bool,
    changed: bool,
    outputs: Vec<Output>,
}

/// What an election goes by, but for time: the same stakes have the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stakes {
    votes: Votes,
    may_name: bool,
    may_lead: bool,
    says_it_leads: bool,
}

/// A call that waits for a member to be asked.
#[derive(Debug)]
struct OnBehalf {
    call: CallId,
    subject: NodeId,
    until: Instant,
}

impl Node {
    /// A node about to join, at `now` and at the time of day `wall`. Whatever it draws at random it draws from `rng`.
    ///
    /// # Errors
    /// Names the setting that cannot be, the part of the identity that others would refuse (an unspecified URL, a record
    /// over `limits.record_bytes`), or `wall` where it is past the year 2099.
    pub fn new(
        config: Config,
        me: Identity,
        now: Instant,
        wall: Wall,
        mut rng: Rng,
    ) -> Result<Self, Invalid> {
        config.check()?;
        if me.url.is_unspecified() {
            let reason = format!("expected an address that others can call, found {}", me.url);
            return Err(Invalid::new("url", reason));
        }
        let phase = config.gossip_interval.mul_f64(rng.fraction());
        let own = Own::new(me, config.gossip_interval, now, wall, now + phase)
            .ok_or_else(|| Invalid::new("wall", "the time of day is past the year 2099"))?;
        let size = own.record.size_bytes();
        if size > config.limits.record_bytes {
            let most = config.limits.record_bytes;
            let reason = format!(
                "the node's own record takes {size} bytes, and limits.record_bytes is {most}"
            );
            return Err(Invalid::new("agents", reason));
        }
        let mut node = Self {
            table: Table::new(own.id().clone()),
            own,
            book: Book::default(),
            detector: Detector::new(&config, now),
            election: Box::new(Bully::new(config.stable_after)),
            exchanges: Exchanges::default(),
            started: now,
            seeds: config.seeds.iter().cloned().map(Seed::new).collect(),
            joined: false,
            join_attempts: 0,
            next_join: now,
            next_round: now + phase,
            next_heartbeat: now + config.heartbeat_interval,
            next_sweep: now + config.failure_timeout,
            questions_left: 0,
            introductions: VecDeque::new(),
            to_ask: VecDeque::new(),
            leads: VecDeque::new(),
            rivals: BTreeMap::new(),
            on_behalf: Vec::new(),
            leaving: Vec::new(),
            stranger_allowance: f64::from(config.limits.new_ids_burst),
            stranger_allowance_as_of: now,
            asleep_since: None,
            leader: None,
            leader_since: now,
            stakes: None,
            counters: Counters::default(),
            version: 1,
            risen: false,
            changed: true,
            outputs: Vec::new(),
            rng,
            config,
        };
        node.joined = node.is_its_only_seed();
        node.name_leader(now);
        node.outputs.clear();
        Ok(node)
    }

    /// The same node with another rule for who leads.
    #[must_use]
    pub fn with_election(mut self, election: impl Election + 'static) -> Self {
        self.election = Box::new(election);
        self
    }

    /// Lets `input` happen to this node at `now`, and returns what to do about it, in order.
    ///
    /// `now` must not lie before that of the call before.
    #[must_use = "outputs not carried out are messages never sent"]
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        self.notice_sleep(now, &input);
        match input {
            Input::Tick { wall } => self.tick(now, wall),
            Input::Receive {
                call,
                caller,
                request,
            } => self.receive(now, call, &caller, request),
            Input::Answer { exchange, answer } => self.answered(now, exchange, answer),
            Input::Command(command) => self.obey(now, command),
        }
        if self.changed && self.stakes != Some(self.stakes(now)) {
            self.name_leader(now);
        }
        if self.changed || self.risen {
            (self.changed, self.risen) = (false, false);
            self.version += 1;
            self.outputs.push(Output::Changed);
        }
        std::mem::take(&mut self.outputs)
    }

    /// When the next [`Input::Tick`] is due. It may come later; the node notices.
    pub fn deadline(&self) -> Instant {
        if self.own.has_left() {
            let farewell = self.exchanges.deadline();
            return farewell.unwrap_or(self.next_round);
        }
        let to_join = self.is_waiting_to_join().then_some(self.next_join);
        let on_behalf = self.on_behalf.iter().map(|waiting| waiting.until).min();
        [to_join, on_behalf, self.exchanges.deadline()]
            .into_iter()
            .flatten()
            .chain([self.next_round, self.next_heartbeat, self.next_sweep])
            .min()
            .unwrap_or(self.next_round)
    }

    fn is_waiting_to_join(&self) -> bool {
        !self.joined && self.exchanges.count(|purpose| *purpose == Purpose::Join) == 0
    }

    /// This node's id. It changes only if somebody drives it to the end of time.
    pub fn id(&self) -> &NodeId {
        self.own.id()
    }

    /// Whom this node takes for the leader. Advisory: in a partition each side names one.
    pub fn leader(&self) -> Option<&NodeId> {
        self.leader.as_ref()
    }

    /// How much of its own sleep this node took off the clock that it judges silence by.
    pub fn slept(&self) -> Duration {
        self.detector.slept()
    }

    /// How many members this node has a row of, itself not counted; hearsay and the dead are.
    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// How many members make up the mesh to this node, itself not counted: confirmed, and alive or suspect.
    pub fn present(&self) -> usize {
        self.table.count_present()
    }

    /// How many of those who are gone it still remembers.
    pub fn remembered(&self) -> usize {
        self.book.len()
    }

    /// How `id` stands here; `None` if there is no row of it. Hearsay has none.
    pub fn status(&self, id: &NodeId) -> Option<Status> {
        if id == self.id() {
            return Some(if self.own.has_left() {
                Status::Left
            } else {
                Status::Alive
            });
        }
        let member = self.table.get(id).filter(|member| member.is_confirmed());
        member.map(|member| member.status())
    }

    /// What was turned away so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The mesh as this node sees it now.
    pub fn view(&self) -> Arc<View> {
        self.view_after(&View::default())
    }

    /// The same for less, where the last view that this node gave is at hand: `before` must be one of its own, unchanged.
    pub fn view_after(&self, before: &View) -> Arc<View> {
        let others = self
            .table
            .iter()
            .filter(|(_, member)| member.status() != Status::Left);
        let view = View {
            version: self.version,
            members: std::iter::once(self.seen_self())
                .chain(others.map(|(_, member)| self.seen(member)))
                .collect(),
            leader: self.leader.clone(),
            leader_since: self.leader_since,
            joined: self.joined,
            left: self.own.has_left(),
            seeds: self.seed_views(),
            counters: self.counters,
            ..View::default()
        };
        Arc::new(view.indexed_after(before))
    }

    fn seen_self(&self) -> Seen {
        Seen {
            record: Arc::clone(&self.own.record),
            url: self.own.record.card.url.clone(),
            load_beat: 0,
            status: self.status(self.id()).unwrap_or(Status::Alive),
            since: self.started,
            heard: self.started,
            confirmed: true,
            cut_off: false,
            is_me: true,
            reason: None,
        }
    }

    fn seen(&self, member: Member<'_>) -> Seen {
        Seen {
            record: member.record(),
            url: member.url().clone(),
            load_beat: member.load().beat,
            status: member.status(),
            since: member.since,
            heard: self.heard(member),
            confirmed: member.is_confirmed(),
            cut_off: member.odd().cut_off,
            is_me: false,
            reason: member.odd().reason,
        }
    }

    /// When a member's last sign of life came. Pulses tell how long ago something was; any moment near now will do to
    /// count back from.
    fn heard(&self, member: Member<'_>) -> Instant {
        let soon = self.next_round;
        soon - member.silent(self.detector.judged(soon))
    }

    /// This node's own word, as it is handed on. To older nodes one who leaves is dead.
    fn own_entry(&self) -> Entry {
        Entry {
            record: Arc::clone(&self.own.record),
            status: if self.own.has_left() {
                Status::Left
            } else {
                Status::Alive
            },
            leader: self.leader.as_ref() == Some(self.id()),
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push(Output::Report(event));
    }

    fn reply(&mut self, call: CallId, reply: Reply) {
        self.outputs.push(Output::Reply { call, reply });
    }

    /// Begins an exchange that may take `patience`.
    fn send(
        &mut self,
        now: Instant,
        to: Url,
        request: Request,
        purpose: Purpose,
        patience: Duration,
    ) {
        let holder = self.table.holder(&to).and_then(|id| self.table.get(id));
        let meant =
            holder.map(|member| (member.word().id.clone(), member.word().version.incarnation));
        let exchange = self
            .exchanges
            .begin(to.clone(), purpose, meant, now + patience);
        let from = self.own.id().clone();
        self.outputs.push(Output::Send {
            exchange,
            from,
            to,
            request,
        });
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Load(load) => {
                self.own.set_load(load);
                return;
            }
            Command::Seeds(urls) => {
                self.take_seeds(now, urls);
                return;
            }
            Command::Forget(id) => {
                self.dismiss(now, &id);
                return;
            }
            Command::Agents(agents)
                if self.own.size_with(&agents) > self.config.limits.record_bytes =>
            {
                self.counters.refused_requests += 1;
                return;
            }
            Command::Agents(agents) => self.own.set_agents(agents),
            Command::Url(url) if !url.is_unspecified() => self.own.set_url(url),
            Command::Url(_) => return,
            Command::Drain if self.own.is_draining() => return,
            Command::Drain => self.own.drain(),
        }
        self.changed = true;
        if !self.own.has_left() {
            self.name_leader(now);
            self.tell_everyone(now);
        }
    }

    /// What the election's rule goes by, but for time. While somebody says that it leads, who comes without saying so
    /// changes nothing at once: a mesh that forms would else be looked through once for each who comes, by each.
    fn stakes(&self, now: Instant) -> Stakes {
        let votes = self.table.votes();
        let says_it_leads = self.own.record.says_it_leads();
        let is_led = says_it_leads || votes.leading > 0;
        Stakes {
            votes: Votes {
                came: if is_led { 0 } else { votes.came },
                ..votes
            },
            may_name: self.may_name(now),
            may_lead: !self.own.is_draining(),
            says_it_leads,
        }
    }

    /// Applies the election's rule, and says so where it names this node.
    fn name_leader(&mut self, now: Instant) {
        let leader = self.lead_by_the_rule(now);
        let leads = leader.as_ref() == Some(self.own.id());
        self.changed |= self.own.say_it_leads(leads);
        self.stakes = Some(self.stakes(now));
        if leader != self.leader {
            let before = std::mem::replace(&mut self.leader, leader.clone());
            let lasted = now.since(self.leader_since);
            self.leader_since = now;
            self.changed = true;
            self.report(Event::LeaderChanged {
                leader,
                before,
                lasted,
            });
        }
    }

    /// Whether this node knows enough to name a leader.
    fn may_name(&self, now: Instant) -> bool {
        let settled = self.joined || now.since(self.started) >= self.config.stable_after;
        settled && !self.own.has_left() && self.asleep_since.is_none() && self.sees_enough()
    }

    /// Whether more than half of the nodes that are expected are alive, where a number is expected.
    fn sees_enough(&self) -> bool {
        let signs = self.table.pulses().signs();
        let is_alive = |signs: &&Signs| signs.is_present() && signs.status == Status::Alive;
        let alive = || 1 + signs.iter().filter(is_alive).count();
        let expected = self.config.expected_nodes;
        expected.is_none_or(|expected| alive() > expected / 2)
    }

    fn lead_by_the_rule(&self, now: Instant) -> Option<NodeId> {
        if !self.may_name(now) {
            return None;
        }
        let own = (!self.own.is_draining()).then(|| Contender {
            id: self.own.id(),
            says_it_leads: self.own.record.says_it_leads(),
            steady_for: now.since(self.started),
        });
        let seat = self.table.seat();
        let (lesser, greater) = (0..seat, seat..self.table.len());
        let lesser = self.contenders(lesser, now);
        let greater = self.contenders(greater, now);
        let mut all = greater.chain(own).chain(lesser);
        self.election.leader(&mut all).cloned()
    }

    /// Those at `places` who may lead, the last first.
    fn contenders(
        &self,
        places: Range<usize>,
        now: Instant,
    ) -> impl Iterator<Item = Contender<'_>> {
        let judged = self.detector.judged(now);
        let signs = self.table.pulses().signs();
        let fits = |signs: &Signs| signs.is_present() && !signs.is_draining;
        let fitting = places.rev().filter(move |place| fits(&signs[*place]));
        let members = fitting.filter_map(|place| self.table.at(place));
        members.map(move |member| Contender {
            id: &member.row.word().id,
            says_it_leads: member.pulse.says_it_leads,
            steady_for: member.steady_for(judged),
        })
    }
}
