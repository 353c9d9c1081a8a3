//! How a node waits and what time it is, by tokio and the system.

use maia::driver::Timer;
use maia::time::{Instant, Wall};
use std::time::{SystemTime, UNIX_EPOCH};

/// The clocks of one node: monotonic time since this was made, and the system's time of day.
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer {
    start: tokio::time::Instant,
}

impl TokioTimer {
    /// Starts the clock. Make it before the node.
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }
}

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        Instant::after_start(self.start.elapsed())
    }

    fn wall(&self) -> Wall {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Wall::from_unix_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(self.start + deadline.since_start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_wakes_when_the_deadline_has_come() {
        let timer = TokioTimer::start();
        let deadline = timer.now() + Duration::from_millis(20);
        timer.sleep_until(deadline).await;
        assert!(timer.now() >= deadline);
        assert!(timer.wall().unix_millis() > 1_600_000_000_000);
    }
}
