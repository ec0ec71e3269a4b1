//! How a process ends: every role finishes what it has in hand and takes nothing new.

use std::{future::Future, time::Duration};

use tokio::sync::watch;

/// Tells a role when to end. Clones are told together.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// Begins when `stop` is done.
    pub fn when(stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            stop.await;
            sender.send_replace(true);
            // Whoever asks later is told as well.
            sender.closed().await;
        });
        Self(receiver)
    }

    /// Whether it has begun.
    pub fn begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it begins.
    pub async fn begins(&mut self) {
        // Nobody will tell any more: that is the end, too.
        let _ = self.0.wait_for(|begun| *begun).await;
    }

    /// Sleeps, but not into the drain.
    pub async fn sleep(&mut self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.begins()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_with_the_drain_and_every_clone_is_told() {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut drain = Drain::when(async move {
            let _: Result<(), _> = stopped.await;
        });
        let mut other = drain.clone();
        drain.sleep(Duration::from_millis(1)).await;
        assert!(!drain.begun());
        stop.send(()).unwrap();
        drain.sleep(Duration::from_secs(3_600)).await;
        other.begins().await;
        assert!(drain.begun() && other.begun());
    }
}
