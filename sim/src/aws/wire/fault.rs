//! Requests that suffer: a service wrapped, so that it knows of no fault.

use super::{Answer, Call, Error, Protocol, Service};
use crate::fault::{Failure, FaultHandle, Outage, Touched};

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

impl Refusals {
    fn of(&self, failure: Failure) -> Answer {
        Answer::Error(match failure {
            Failure::Internal => self.failed.clone(),
            Failure::Unavailable => self.unavailable.clone(),
        })
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
        let verdict = self.faults.judge(&call.operation, || Touched {
            resources: self.service.resources(&call),
            items: Vec::new(),
        });
        match verdict.outage {
            None => {}
            Some(Outage::Refuse) => return self.refusals.of(Failure::Unavailable),
            Some(Outage::Hangup) => return Answer::Hangup,
            // Ends when the caller gives the connection up.
            Some(Outage::Silence) => std::future::pending().await,
        }
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        if verdict.throttled.contains(&true) {
            return Answer::Error(self.refusals.throttled.clone());
        }
        if let Some(failure) = verdict.fails_before {
            return self.refusals.of(failure);
        }
        let answer = self.service.call(call).await;
        match verdict.fails_after {
            _ if verdict.answer_lost => Answer::Hangup,
            Some(failure) => self.refusals.of(failure),
            None => answer,
        }
    }

    fn protocol(&self) -> &Protocol {
        self.service.protocol()
    }
}
