//! How long and how often calls are repeated that found no server, and when they are given up.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::random::fraction;

/// How long to keep trying once the server has answered, also by saying that it is busy.
const WINDOW: Duration = Duration::from_secs(30);
/// The same before its first answer: then the address is more likely wrong than the server gone.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
/// Upper bound of the first pause; it doubles with each.
const INITIAL_DELAY: Duration = Duration::from_millis(100);
/// Where that bound stops growing.
const MAX_DELAY: Duration = Duration::from_secs(2);
const MAX_DOUBLINGS: u32 = 10;

/// Pauses between attempts that bring nothing, until a window is over that begins with the first of them.
pub(crate) struct Patience {
    connection: Connection,
    failures: u32,
    began: Option<Instant>,
    endless: bool,
}

impl Patience {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, failures: 0, began: None, endless: false }
    }

    /// Begin the window anew: there was progress.
    pub(crate) fn restart(&mut self) {
        (self.failures, self.began) = (0, None);
    }

    /// Look for a server that went away for as long as it takes.
    pub(crate) fn wait_for_ever(&mut self) {
        self.endless = true;
    }

    /// Sleep before the next attempt after a call failed, or return its error when there is to be none.
    pub(crate) async fn pause(&mut self, status: &Status) -> Result<(), Error> {
        self.pause_after(Error::from_status(status, self.connection.target())).await
    }

    /// The same for an error of this crate.
    pub(crate) async fn pause_after(&mut self, failure: Error) -> Result<(), Error> {
        if !failure.is_interruption() {
            self.connection.note_answer();
            return Err(failure);
        }
        let told = failure.retry_after();
        // A reason is the server's own: it was heard, and its store or database is what is away.
        if told.is_some() || !failure.reason().is_empty() {
            self.connection.note_answer();
        }
        if failure.kind() == ErrorKind::Tls && !self.connection.answered() {
            return Err(failure); // waiting would only put off the message
        }
        let now = Instant::now();
        let window = if self.connection.answered() { WINDOW } else { FIRST_WINDOW };
        let give_up = *self.began.get_or_insert(now) + window;
        let delay = pause_length(self.failures, told, fraction());
        if !self.endless && now + delay > give_up {
            return Err(failure);
        }
        self.failures += 1;
        sleep(delay).await;
        Ok(())
    }
}

/// Full jitter, since clients must not come back together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015);
/// a server's own word is kept, with half as much again spread over its clients.
fn pause_length(failures: u32, told: Option<Duration>, fraction: f64) -> Duration {
    let bound = (INITIAL_DELAY * 2_u32.pow(failures.min(MAX_DOUBLINGS))).min(MAX_DELAY);
    let pause = bound.mul_f64(fraction);
    told.map_or(pause, |told| pause.max(told.mul_f64(1.0 + fraction / 2.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds_and_are_spread_from_nothing() {
        assert_eq!(pause_length(0, None, 1.0), Duration::from_millis(100));
        assert_eq!(pause_length(3, None, 1.0), Duration::from_millis(800));
        assert_eq!(pause_length(1_000, None, 1.0), MAX_DELAY);
        assert_eq!(pause_length(5, None, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_server_is_left_alone_for_as_long_as_it_says() {
        let told = Some(Duration::from_secs(4));
        assert_eq!(pause_length(0, told, 0.0), Duration::from_secs(4));
        assert_eq!(pause_length(0, told, 1.0), Duration::from_secs(6));
    }
}
