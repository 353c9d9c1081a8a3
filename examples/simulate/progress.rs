//! A line on the terminal that says how far a long simulation is.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Who waits less than this is not told.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two looks of the line.
const PAUSE: Duration = Duration::from_millis(200);

const BAR: usize = 30;

/// The line, where there is a terminal to show it on.
#[derive(Debug)]
pub(crate) struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Shown on stderr if that is a terminal.
    pub(crate) fn on_terminal() -> Self {
        let next = io::stderr()
            .is_terminal()
            .then(|| Instant::now() + PATIENCE);
        Self {
            next,
            is_shown: false,
        }
    }

    /// Shown nowhere.
    #[cfg(test)]
    pub(crate) fn hidden() -> Self {
        Self {
            next: None,
            is_shown: false,
        }
    }

    /// Says that `part` (0 to 1) of `what` is done.
    pub(crate) fn show(&mut self, what: &str, part: f64) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + PAUSE);
        self.is_shown = true;
        let part = part.clamp(0.0, 1.0);
        let bar = "#".repeat((part * BAR as f64) as usize);
        let percent = part * 100.0;
        print(&format!("\r{what:<20} [{bar:<BAR$}] {percent:3.0} %"));
    }

    /// Takes the line away, for something else to be printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            print("\r\x1b[K");
        }
    }
}

/// A line that cannot be shown is no reason to stop.
fn print(text: &str) {
    let mut terminal = io::stderr();
    _ = terminal
        .write_all(text.as_bytes())
        .and_then(|()| terminal.flush());
}
