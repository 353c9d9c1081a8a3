//! A few hosts on one wire, each a network namespace of this machine, and the wire can be cut.
//!
//! A namespace of its own holds the bridge, so that no rule of this machine's firewall touches what the hosts say to each
//! other. One more cable leads from the bridge to this machine: the tests ask the daemons over it, cut or not.

use super::PROGRAM;
use std::io::Write;
use std::process::Command;

/// The hosts and the wire; all of it is taken away when this is dropped.
pub(crate) struct Lab {
    /// What the names of all that is made begin with; short, for interfaces have at most 15 letters.
    prefix: String,
    /// The first three numbers of every address.
    subnet: String,
    hosts: usize,
}

impl Lab {
    /// Makes it, with hosts numbered from 1. `None` where this machine does not let us, which is said on stderr.
    pub(crate) fn open(hosts: usize) -> Option<Self> {
        let pid = std::process::id();
        let mut subnets =
            (0..256).map(|n| format!("10.{}.{}", 64 + pid / 256 % 128, (pid + n) % 256));
        let unused = subnets.find(|subnet| is_unused(subnet));
        let lab = Self {
            prefix: format!("maia{pid}"),
            subnet: unused.expect("a subnet that this machine does not use"),
            hosts,
        };
        match lab.build() {
            Ok(()) => Some(lab),
            Err(why) if is_not_to_be_had(&why) => {
                let what = "a mesh in network namespaces (it takes root, ip and iptables)";
                not_run(what, &why);
                None
            }
            Err(why) => panic!("cannot make the namespaces: {why}"),
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
        // Whether it can be cut should be known before anything is started.
        self.iptables(host, "-S INPUT")
    }

    /// The program on that host, with an empty environment.
    pub(crate) fn program(&self, host: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), "env", "-i", PROGRAM]);
        command
    }

    /// The address of a host.
    pub(crate) fn address(&self, host: usize) -> String {
        format!("{}.{host}", self.subnet)
    }

    /// From now on nothing passes between the hosts of the one side and those of the other.
    pub(crate) fn cut(&self, one: &[usize], other: &[usize]) {
        for (heres, theres) in [(one, other), (other, one)] {
            for here in heres {
                for there in theres {
                    let rule = format!("-A INPUT -s {} -j DROP", self.address(*there));
                    self.iptables(*here, &rule).unwrap();
                }
            }
        }
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        for host in 1..=self.hosts {
            self.iptables(host, "-F INPUT").unwrap();
        }
    }

    fn iptables(&self, host: usize, arguments: &str) -> Result<(), String> {
        let name = self.name(host);
        run(&format!("ip netns exec {name} iptables -w {arguments}"))
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

/// Runs a command; returns what it complained of.
fn run(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a command");
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line}: {}", complaint.trim()))
}

/// Whether no route of this machine leads there but the general ones.
fn is_unused(subnet: &str) -> bool {
    let query = format!("-4 route show root {subnet}.0/24");
    let routes = Command::new("ip").args(query.split(' ')).output();
    // Where there is no `ip`, making the first namespace will say so.
    routes.map_or(true, |output| output.stdout.is_empty())
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

/// Says past the test harness, which hides what a test that passes prints, that something was not shown.
pub(crate) fn not_run(what: &str, why: &str) {
    let line = "#".repeat(60);
    let text = format!("\n{line}\n# NOT RUN: {what}.\n# {why}\n{line}\n");
    drop(std::io::stderr().write_all(text.as_bytes()));
}
