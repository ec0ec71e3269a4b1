//! Waiting for a condition that others bring about.

use tokio::sync::Notify;

/// Rung whenever something changed that someone may wait for.
#[derive(Debug, Default)]
pub(super) struct Bell(Notify);

impl Bell {
    pub(super) fn ring(&self) {
        self.0.notify_waiters();
    }

    /// Looks now and after every ring, until there is an answer.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let ring = self.0.notified();
            tokio::pin!(ring);
            // From here on no ring is missed.
            ring.as_mut().enable();
            if let Some(answer) = look() {
                return answer;
            }
            ring.await;
        }
    }
}
