//! Interrupts of one session from outside: a cancel request, an administrator's termination, a crash.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::aws::aurora::error::{Error, Result, code};

const CALM: u8 = 0;
const CANCEL: u8 = 1;
const TERMINATE: u8 = 2;

/// What a session that an administrator ended is told.
pub(crate) fn terminated() -> Box<Error> {
    Error::fatal(
        code::ADMIN_SHUTDOWN,
        "terminating connection due to administrator command",
    )
}

/// Set by others, looked at by the session before a statement and while it waits.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    wish: AtomicU8,
    wake: Notify,
    gone: AtomicBool,
    leave: Notify,
}

impl Signal {
    /// Asks for the running statement to be cancelled.
    pub(crate) fn cancel(&self) {
        _ = self
            .wish
            .compare_exchange(CALM, CANCEL, Ordering::SeqCst, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Asks for the session to end.
    pub(crate) fn terminate(&self) {
        self.wish.store(TERMINATE, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Ends the connection with no answer.
    pub(crate) fn hang_up(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.leave.notify_one();
    }

    /// Returns when the connection is to end.
    pub(crate) async fn hung_up(&self) {
        while !self.gone.load(Ordering::SeqCst) {
            self.leave.notified().await;
        }
    }

    /// A cancel that came while nothing ran is forgotten.
    pub(crate) fn calm(&self) {
        _ = self
            .wish
            .compare_exchange(CANCEL, CALM, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Fails if someone asked.
    pub(crate) fn check(&self) -> Result<()> {
        match self.wish.load(Ordering::SeqCst) {
            CANCEL => {
                self.calm();
                Err(Error::new(
                    code::QUERY_CANCELED,
                    "canceling statement due to user request",
                ))
            }
            TERMINATE => Err(terminated()),
            _ => Ok(()),
        }
    }

    /// Returns when someone asks.
    pub(crate) async fn asked(&self) {
        loop {
            if self.wish.load(Ordering::SeqCst) != CALM {
                return;
            }
            self.wake.notified().await;
        }
    }
}
