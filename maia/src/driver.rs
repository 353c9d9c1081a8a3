//! Node, transport and timer joined: the loop that turns what happens into inputs and carries out the outputs.
//!
//! One future owns the node; whoever else wants something of it holds a [`Handle`] and sends it a message. No runtime is
//! named here: implement [`Transport`] and [`Timer`] for yours and spawn [`Driver::run`].

use crate::address::Url;
use crate::event::Event;
use crate::id::NodeId;
use crate::mailbox::{self, Awaited, Promise, Receiver, Sender};
use crate::message::{Answer, Caller, Failure, Reply, Request};
use crate::node::{CallId, Command, ExchangeId, Input, Node, Output};
use crate::time::{Instant, Wall};
use crate::view::View;
#[cfg(feature = "wire")]
use crate::{message::Refusal, wire};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

/// How a request reaches a peer. An async function that does it is one.
pub trait Transport: Send + Sync + 'static {
    /// Takes `request` to the node at `to` and brings back its answer. `from` is who asks, for `X-Astromesh-Node-Id`.
    ///
    /// The node decides how long it waits and drops the future then; a deadline here is not needed. The implementation
    /// must not call an address that [`crate::address::may_be_called`] forbids, which matters where a name is resolved.
    fn exchange(
        &self,
        from: NodeId,
        to: Url,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static;
}

/// A function that takes a request to a peer is a way for it to get there.
impl<F, E> Transport for F
where
    F: Fn(NodeId, Url, Request) -> E + Send + Sync + 'static,
    E: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    fn exchange(
        &self,
        from: NodeId,
        to: Url,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
        self(from, to, request)
    }
}

/// How one waits, and what time it is.
pub trait Timer: Send + Sync + 'static {
    /// The monotonic time since some moment before the node was made, the same moment each time.
    fn now(&self) -> Instant;

    /// The time of day, which may jump.
    fn wall(&self) -> Wall;

    /// Returns once `deadline` has come. It may be late; the node notices.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static;
}

type Exchange = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;
type Hook<T> = Box<dyn FnMut(T) + Send>;

/// What others send to the task that owns the node.
enum Mail {
    Call(Caller, Request, Promise<Reply>),
    Command(Command),
}

/// The future that drives one node. Make it, hand out [`Handle`]s, spawn [`Driver::run`].
pub struct Driver<T, C> {
    node: Node,
    transport: T,
    timer: C,
    inbox: Receiver<Mail>,
    calls: BTreeMap<CallId, Promise<Reply>>,
    next_call: CallId,
    exchanges: Vec<(ExchangeId, Exchange)>,
    view: Arc<RwLock<Arc<View>>>,
    on_event: Hook<Event>,
    on_view: Hook<Arc<View>>,
}

/// A way to talk to a driven node, from any task and as many as one likes. The driver ends with the last of them.
#[derive(Clone)]
pub struct Handle {
    outbox: Sender<Mail>,
    view: Arc<RwLock<Arc<View>>>,
}

impl<T: Transport, C: Timer> Driver<T, C> {
    /// Joins the three, with nobody listening to events.
    pub fn new(node: Node, transport: T, timer: C) -> (Self, Handle) {
        let (outbox, inbox) = mailbox::queue();
        let view = Arc::new(RwLock::new(node.view()));
        let handle = Handle {
            outbox,
            view: Arc::clone(&view),
        };
        let driver = Self {
            node,
            transport,
            timer,
            inbox,
            calls: BTreeMap::new(),
            next_call: CallId::default(),
            exchanges: Vec::new(),
            view,
            on_event: Box::new(drop),
            on_view: Box::new(drop),
        };
        (driver, handle)
    }

    /// Calls `hook` with each event. It runs on the driver's task: it must not wait.
    #[must_use]
    pub fn on_event(mut self, hook: impl FnMut(Event) + Send + 'static) -> Self {
        self.on_event = Box::new(hook);
        self
    }

    /// Calls `hook` with each view that the node publishes. It runs on the driver's task: it must not wait.
    #[must_use]
    pub fn on_view(mut self, hook: impl FnMut(Arc<View>) + Send + 'static) -> Self {
        self.on_view = Box::new(hook);
        self
    }

    /// Drives the node until every [`Handle`] is gone.
    pub async fn run(mut self) {
        loop {
            let Some(input) = self.next_input().await else {
                return;
            };
            let outputs = self.node.handle(self.timer.now(), input);
            outputs
                .into_iter()
                .for_each(|output| self.carry_out(output));
        }
    }

    /// What happens next. The node's deadline goes first, so that no amount of mail can keep it waiting.
    async fn next_input(&mut self) -> Option<Input> {
        let deadline = self.node.deadline();
        let mut alarm = Box::pin(self.timer.sleep_until(deadline));
        poll_fn(|context| {
            let rang = alarm.as_mut().poll(context).is_ready();
            if rang || self.timer.now() >= deadline {
                let wall = self.timer.wall();
                return Poll::Ready(Some(Input::Tick { wall }));
            }
            if let Some(answered) = self.poll_exchanges(context) {
                return Poll::Ready(Some(answered));
            }
            match self.inbox.poll_receive(context) {
                Poll::Ready(Some(mail)) => Poll::Ready(Some(self.open(mail))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn poll_exchanges(&mut self, context: &mut Context<'_>) -> Option<Input> {
        for place in 0..self.exchanges.len() {
            let (exchange, future) = &mut self.exchanges[place];
            if let Poll::Ready(answer) = future.as_mut().poll(context) {
                let exchange = *exchange;
                drop(self.exchanges.swap_remove(place));
                return Some(Input::Answer { exchange, answer });
            }
        }
        None
    }

    fn open(&mut self, mail: Mail) -> Input {
        match mail {
            Mail::Call(caller, request, promise) => {
                let call = self.next_call;
                self.next_call = call.next();
                self.calls.insert(call, promise);
                Input::Receive {
                    call,
                    caller,
                    request,
                }
            }
            Mail::Command(command) => Input::Command(command),
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send {
                exchange,
                from,
                to,
                request,
            } => {
                let future = self.transport.exchange(from, to, request);
                self.exchanges.push((exchange, Box::pin(future)));
            }
            Output::Abandon { exchange } => self.exchanges.retain(|(id, _)| *id != exchange),
            Output::Reply { call, reply } => {
                if let Some(promise) = self.calls.remove(&call) {
                    promise.fill(reply);
                }
            }
            Output::Report(event) => (self.on_event)(event),
            Output::Changed => {
                let view = self.node.view_after(&newest(&self.view));
                *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&view);
                (self.on_view)(view);
            }
        }
    }
}

impl Handle {
    /// Lets the node answer `request`. `None` if the driver is gone.
    ///
    /// A call of `Leave(Myself)` returns once the others have been told.
    pub async fn call(&self, caller: Caller, request: Request) -> Option<Reply> {
        let (promise, awaited): (_, Awaited<Reply>) = mailbox::slot();
        self.outbox
            .send(Mail::Call(caller, request, promise))
            .ok()?;
        awaited.take().await
    }

    /// Lets the node answer a request as HTTP brought it: `ask` is the value of [`wire::ASK_HEADER`]. `None` where that is
    /// none of the mesh's calls, or the driver is gone. An answer wants the node's id in [`wire::NODE_ID_HEADER`].
    #[cfg(feature = "wire")]
    pub async fn answer(
        &self,
        caller: Caller,
        (method, path): (&str, &str),
        ask: Option<&str>,
        body: &[u8],
    ) -> Option<wire::Response> {
        let endpoint = wire::Endpoint::at(path).filter(|call| call.method() == method)?;
        let reply = match wire::decode_request(endpoint, ask, body) {
            Ok(request) => self.call(caller, request).await?,
            Err(invalid) => Reply::Refused(Refusal::Invalid(invalid)),
        };
        Some(wire::encode_reply(&reply))
    }

    /// Tells the node something about itself. Lost if the driver is gone.
    pub fn tell(&self, command: Command) {
        drop(self.outbox.send(Mail::Command(command)));
    }

    /// The mesh as the node sees it.
    pub fn view(&self) -> Arc<View> {
        newest(&self.view)
    }
}

fn newest(view: &RwLock<Arc<View>>) -> Arc<View> {
    Arc::clone(&view.read().unwrap_or_else(PoisonError::into_inner))
}

impl<T, C> fmt::Debug for Driver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("node", &self.node)
            .field("exchanges", &self.exchanges.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
