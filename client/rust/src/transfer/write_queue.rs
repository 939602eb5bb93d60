//! What is being written while more arrives.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::joined;
use crate::error::Result;

/// Tasks that write, a few at a time. Finish it also after an error, so that nothing is written any more then.
pub(crate) struct WriteQueue {
    at_once: usize,
    tasks: VecDeque<JoinHandle<Result<()>>>,
}

impl WriteQueue {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, tasks: VecDeque::new() }
    }

    /// Begin to write; waits for the oldest task when there are too many, and returns its error.
    pub(crate) async fn push(&mut self, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        if self.tasks.len() >= self.at_once
            && let Some(oldest) = self.tasks.pop_front()
        {
            joined(oldest.await)?;
        }
        self.tasks.push_back(tokio::task::spawn_blocking(work));
        Ok(())
    }

    /// Wait until all is written, and return the first error, if there was one.
    pub(crate) async fn finish(self) -> Result<()> {
        let mut outcome = Ok(());
        for task in self.tasks {
            outcome = outcome.and(joined(task.await));
        }
        outcome
    }
}
