//! The faults that DynamoDB itself can suffer, as data.
//!
//! A fault is plain serde data: a scenario gives it, a seed picks its values, a plan replays it. The server consults the
//! faults in force at each request and at each replication step, and counts how often each one bit: a fault that never
//! bit is no test.
//!
//! | fault | what the client sees | was it applied |
//! |---|---|---|
//! | throttle | `ProvisionedThroughputExceededException`, unprocessed items, or a cancelled transaction | no |
//! | fail before | 500 or 503 | no |
//! | fail after | 500 or 503 | yes |
//! | lose answer | the connection closes with no answer | yes |
//! | slow | a late answer | yes, late |
//! | unavailable | 503, or no answer ever | no |
//! | pause or delay replication | nothing, here | elsewhere later |
//!
//! Not modelled: partial failure within one item operation, and errors of the control plane.

use super::super::wire::Stream;
use super::config::Span;
use super::key::ItemKey;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which requests a fault strikes. Every member that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Only requests that touch this table.
    pub table: Option<String>,
    /// Only requests that touch an item with this text as one of its key values.
    pub key: Option<String>,
    /// Only these operations (`PutItem`). Empty: all operations on items.
    pub operations: Vec<String>,
    /// The probability, 0 to 1, that a matching request is struck. Default 1.
    pub probability: Option<f64>,
    /// How many requests are struck before the fault is spent. Default: no limit.
    pub times: Option<u64>,
}

/// The status of a failed request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// 500 `InternalServerError`.
    #[default]
    Internal,
    /// 503 `ServiceUnavailable`.
    Unavailable,
}

/// How an unavailable Region shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// 503 at once.
    #[default]
    Refuse,
    /// The connection closes at once.
    Hangup,
    /// No answer, ever: the client's own timeout decides.
    Silence,
}

/// One fault of one Region's DynamoDB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Capacity exceeded for a table or a hot key.
    Throttle {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// An error before anything is applied.
    FailBefore {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// Which error.
        #[serde(default)]
        failure: Failure,
    },
    /// An error although the request was applied.
    FailAfter {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// Which error.
        #[serde(default)]
        failure: Failure,
    },
    /// The request is applied and the connection closes without an answer.
    LoseAnswer {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// The request takes this much longer to take effect. Useful range: 10 ms to 30 s.
    Slow {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// The additional time.
        delay: Span,
    },
    /// The Region takes no requests at all, on any table. Replication goes on.
    Unavailable {
        /// How that shows.
        #[serde(default)]
        outage: Outage,
    },
    /// Changes stay here, and changes of others are not let in. What FIS calls pausing a global table's replication.
    PauseReplication {
        /// Only with this Region. Default: with all.
        #[serde(default)]
        region: Option<String>,
        /// Only this table. Default: all.
        #[serde(default)]
        table: Option<String>,
    },
    /// Each change becomes due this much later. Useful range: 100 ms to 1 h.
    DelayReplication {
        /// Only to this Region. Default: to all.
        #[serde(default)]
        region: Option<String>,
        /// The additional lag.
        delay: Span,
    },
}

/// Names a fault in force, so that it can be ended and its bites counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(u64);

#[derive(Debug)]
struct InForce {
    id: FaultId,
    fault: Fault,
    bites: u64,
}

/// What is to happen to one request.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) outage: Option<Outage>,
    /// One flag per item that the request touches.
    pub(super) throttled: Vec<bool>,
    pub(super) fail_before: Option<Failure>,
    pub(super) delay: Duration,
    pub(super) fail_after: Option<Failure>,
    pub(super) lose_answer: bool,
}

/// The faults in force.
#[derive(Debug)]
pub(super) struct Board {
    faults: Vec<InForce>,
    next: u64,
    draws: Stream,
    /// Bites of faults that have ended.
    ended: Vec<(FaultId, u64)>,
}

impl Board {
    pub(super) fn new(draws: Stream) -> Self {
        Self {
            faults: Vec::new(),
            next: 0,
            draws,
            ended: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.next);
        self.next += 1;
        self.faults.push(InForce { id, fault, bites: 0 });
        id
    }

    pub(super) fn end(&mut self, id: FaultId) {
        if let Some(at) = self.faults.iter().position(|fault| fault.id == id) {
            let fault = self.faults.remove(at);
            self.ended.push((id, fault.bites));
        }
    }

    pub(super) fn clear(&mut self) {
        self.ended
            .extend(self.faults.drain(..).map(|fault| (fault.id, fault.bites)));
    }

    pub(super) fn bites(&self, id: FaultId) -> u64 {
        let current = self
            .faults
            .iter()
            .find(|fault| fault.id == id)
            .map(|fault| fault.bites);
        current
            .or(self
                .ended
                .iter()
                .find(|(ended, _)| *ended == id)
                .map(|(_, bites)| *bites))
            .unwrap_or(0)
    }

    /// Judges one request. `tables` are those it names, `keys` the items it touches, in request order.
    pub(super) fn judge(&mut self, operation: &str, tables: &[String], keys: &[ItemKey]) -> Verdict {
        let mut verdict = Verdict {
            throttled: vec![false; keys.len()],
            ..Verdict::default()
        };
        for InForce { fault, bites, .. } in &mut self.faults {
            match fault {
                Fault::Unavailable { outage } => {
                    verdict.outage = Some(*outage);
                    *bites += 1;
                }
                Fault::Throttle { target } => {
                    // By item, because a batch can be throttled in part; a request that touches no known item (a scan)
                    // is throttled as a whole through `fail_before`'s place in the order, by its table.
                    for (key, throttled) in keys.iter().zip(&mut verdict.throttled) {
                        let tables = std::slice::from_ref(&key.table);
                        let keys = std::slice::from_ref(key);
                        *throttled |= target.strikes(operation, tables, keys, bites, &mut self.draws);
                    }
                    if keys.is_empty() && target.strikes(operation, tables, keys, bites, &mut self.draws) {
                        verdict.throttled.push(true);
                    }
                }
                Fault::FailBefore { target, failure } => {
                    if target.strikes(operation, tables, keys, bites, &mut self.draws) {
                        verdict.fail_before = Some(*failure);
                    }
                }
                Fault::FailAfter { target, failure } => {
                    if target.strikes(operation, tables, keys, bites, &mut self.draws) {
                        verdict.fail_after = Some(*failure);
                    }
                }
                Fault::LoseAnswer { target } => {
                    verdict.lose_answer |= target.strikes(operation, tables, keys, bites, &mut self.draws);
                }
                Fault::Slow { target, delay } => {
                    if target.strikes(operation, tables, keys, bites, &mut self.draws) {
                        verdict.delay += delay.draw(&mut self.draws);
                    }
                }
                Fault::PauseReplication { .. } | Fault::DelayReplication { .. } => {}
            }
        }
        verdict
    }

    /// Whether changes of `table` may not pass between here and `region`.
    pub(super) fn paused(&mut self, region: &str, table: &str) -> bool {
        let mut paused = false;
        for InForce { fault, bites, .. } in &mut self.faults {
            if let Fault::PauseReplication {
                region: only_region,
                table: only_table,
            } = fault
                && only_region.as_deref().is_none_or(|only| only == region)
                && only_table.as_deref().is_none_or(|only| only == table)
            {
                *bites += 1;
                paused = true;
            }
        }
        paused
    }

    /// The additional lag of one change to `region`.
    pub(super) fn replication_delay(&mut self, region: &str) -> Duration {
        let mut total = Duration::ZERO;
        for InForce { fault, bites, .. } in &mut self.faults {
            if let Fault::DelayReplication { region: only, delay } = fault
                && only.as_deref().is_none_or(|only| only == region)
            {
                *bites += 1;
                total += delay.draw(&mut self.draws);
            }
        }
        total
    }
}

impl Target {
    fn strikes(
        &self,
        operation: &str,
        tables: &[String],
        keys: &[ItemKey],
        bites: &mut u64,
        draws: &mut Stream,
    ) -> bool {
        let operation_matches = match self.operations.as_slice() {
            [] => is_data_operation(operation),
            some => some.iter().any(|name| name == operation),
        };
        let matches = operation_matches
            && self.table.as_ref().is_none_or(|table| tables.contains(table))
            && self
                .key
                .as_deref()
                .is_none_or(|text| keys.iter().any(|key| key.mentions(text)))
            && self.times.is_none_or(|times| *bites < times);
        // Only a request that could be struck draws, so that other traffic does not move the stream.
        let struck = matches
            && self
                .probability
                .is_none_or(|probability| draws.chance(probability));
        *bites += u64::from(struck);
        struck
    }
}

/// Operations on items, as opposed to tables, tags and streams.
pub(super) fn is_data_operation(operation: &str) -> bool {
    matches!(
        operation,
        "BatchExecuteStatement"
            | "BatchGetItem"
            | "BatchWriteItem"
            | "DeleteItem"
            | "ExecuteStatement"
            | "ExecuteTransaction"
            | "GetItem"
            | "PutItem"
            | "Query"
            | "Scan"
            | "TransactGetItems"
            | "TransactWriteItems"
            | "UpdateItem"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: &str, value: &str) -> ItemKey {
        ItemKey {
            table: table.to_owned(),
            key: format!(r#"{{"pk":{{"S":"{value}"}}}}"#),
        }
    }

    fn board(faults: &[Fault]) -> (Board, Vec<FaultId>) {
        let mut board = Board::new(Stream::named(1, "faults"));
        let ids = faults.iter().cloned().map(|fault| board.begin(fault)).collect();
        (board, ids)
    }

    #[test]
    fn a_target_is_held_to_every_member_it_gives() {
        let target = Target {
            table: Some("t".to_owned()),
            key: Some("hot".to_owned()),
            operations: vec!["PutItem".to_owned()],
            ..Target::default()
        };
        let (mut board, ids) = board(&[Fault::LoseAnswer { target }]);
        let mut struck = |operation: &str, table: &str, value: &str| {
            board
                .judge(operation, &[table.to_owned()], &[key(table, value)])
                .lose_answer
        };
        assert!(struck("PutItem", "t", "hot"));
        assert!(!struck("GetItem", "t", "hot"));
        assert!(!struck("PutItem", "u", "hot"));
        assert!(!struck("PutItem", "t", "cold"));
        assert_eq!(board.bites(ids[0]), 1);
        board.end(ids[0]);
        assert_eq!(board.bites(ids[0]), 1);
    }

    #[test]
    fn a_fault_is_spent_after_its_times() {
        let target = Target {
            times: Some(2),
            ..Target::default()
        };
        let (mut board, _) = board(&[Fault::FailAfter {
            target,
            failure: Failure::Internal,
        }]);
        let struck: Vec<bool> = (0..4)
            .map(|_| board.judge("PutItem", &[], &[key("t", "a")]).fail_after.is_some())
            .collect();
        assert_eq!(struck, [true, true, false, false]);
    }

    #[test]
    fn a_batch_is_throttled_by_item() {
        let target = Target {
            key: Some("hot".to_owned()),
            ..Target::default()
        };
        let (mut board, _) = board(&[Fault::Throttle { target }]);
        let verdict = board.judge(
            "BatchWriteItem",
            &["t".to_owned()],
            &[key("t", "cold"), key("t", "hot")],
        );
        assert_eq!(verdict.throttled, [false, true]);
    }

    #[test]
    fn replication_pauses_by_region_and_table() {
        let pause = Fault::PauseReplication {
            region: Some("eu-west-1".to_owned()),
            table: None,
        };
        let (mut board, ids) = board(&[pause]);
        assert!(board.paused("eu-west-1", "t") && !board.paused("us-east-1", "t"));
        board.clear();
        assert!(!board.paused("eu-west-1", "t"));
        assert_eq!(board.bites(ids[0]), 1);
    }

    #[test]
    fn faults_are_plain_data() {
        let json = r#"{"fault":"slow","target":{"table":"t"},"delay":{"min":"10ms","max":"2s"}}"#;
        let fault: Fault = serde_json::from_str(json).expect("fault");
        let again: Fault =
            serde_json::from_str(&serde_json::to_string(&fault).expect("json")).expect("fault");
        assert_eq!(fault, again);
        assert!(
            serde_json::from_str::<Fault>(r#"{"fault":"slow","delay":{"min":"10","max":"2s"}}"#).is_err()
        );
        assert!(serde_json::from_str::<Fault>(r#"{"fault":"sluggish"}"#).is_err());
    }
}
