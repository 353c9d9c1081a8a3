//! A few hosts on one wire, each a network namespace of this machine, and the wire can be hurt.
//!
//! A namespace of its own holds the bridge, so that no rule of this machine's firewall touches what the hosts say to each
//! other. One more cable leads from the bridge to this machine: the daemons are asked over it, and no rule here is about
//! it. Rules are about what comes in at a host.

use super::findings::Failure;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The hosts and the wire; all of it is taken away when this is dropped.
pub(crate) struct Lab {
    /// What the names of all that is made begin with; short, for interfaces have at most 15 letters.
    prefix: String,
    /// The first three numbers of every address.
    subnet: String,
    hosts: usize,
}

impl Lab {
    /// Makes it, with hosts numbered from 1, at most 127 of them.
    pub(crate) fn open(hosts: usize) -> Result<Self, Failure> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            prefix: format!("mf{}x{number}", std::process::id()),
            subnet: unused_subnet()?,
            hosts,
        };
        match lab.build() {
            Ok(()) => Ok(lab),
            Err(why) if is_not_to_be_had(&why) => Err(Failure::NotRun(format!(
                "network namespaces take root, ip and iptables: {why}"
            ))),
            Err(why) => Err(Failure::Missed(why)),
        }
    }

    fn build(&self) -> Result<(), String> {
        let (wire, cable) = (self.wire(), self.cable());
        run(&format!("ip netns add {wire}"))?;
        run(&format!("ip -n {wire} link add bridge type bridge"))?;
        run(&format!("ip -n {wire} link set bridge up"))?;
        run(&format!(
            "ip link add {cable} type veth peer name cable netns {wire}"
        ))?;
        run(&format!("ip -n {wire} link set cable master bridge up"))?;
        run(&format!("ip addr add {}/24 dev {cable}", self.address(254)))?;
        run(&format!("ip link set {cable} up"))?;
        (1..=self.hosts).try_for_each(|host| self.plug_in(host))
    }

    fn plug_in(&self, host: usize) -> Result<(), String> {
        let (wire, name, address) = (self.wire(), self.name(host), self.address(host));
        run(&format!("ip netns add {name}"))?;
        run(&format!(
            "ip -n {wire} link add port{host} type veth peer name eth0 netns {name}"
        ))?;
        run(&format!(
            "ip -n {wire} link set port{host} master bridge up"
        ))?;
        run(&format!("ip -n {name} addr add {address}/24 dev eth0"))?;
        run(&format!("ip -n {name} link set eth0 up"))?;
        run(&format!("ip -n {name} link set lo up"))?;
        // Whether it can be hurt should be known before anything is started.
        self.iptables(host, "-S INPUT")
    }

    /// Gives a host one more address, with that last number.
    pub(crate) fn add_address(&self, host: usize, number: usize) -> Result<(), String> {
        let (name, address) = (self.name(host), self.address(number));
        run(&format!("ip -n {name} addr add {address}/24 dev eth0")).map(drop)
    }

    /// What to put before a command so that it runs on that host.
    pub(crate) fn at(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.name(host)]
            .map(str::to_owned)
            .to_vec()
    }

    /// The address with that last number; that of a host has the host's.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("{}.{number}", self.subnet)
    }

    /// A rule about what comes in at a host: `-s 10.0.0.7 -j DROP`.
    pub(crate) fn rule(&self, host: usize, rule: &str) -> Result<(), String> {
        self.iptables(host, &format!("-A INPUT {rule}"))
    }

    /// Nothing passes between the hosts of the one side and those of the other; `target` says how: `DROP`, or
    /// `REJECT` with how to say no.
    pub(crate) fn cut(&self, one: &[usize], other: &[usize], target: &str) -> Result<(), String> {
        for (heres, theres) in [(one, other), (other, one)] {
            for here in heres {
                for there in theres {
                    self.hush(*there, *here, target)?;
                }
            }
        }
        Ok(())
    }

    /// What the one host sends does not come in at the other.
    pub(crate) fn hush(&self, from: usize, at: usize, target: &str) -> Result<(), String> {
        let from = self.address(from);
        self.rule(at, &format!("-s {from} -p tcp -j {target}"))
    }

    /// So many of a hundred packets are lost, on their way to any host.
    pub(crate) fn lose(&self, percent: u32) -> Result<(), String> {
        let chance = f64::from(percent) / 100.0;
        // The hosts have the lower half of the addresses, this machine the last.
        let from = format!("{}.0/25", self.subnet);
        (1..=self.hosts).try_for_each(|host| {
            self.rule(
                host,
                &format!("-s {from} -m statistic --mode random --probability {chance} -j DROP"),
            )
        })
    }

    /// How many packets the rules have stopped since they were made.
    pub(crate) fn stopped(&self) -> Result<f64, String> {
        let mut stopped = 0.0;
        for host in 1..=self.hosts {
            let name = self.name(host);
            let rules = run(&format!("ip netns exec {name} iptables -w -vnxL INPUT"))?;
            // The first word of a rule is the count; those of the two lines above are none.
            let counts = rules
                .lines()
                .filter_map(|rule| rule.split_whitespace().next());
            stopped += counts
                .filter_map(|count| count.parse::<f64>().ok())
                .sum::<f64>();
        }
        Ok(stopped)
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) -> Result<(), String> {
        (1..=self.hosts).try_for_each(|host| self.iptables(host, "-F INPUT"))
    }

    fn iptables(&self, host: usize, arguments: &str) -> Result<(), String> {
        let name = self.name(host);
        run(&format!("ip netns exec {name} iptables -w {arguments}")).map(drop)
    }

    fn name(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn wire(&self) -> String {
        format!("{}-wire", self.prefix)
    }

    fn cable(&self) -> String {
        format!("{}c", self.prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Some of it may not be there, where it could not be made.
        drop(run(&format!("ip link del {}", self.cable())));
        for host in 1..=self.hosts {
            drop(run(&format!("ip netns del {}", self.name(host))));
        }
        drop(run(&format!("ip netns del {}", self.wire())));
    }
}

/// The first three numbers of addresses that this machine does not use. No two calls return the same.
fn unused_subnet() -> Result<String, Failure> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id();
    for _ in 0..1_024 {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let place = offset.wrapping_add(call) % (64 * 256);
        let subnet = format!("10.{}.{}", 128 + place / 256, place % 256);
        if is_unused(&subnet) {
            return Ok(subnet);
        }
    }
    Err(Failure::NotRun(
        "this machine uses all of 10.128.0.0/10".to_owned(),
    ))
}

/// Whether no route of this machine leads there but the general ones.
fn is_unused(subnet: &str) -> bool {
    let query = format!("-4 route show root {subnet}.0/24");
    let routes = Command::new("ip").args(query.split(' ')).output();
    // Where there is no `ip`, making the first namespace will say so.
    routes.map_or(true, |output| output.stdout.is_empty())
}

/// Runs a command; returns what it said, or what it complained of.
fn run(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a command has a first word");
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line}: {}", complaint.trim()))
}

/// Whether that complaint means that this machine has no namespaces for us, rather than that we made a mistake.
fn is_not_to_be_had(complaint: &str) -> bool {
    [
        "not permitted",
        "denied",
        "not supported",
        "No such file",
        "Read-only",
        "Unknown device type",
    ]
    .iter()
    .any(|reason| complaint.contains(reason))
}
