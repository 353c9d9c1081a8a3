//! What a service manager is told, where one started this process and wants to know (`sd_notify(3)`).
//!
//! It names a datagram socket in a variable; a message is lines of `NAME=value`. Nobody waits for an answer, and a message
//! that does not get through changes nothing here.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    alive_every: Option<Duration>,
}

impl Manager {
    /// The one that started this process, if it wants to be told.
    pub fn of_process() -> Option<Self> {
        Self::at(
            &std::env::var_os("NOTIFY_SOCKET")?,
            std::env::var_os("WATCHDOG_USEC"),
            std::env::var_os("WATCHDOG_PID"),
        )
    }

    /// The one that listens at `place`, a path or, after `@`, a name without a file. `usec` are the microseconds within
    /// which it wants signs of life, from the process `pid` if that is given.
    fn at(place: &OsStr, usec: Option<OsString>, pid: Option<OsString>) -> Option<Self> {
        let address = match place.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(place),
        };
        let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) else {
            return None;
        };
        // A manager that is busy must not hold up a node.
        socket.set_nonblocking(true).ok()?;
        let is_mine = pid.is_none_or(|pid| *pid == *std::process::id().to_string());
        let usec: Option<u64> = usec.and_then(|usec| usec.to_str()?.parse().ok());
        let within = usec.filter(|usec| *usec > 0 && is_mine);
        Some(Self {
            socket,
            address,
            alive_every: within.map(|usec| Duration::from_micros(usec) / 2),
        })
    }

    /// The node serves. `status` is for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The node is about to stop.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is in flight");
    }

    /// Gives signs of life, as often as the manager wants them, for as long as this is polled: they say that whatever
    /// polls it still turns.
    pub async fn stay_alive(&self) {
        let Some(pause) = self.alive_every else {
            return std::future::pending().await;
        };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(pause).await;
        }
    }

    fn tell(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            log::debug!("the service manager cannot be told: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let read = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    #[test]
    fn a_manager_is_told_by_path_and_by_name() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        let name = format!("astromesh-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        for (socket, place) in [
            (by_path, path.into_os_string()),
            (by_name, format!("@{name}").into()),
        ] {
            let manager = Manager::at(&place, None, None).expect("a manager");
            manager.ready("on 127.0.0.1:8000");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=on 127.0.0.1:8000");
            manager.stopping();
            assert!(heard(&socket).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn a_manager_that_is_gone_is_none_of_our_trouble() {
        let manager = Manager::at(OsStr::new("/nowhere/notify"), None, None);
        manager.expect("a manager").ready("");
        assert!(Manager::at(OsStr::new("@"), None, None).is_some());
        let too_long = "x".repeat(200);
        assert!(Manager::at(OsStr::new(&too_long), None, None).is_none());
    }

    #[test]
    fn signs_of_life_are_given_where_they_are_wanted() {
        let every = |usec: &str, pid: Option<u32>| {
            let pid = pid.map(|pid| pid.to_string().into());
            let manager = Manager::at(OsStr::new("@x"), Some(usec.into()), pid);
            manager.expect("a manager").alive_every
        };
        let me = std::process::id();
        assert_eq!(every("3000000", None), Some(Duration::from_millis(1_500)));
        assert_eq!(
            every("3000000", Some(me)),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(every("3000000", Some(me + 1)), None);
        assert_eq!(every("0", None), None);
        assert_eq!(every("soon", None), None);
    }
}
