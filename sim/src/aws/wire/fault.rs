//! What may happen to any request of any service, whatever the service does: throttled, failed before or after it was
//! applied, applied and its answer lost, slow, or refused because the service is out.
//!
//! [`Faulty`] wraps a service, so that no service knows of any of this. Each kind of fault draws from a stream of its
//! own: switching one off leaves the others' draws as they were.

use super::{Answer, Call, Error, Protocol, Service, Stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Faults of requests. All off by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestFaults {
    /// Only these operations suffer; empty: all of them.
    pub operations: BTreeSet<String>,
    /// The chance, 0 to 1, that a request is refused by throttling. Nothing is applied.
    pub throttle: f64,
    /// The chance, 0 to 1, of a 500 with nothing applied.
    pub error_before: f64,
    /// The chance, 0 to 1, of a 500 although the request was applied.
    pub error_after: f64,
    /// The chance, 0 to 1, that the connection closes without an answer after the request was applied.
    pub answer_lost: f64,
    /// The chance, 0 to 1, that a request waits before it is looked at.
    pub slow: f64,
    /// The least milliseconds that a slow request waits, 0 to 600,000.
    pub slow_ms_min: u64,
    /// The most milliseconds that a slow request waits, `slow_ms_min` to 600,000; drawn evenly between the two.
    pub slow_ms_max: u64,
    /// Every request is answered 503, with nothing applied.
    pub unavailable: bool,
}

impl RequestFaults {
    /// Refuses a number outside its range, by name.
    ///
    /// # Errors
    /// Which number, and its range.
    pub fn check(&self) -> Result<(), String> {
        for (name, chance) in [
            ("throttle", self.throttle),
            ("error_before", self.error_before),
            ("error_after", self.error_after),
            ("answer_lost", self.answer_lost),
            ("slow", self.slow),
        ] {
            if !(0.0..=1.0).contains(&chance) {
                return Err(format!("{name} is {chance}, not within 0 to 1"));
            }
        }
        if self.slow_ms_min > self.slow_ms_max || self.slow_ms_max > 600_000 {
            return Err("slow_ms_min and slow_ms_max must rise and stay within 0 to 600,000".to_owned());
        }
        Ok(())
    }
}

/// How a service words the refusals that a fault makes it give.
#[derive(Debug, Clone)]
pub struct Refusals {
    /// Throttled.
    pub throttled: Error,
    /// Failed inside.
    pub failed: Error,
    /// Out.
    pub unavailable: Error,
}

/// How often each fault struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Struck {
    /// Requests throttled.
    pub throttled: u64,
    /// Requests failed before they were applied.
    pub failed_before: u64,
    /// Requests failed after they were applied.
    pub failed_after: u64,
    /// Requests applied whose answer was lost.
    pub answers_lost: u64,
    /// Requests held up.
    pub slowed: u64,
    /// Requests refused because the service was out.
    pub unavailable: u64,
}

/// Sets and counts the faults of one served service; clones are the same handle.
#[derive(Debug, Clone)]
pub struct FaultHandle(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    faults: RequestFaults,
    struck: Struck,
    throttle: Stream,
    before: Stream,
    after: Stream,
    lost: Stream,
    slow: Stream,
}

enum After {
    Answer,
    Fail,
    Hangup,
}

enum Fate {
    Throttle,
    Fail,
    Unavailable,
    Perform(After),
}

impl FaultHandle {
    /// No faults. The seed and the name of the service decide the draws.
    pub fn new(seed: u64, service: &str) -> Self {
        let stream = |kind: &str| Stream::named(seed, &format!("{service}/fault/{kind}"));
        Self(Arc::new(Mutex::new(State {
            faults: RequestFaults::default(),
            struck: Struck::default(),
            throttle: stream("throttle"),
            before: stream("before"),
            after: stream("after"),
            lost: stream("lost"),
            slow: stream("slow"),
        })))
    }

    /// Puts these faults in the place of those that were.
    ///
    /// # Errors
    /// A number outside its range; then nothing changes.
    pub fn set(&self, faults: RequestFaults) -> Result<(), String> {
        faults.check()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).faults = faults;
        Ok(())
    }

    /// How often each fault struck so far.
    pub fn struck(&self) -> Struck {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).struck
    }

    fn draw(&self, operation: &str) -> (Duration, Fate) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            faults,
            struck,
            throttle,
            before,
            after,
            lost,
            slow,
        } = &mut *state;
        if !faults.operations.is_empty() && !faults.operations.contains(operation) {
            return (Duration::ZERO, Fate::Perform(After::Answer));
        }
        let ms = Duration::from_millis;
        let wait = slow.between(ms(faults.slow_ms_min), ms(faults.slow_ms_max));
        let slowed = slow.chance(faults.slow);
        struck.slowed += u64::from(slowed);
        let (throttled, fails) = (
            throttle.chance(faults.throttle),
            before.chance(faults.error_before),
        );
        let (fails_after, loses) = (after.chance(faults.error_after), lost.chance(faults.answer_lost));
        let (count, fate) = if faults.unavailable {
            (&mut struck.unavailable, Fate::Unavailable)
        } else if throttled {
            (&mut struck.throttled, Fate::Throttle)
        } else if fails {
            (&mut struck.failed_before, Fate::Fail)
        } else if loses {
            (&mut struck.answers_lost, Fate::Perform(After::Hangup))
        } else if fails_after {
            (&mut struck.failed_after, Fate::Perform(After::Fail))
        } else {
            return (
                if slowed { wait } else { Duration::ZERO },
                Fate::Perform(After::Answer),
            );
        };
        *count += 1;
        (if slowed { wait } else { Duration::ZERO }, fate)
    }
}

/// A service whose requests may suffer.
#[derive(Debug)]
pub struct Faulty<S> {
    service: S,
    refusals: Refusals,
    faults: FaultHandle,
}

impl<S: Service> Faulty<S> {
    /// The service, suffering what the handle says.
    pub fn new(service: S, refusals: Refusals, faults: FaultHandle) -> Self {
        Self {
            service,
            refusals,
            faults,
        }
    }
}

impl<S: Service> Service for Faulty<S> {
    async fn call(&self, call: Call) -> Answer {
        let (wait, fate) = self.faults.draw(&call.operation);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let refuse = |error: &Error| Answer::Error(error.clone());
        match fate {
            Fate::Unavailable => refuse(&self.refusals.unavailable),
            Fate::Throttle => refuse(&self.refusals.throttled),
            Fate::Fail => refuse(&self.refusals.failed),
            Fate::Perform(after) => {
                let answer = self.service.call(call).await;
                match after {
                    After::Answer => answer,
                    After::Fail => refuse(&self.refusals.failed),
                    After::Hangup => Answer::Hangup,
                }
            }
        }
    }

    fn protocol(&self) -> &Protocol {
        self.service.protocol()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept_and_a_bad_setting_changes_nothing() {
        let handle = FaultHandle::new(1, "x");
        handle
            .set(RequestFaults {
                unavailable: true,
                ..RequestFaults::default()
            })
            .expect("in range");
        let bad = RequestFaults {
            throttle: 1.5,
            ..RequestFaults::default()
        };
        assert!(handle.set(bad).expect_err("out of range").contains("throttle"));
        let bad = RequestFaults {
            slow_ms_min: 5,
            ..RequestFaults::default()
        };
        assert!(handle.set(bad).is_err());
        assert!(matches!(handle.draw("Op").1, Fate::Unavailable));
        assert_eq!(handle.struck().unavailable, 1);
    }

    #[test]
    fn switching_one_fault_off_leaves_the_draws_of_another() {
        let lost = |throttle| {
            let handle = FaultHandle::new(3, "x");
            let faults = RequestFaults {
                throttle,
                answer_lost: 0.3,
                ..RequestFaults::default()
            };
            handle.set(faults).expect("in range");
            let fates = (0..200).map(|_| handle.draw("Op").1);
            let kept = fates.map(|fate| {
                (
                    matches!(fate, Fate::Perform(After::Hangup)),
                    matches!(fate, Fate::Throttle),
                )
            });
            kept.collect::<Vec<_>>()
        };
        let (with, without) = (lost(0.4), lost(0.0));
        assert!(with.iter().any(|(_, throttled)| *throttled));
        for (with, without) in with.iter().zip(&without) {
            assert!(
                with.1 || with.0 == without.0,
                "the same loss wherever it was not throttled first"
            );
        }
    }

    #[test]
    fn only_the_named_operations_suffer() {
        let handle = FaultHandle::new(1, "x");
        let operations = BTreeSet::from(["Bad".to_owned()]);
        handle
            .set(RequestFaults {
                operations,
                unavailable: true,
                ..RequestFaults::default()
            })
            .expect("in range");
        assert!(matches!(handle.draw("Good").1, Fate::Perform(After::Answer)));
        assert!(matches!(handle.draw("Bad").1, Fate::Unavailable));
    }
}
