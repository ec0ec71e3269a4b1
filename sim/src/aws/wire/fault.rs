//! What may happen to any request of any service, whatever the service does, as data.
//!
//! | fault | what the client sees | was it applied |
//! |---|---|---|
//! | throttle | the service's throttling error | no |
//! | fail before | the service's internal error | no |
//! | fail after | the service's internal error | yes |
//! | lose answer | the connection closes with no answer | yes |
//! | slow | a late answer | yes, late |
//! | unavailable | a refusal, a closed connection, or no answer ever | no |
//!
//! [`Faulty`] wraps a service, so that no service knows of any of this. Each kind of fault draws from a stream of its
//! own, and a request that a fault cannot strike draws nothing: taking one fault away leaves the others' draws as they
//! were.

use super::{Answer, Call, Error, Protocol, Service, Stream, human};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest that a slow request can be held up.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// Which requests a fault strikes. Every member that is given must match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Only these operations (`SendMessage`). Empty: all.
    pub operations: Vec<String>,
    /// The probability, 0 to 1, that a matching request is struck. Default 1.
    pub probability: Option<f64>,
    /// How many requests are struck before the fault is spent. Default: no limit.
    pub times: Option<u64>,
}

/// How a service that is out shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// The service's own error at once.
    #[default]
    Refuse,
    /// The connection closes at once.
    Hangup,
    /// No answer, ever: the client's own time-out decides.
    Silence,
}

/// A fault of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RequestFault {
    /// Refused by throttling.
    Throttle {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// An internal error before anything is applied.
    FailBefore {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// An internal error although the request was applied.
    FailAfter {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// The request is applied and the connection closes without an answer.
    LoseAnswer {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// The request waits before it is looked at, evenly between the two. Useful range: 10 ms to 30 s; at most 10 min.
    Slow {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// The least wait.
        #[serde(with = "human")]
        min: Duration,
        /// The most.
        #[serde(with = "human")]
        max: Duration,
    },
    /// No request is taken at all.
    Unavailable {
        /// How that shows.
        #[serde(default)]
        outage: Outage,
    },
}

impl RequestFault {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Throttle { target }
            | Self::FailBefore { target }
            | Self::FailAfter { target }
            | Self::LoseAnswer { target }
            | Self::Slow { target, .. } => Some(target),
            Self::Unavailable { .. } => None,
        }
    }

    /// Refuses a number outside its range, by name.
    ///
    /// # Errors
    /// Which number, and its range.
    pub fn check(&self) -> Result<(), String> {
        if let Some(probability) = self.target().and_then(|target| target.probability)
            && !(0.0..=1.0).contains(&probability)
        {
            return Err(format!("probability is {probability}, not within 0 to 1"));
        }
        match self {
            Self::Slow { min, max, .. } if min > max || *max > DELAY_MAX => {
                Err("min and max must rise and stay within 0 s to 10 min".to_owned())
            }
            _ => Ok(()),
        }
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

/// Names a fault that was begun, so that it can be ended and its bites counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(usize);

/// Begins, ends and counts the faults of one served service; clones are the same handle.
#[derive(Debug, Clone)]
pub struct FaultHandle(Arc<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    /// Every fault ever begun, by its id.
    begun: Vec<Begun>,
    throttle: Stream,
    before: Stream,
    after: Stream,
    lost: Stream,
    slow: Stream,
}

#[derive(Debug)]
struct Begun {
    fault: RequestFault,
    in_force: bool,
    bites: u64,
}

/// What is to happen to one request.
#[derive(Debug, Default)]
struct Verdict {
    outage: Option<Outage>,
    throttled: bool,
    fails_before: bool,
    fails_after: bool,
    answer_lost: bool,
    delay: Duration,
}

impl FaultHandle {
    /// No faults. The seed and the name of the service decide the draws.
    pub fn new(seed: u64, service: &str) -> Self {
        let stream = |kind: &str| Stream::named(seed, &format!("{service}/fault/{kind}"));
        Self(Arc::new(Mutex::new(Board {
            begun: Vec::new(),
            throttle: stream("throttle"),
            before: stream("before"),
            after: stream("after"),
            lost: stream("lost"),
            slow: stream("slow"),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force beside those that are.
    ///
    /// # Errors
    /// A number outside its range.
    pub fn begin(&self, fault: RequestFault) -> Result<FaultId, String> {
        fault.check()?;
        let mut board = self.lock();
        board.begun.push(Begun {
            fault,
            in_force: true,
            bites: 0,
        });
        Ok(FaultId(board.begun.len() - 1))
    }

    /// Ends a fault.
    pub fn end(&self, id: FaultId) {
        if let Some(begun) = self.lock().begun.get_mut(id.0) {
            begun.in_force = false;
        }
    }

    /// Ends every fault.
    pub fn end_all(&self) {
        for begun in &mut self.lock().begun {
            begun.in_force = false;
        }
    }

    /// How many requests a fault has struck, in force or not.
    pub fn bites(&self, id: FaultId) -> u64 {
        self.lock().begun.get(id.0).map_or(0, |begun| begun.bites)
    }

    fn judge(&self, operation: &str) -> Verdict {
        let mut verdict = Verdict::default();
        let Board {
            begun,
            throttle,
            before,
            after,
            lost,
            slow,
        } = &mut *self.lock();
        for Begun { fault, bites, .. } in begun.iter_mut().filter(|begun| begun.in_force) {
            let mut strikes = |target: &Target, draws: &mut Stream| {
                let named =
                    target.operations.is_empty() || target.operations.iter().any(|name| name == operation);
                let can = named && target.times.is_none_or(|times| *bites < times);
                let struck = can
                    && target
                        .probability
                        .is_none_or(|probability| draws.chance(probability));
                *bites += u64::from(struck);
                struck
            };
            match fault {
                RequestFault::Throttle { target } => verdict.throttled |= strikes(target, throttle),
                RequestFault::FailBefore { target } => verdict.fails_before |= strikes(target, before),
                RequestFault::FailAfter { target } => verdict.fails_after |= strikes(target, after),
                RequestFault::LoseAnswer { target } => verdict.answer_lost |= strikes(target, lost),
                RequestFault::Slow { target, min, max } => {
                    if strikes(target, slow) {
                        verdict.delay += slow.between(*min, *max);
                    }
                }
                RequestFault::Unavailable { outage } => {
                    *bites += 1;
                    verdict.outage = Some(*outage);
                }
            }
        }
        verdict
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
        let verdict = self.faults.judge(&call.operation);
        let refuse = |error: &Error| Answer::Error(error.clone());
        match verdict.outage {
            None => {}
            Some(Outage::Refuse) => return refuse(&self.refusals.unavailable),
            Some(Outage::Hangup) => return Answer::Hangup,
            Some(Outage::Silence) => std::future::pending().await,
        }
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        if verdict.throttled {
            return refuse(&self.refusals.throttled);
        }
        if verdict.fails_before {
            return refuse(&self.refusals.failed);
        }
        let answer = self.service.call(call).await;
        match verdict {
            Verdict {
                answer_lost: true, ..
            } => Answer::Hangup,
            Verdict {
                fails_after: true, ..
            } => refuse(&self.refusals.failed),
            _ => answer,
        }
    }

    fn protocol(&self) -> &Protocol {
        self.service.protocol()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(probability: f64) -> Target {
        Target {
            probability: Some(probability),
            ..Target::default()
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let handle = FaultHandle::new(1, "x");
        assert!(
            handle
                .begin(RequestFault::Throttle { target: chance(1.5) })
                .is_err()
        );
        let (min, max) = (Duration::from_secs(2), Duration::from_secs(1));
        assert!(
            handle
                .begin(RequestFault::Slow {
                    target: Target::default(),
                    min,
                    max
                })
                .is_err()
        );
        assert!(!handle.judge("Op").throttled);
    }

    #[test]
    fn taking_one_fault_away_leaves_the_draws_of_another() {
        let losses = |throttle: bool| {
            let handle = FaultHandle::new(3, "x");
            if throttle {
                handle
                    .begin(RequestFault::Throttle { target: chance(0.4) })
                    .expect("in range");
            }
            handle
                .begin(RequestFault::LoseAnswer { target: chance(0.3) })
                .expect("in range");
            (0..200)
                .map(|_| handle.judge("Op").answer_lost)
                .collect::<Vec<_>>()
        };
        assert_eq!(losses(true), losses(false));
        assert!(losses(true).contains(&true) && losses(true).contains(&false));
    }

    #[test]
    fn a_fault_strikes_its_operations_its_times_until_it_ends() {
        let handle = FaultHandle::new(1, "x");
        let target = Target {
            operations: vec!["Bad".to_owned()],
            times: Some(2),
            ..Target::default()
        };
        let id = handle
            .begin(RequestFault::FailAfter { target })
            .expect("in range");
        assert!(!handle.judge("Good").fails_after);
        let struck: Vec<_> = (0..3).map(|_| handle.judge("Bad").fails_after).collect();
        assert_eq!((struck, handle.bites(id)), (vec![true, true, false], 2));
        let out = handle
            .begin(RequestFault::Unavailable {
                outage: Outage::Hangup,
            })
            .expect("in range");
        assert_eq!(handle.judge("Good").outage, Some(Outage::Hangup));
        handle.end(out);
        assert_eq!(handle.judge("Good").outage, None);
        assert_eq!(handle.bites(out), 1);
    }

    #[test]
    fn a_fault_is_data() {
        let text = r#"{"fault":"slow","target":{"probability":0.5},"min":"10ms","max":"2s"}"#;
        let fault: RequestFault = serde_json::from_str(text).expect("a fault");
        let (min, max) = (Duration::from_millis(10), Duration::from_secs(2));
        assert_eq!(
            fault,
            RequestFault::Slow {
                target: chance(0.5),
                min,
                max
            }
        );
        assert!(serde_json::from_str::<RequestFault>(r#"{"fault":"slow","min":5,"max":"2s"}"#).is_err());
    }
}
