//! The driver on a runtime that is nobody's: two threads that poll a future each, and messages handed over in memory.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here is the world that the crate keeps out"
)]

use maia::address::Url;
use maia::config::Config;
use maia::driver::{Driver, Handle, Timer, Transport};
use maia::id::NodeId;
use maia::message::{Answer, Caller, Failure, Reply, Request, Status, Subject};
use maia::node::{Command, Identity, Node};
use maia::record::Load;
use maia::rng::Rng;
use maia::time::{Instant, Wall};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Everybody's handle, by address: the network.
type Network = Arc<Mutex<BTreeMap<Url, (NodeId, Handle)>>>;

struct InMemory(Network);

impl Transport for InMemory {
    fn exchange(
        &self,
        from: NodeId,
        to: Url,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
        let there = self
            .0
            .lock()
            .expect("no test panics with it")
            .get(&to)
            .cloned();
        async move {
            let (id, handle) = there.ok_or(Failure::Refused)?;
            let caller = Caller {
                id: Some(from),
                ..Caller::default()
            };
            match handle.call(caller, request).await {
                Some(Reply::Refused(_)) => Err(Failure::Left),
                Some(reply) => Ok(Answer {
                    from: Some(id),
                    reply,
                }),
                None => Err(Failure::Refused),
            }
        }
    }
}

/// Real time; a sleeping thread wakes who waits.
struct RealTime(std::time::Instant);

impl Timer for RealTime {
    fn now(&self) -> Instant {
        Instant::after_start(self.0.elapsed())
    }

    fn wall(&self) -> Wall {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Wall::from_unix_millis(since.expect("after 1970").as_millis() as u64)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let (start, mut asked) = (self.0, false);
        poll_fn(move |context| {
            let left = deadline.since(Instant::after_start(start.elapsed()));
            if left.is_zero() {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut asked, true) {
                let waker = context.waker().clone();
                std::thread::spawn(move || {
                    std::thread::sleep(left);
                    waker.wake();
                });
            }
            Poll::Pending
        })
    }
}

/// Wakes a thread that blocks on a future.
struct Bell(mpsc::SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // A bell that rings already need not ring twice.
        let _ = self.0.try_send(());
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let (ring, rung) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Bell(ring)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let _ = rung.recv_timeout(Duration::from_secs(20));
    }
}

fn start(network: &Network, name: &str, seeds: &[&str], events: &mpsc::Sender<String>) -> Handle {
    let quick = Duration::from_millis(50);
    let config = Config {
        seeds: seeds
            .iter()
            .map(|seed| seed.parse().expect("a URL"))
            .collect(),
        gossip_interval: quick,
        failure_timeout: 6 * quick,
        dead_timeout: 12 * quick,
        stable_after: 2 * quick,
        ..Config::default()
    };
    let url: Url = format!("http://{name}:8000").parse().expect("a URL");
    let me = Identity {
        id: name.parse().expect("an id"),
        name: name.parse().expect("a name"),
        url: url.clone(),
        services: Vec::new(),
        agents: Vec::new(),
        version: None,
    };
    let timer = RealTime(std::time::Instant::now());
    let node =
        Node::new(config, me, timer.now(), timer.wall(), Rng::from_seed(1)).expect("good settings");
    let (driver, handle) = Driver::new(node, InMemory(Arc::clone(network)), timer);
    let (events, by) = (events.clone(), name.to_owned());
    let driver = driver.on_event(move |event| drop(events.send(format!("{by}: {event}"))));
    let id = name.parse().expect("an id");
    network
        .lock()
        .expect("no test panics with it")
        .insert(url, (id, handle.clone()));
    std::thread::spawn(move || block_on(driver.run()));
    handle
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status(by: &Handle, of: &str) -> Option<Status> {
    let id = of.parse().expect("an id");
    by.view().member(&id).map(|seen| seen.status)
}

#[test]
fn two_driven_nodes_meet_talk_and_part() {
    let network = Network::default();
    let (events, reported) = mpsc::channel();
    let ana = start(&network, "ana", &[], &events);
    let bob = start(&network, "bob", &["http://ana:8000"], &events);
    eventually("they see each other", || {
        status(&ana, "bob") == Some(Status::Alive) && status(&bob, "ana") == Some(Status::Alive)
    });

    bob.tell(Command::Load(Load::new(1.0, 2.0, 7).expect("in range")));
    eventually("ana learns how busy bob is", || {
        let view = ana.view();
        let seen = view.member(&"bob".parse().expect("an id"));
        seen.is_some_and(|seen| seen.record.load.active_requests() == 7)
    });

    let here = Caller {
        on_this_host: true,
        ..Caller::default()
    };
    let said = block_on(bob.call(here, Request::Leave(Subject::Myself)));
    assert_eq!(said, Some(Reply::Leave), "answered once ana was told");
    eventually("ana has let bob go", || status(&ana, "bob").is_none());
    assert!(reported.try_iter().any(|line| line == "ana: bob left"));
    network.lock().expect("no test panics with it").clear();
}

#[test]
fn the_driver_ends_with_its_last_handle() {
    let (timer, me) = (RealTime(std::time::Instant::now()), "ana");
    let me = Identity {
        id: me.parse().expect("an id"),
        name: me.parse().expect("a name"),
        url: "http://ana:8000".parse().expect("a URL"),
        services: Vec::new(),
        agents: Vec::new(),
        version: None,
    };
    let node = Node::new(
        Config::default(),
        me,
        timer.now(),
        timer.wall(),
        Rng::from_seed(1),
    )
    .expect("good settings");
    let (driver, handle) = Driver::new(node, InMemory(Network::default()), timer);
    let other = handle.clone();
    let ended = std::thread::spawn(move || block_on(driver.run()));
    drop(handle);
    assert!(matches!(
        block_on(other.call(Caller::default(), Request::State)),
        Some(Reply::State(_))
    ));
    drop(other);
    ended.join().expect("it returned");
}
