//! Messages on their way: what becomes of them until they arrive, and what comes back.

use super::damage;
use super::replay::Old;
use super::scales;
use super::world::{Happening, Reported, Return, World};
use crate::address::Url;
use crate::id::NodeId;
use crate::message::{Answer, Caller, Failure, Refusal, Reply, Request};
use crate::node::{CallId, ExchangeId, Input, Output};

impl World {
    pub(super) fn carry_out(&mut self, place: usize, output: Output) {
        match output {
            Output::Send {
                exchange,
                from,
                to,
                request,
            } => {
                self.machines[place].open.insert(exchange);
                self.send(place, exchange, from, &to, &request);
            }
            Output::Abandon { exchange } => {
                self.machines[place].open.remove(&exchange);
            }
            Output::Reply { call, reply } => self.send_back(place, call, reply),
            Output::Report(event) => {
                self.note_text(&event.to_string());
                let by = self.machines[place].name.clone();
                self.events.push(Reported {
                    at: self.now,
                    by,
                    event,
                });
            }
            Output::Changed => {}
        }
    }

    fn send(
        &mut self,
        place: usize,
        exchange: ExchangeId,
        from: NodeId,
        to: &Url,
        request: &Request,
    ) {
        if *to == self.machines[place].url || to.is_unspecified() {
            self.complain(format!("{:?}: {from} sends to {to}", self.now));
            return;
        }
        self.messages += 1;
        if let Some(bytes) = &mut self.bytes {
            *bytes += scales::request_bytes(request) as u64;
        }
        let Some(&there) = self.by_url.get(to) else {
            return;
        };
        let machine = &self.machines[place];
        let back = Return::To {
            machine: place,
            start: machine.starts,
            exchange,
        };
        let process = machine.process.as_ref();
        let speaks = process.and_then(|process| process.speaks_as());
        let caller = Caller {
            id: speaks.map(|_| from),
            address: Some(machine.address),
            on_this_host: false,
        };
        for at in self.network.arrivals(place, there, self.now, &mut self.rng) {
            let what = self.on_its_way(place, caller.clone(), request, back);
            self.plan(at, there, what);
        }
        self.replay(place, there, caller, request);
    }

    /// A request as it arrives: whole, with other bytes, or as something that nobody can read.
    fn on_its_way(
        &mut self,
        from: usize,
        caller: Caller,
        request: &Request,
        back: Return,
    ) -> Happening {
        let mut request = request.clone();
        if self.is_damaged() {
            match damage::request(&request, &mut self.rng) {
                None => return Happening::Garbled { from, back },
                Some(other) if other != request => {
                    if !self.network.forging {
                        return Happening::Garbled { from, back };
                    }
                    if let Some(watch) = &mut self.watch {
                        watch.hear_damaged_request(&request, &other);
                    }
                    request = other;
                }
                Some(_) => {}
            }
        }
        Happening::Request {
            caller,
            from: Some(from),
            request,
            back,
        }
    }

    fn is_damaged(&mut self) -> bool {
        // Where nothing is damaged nothing is drawn, so that the other chances fall as they did.
        self.network.damage > 0.0 && self.rng.chance(self.network.damage)
    }

    /// Now and then the network keeps a message, and brings one that it kept.
    fn replay(&mut self, from: usize, to: usize, caller: Caller, request: &Request) {
        if self.network.replay <= 0.0 || !self.rng.chance(self.network.replay) {
            return;
        }
        let new = Old {
            from,
            to,
            caller,
            request: request.clone(),
        };
        let old = self.past.swap(new, &mut self.rng);
        for at in self
            .network
            .arrivals(old.from, old.to, self.now, &mut self.rng)
        {
            let what = Happening::Request {
                caller: old.caller.clone(),
                from: None,
                request: old.request.clone(),
                back: Return::Nowhere,
            };
            self.plan(at, old.to, what);
        }
    }

    pub(super) fn arrive(
        &mut self,
        place: usize,
        caller: Caller,
        from: Option<usize>,
        request: Request,
        back: Return,
    ) {
        let machine = &mut self.machines[place];
        if machine.process.is_none() {
            if let Some(from) = from {
                self.bring_back(place, from, back, &Err(Failure::Refused));
            }
            return;
        }
        let call = machine.next_call;
        machine.next_call = call.next();
        machine.calls.insert(call, back);
        self.feed(
            place,
            Input::Receive {
                call,
                caller,
                request,
            },
        );
    }

    /// What cannot be read never reaches a node: whoever reads for it answers 400.
    pub(super) fn refuse_garbled(&mut self, place: usize, from: usize, back: Return) {
        let failure = if self.machines[place].process.is_some() {
            Failure::Unusable("status 400".into())
        } else {
            Failure::Refused
        };
        self.bring_back(place, from, back, &Err(failure));
    }

    fn send_back(&mut self, place: usize, call: CallId, reply: Reply) {
        let process = self.machines[place].process.as_ref();
        let from = process.and_then(|process| process.speaks_as());
        match self.machines[place].calls.remove(&call) {
            Some(Return::Outside(ticket)) => {
                self.outside.insert(ticket, Some(reply));
            }
            Some(back @ Return::To { machine, .. }) => {
                if let Some(bytes) = &mut self.bytes {
                    *bytes += scales::reply_bytes(&reply) as u64;
                }
                let reply = self.on_its_way_back(reply);
                let answer = reply.and_then(|reply| match reply {
                    Reply::Refused(Refusal::Left) => Err(Failure::Left),
                    Reply::Refused(refusal) => Err(Failure::Unusable(refusal.to_string())),
                    reply => Ok(Answer { from, reply }),
                });
                self.bring_back(place, machine, back, &answer);
            }
            Some(Return::Nowhere) | None => {}
        }
    }

    /// A reply as it arrives.
    fn on_its_way_back(&mut self, reply: Reply) -> Result<Reply, Failure> {
        if !self.is_damaged() {
            return Ok(reply);
        }
        let other = damage::reply(&reply, &mut self.rng)?;
        if other != reply && !self.network.forging {
            return Err(Failure::Unusable("it cannot be read".into()));
        }
        if let (Some(watch), true) = (&mut self.watch, other != reply) {
            watch.hear_damaged_reply(&reply, &other);
        }
        Ok(other)
    }

    fn bring_back(
        &mut self,
        from: usize,
        to: usize,
        back: Return,
        answer: &Result<Answer, Failure>,
    ) {
        let Return::To {
            start, exchange, ..
        } = back
        else {
            return;
        };
        self.messages += 1;
        for at in self.network.arrivals(from, to, self.now, &mut self.rng) {
            let what = Happening::Answer {
                start,
                exchange,
                answer: answer.clone(),
            };
            self.plan(at, to, what);
        }
    }

    /// Something happened that must never be.
    fn complain(&mut self, what: String) {
        match &mut self.watch {
            Some(watch) => watch.note(what),
            None => panic!("{what}"),
        }
    }
}
