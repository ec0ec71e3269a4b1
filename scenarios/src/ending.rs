//! How a run ended of which nothing can be told: the world stopped before its end, or the process that it ran in did.
//!
//! Such an end is a kind of failure too, with a fingerprint as violations have: `gateway/panicked-no-row`, `process/hung`. It
//! names the role of the host and what became of it, and leaves out whatever differs from seed to seed: numbers, Regions, times.

use std::fmt;

use serde::{Deserialize, Serialize};
use sumzero_sim::{Error, campaign::Fate};

/// As much of a message as tells one bug from another and still names a folder.
const LONGEST_PLACE: usize = 60;

/// How a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The kind of failure: the same for every run that ends in the same way.
    pub fingerprint: String,
    /// What happened, in words.
    pub why: String,
}

impl Ending {
    /// Of a world that did not come to its end.
    pub fn of_world(error: &Error) -> Self {
        let (host, end) = match error {
            Error::Program { host, message, .. } => (host.as_str(), format!("failed {message}")),
            Error::Panicked { host, message, .. } => (host.as_str(), format!("panicked {message}")),
            Error::Nondeterministic(violation) => {
                (violation.host.as_str(), format!("{:?}", violation.breach))
            }
            Error::Livelock { host, .. } => (host.as_str(), "livelock".to_owned()),
            Error::OverBudget { host, .. } => (host.as_str(), "over-budget".to_owned()),
            Error::Unfinished { unfinished, .. } => {
                let first = unfinished.first().map_or("client", String::as_str);
                (first, "unfinished".to_owned())
            }
            other => ("world", other.to_string()),
        };
        // Hosts are named for their role first, then for their Region and number.
        let role = host.split('-').next().unwrap_or(host);
        Self {
            fingerprint: format!("{role}/{}", without_particulars(&end)),
            why: error.to_string(),
        }
    }

    /// Of a process that did not come to its end; none if it did.
    pub fn of_process<T>(fate: &Fate<T>) -> Option<Self> {
        let end = match fate {
            Fate::Finished(_) => return None,
            Fate::Panicked { message } => format!("panicked {message}"),
            Fate::StackOverflow => "stack-overflow".to_owned(),
            Fate::OutOfMemory { .. } => "out-of-memory".to_owned(),
            Fate::Hung { .. } => "hung".to_owned(),
            Fate::Signalled { signal } => signal.clone(),
            // Here the number is what tells one end from another.
            Fate::Exited { code } => {
                return Some(Self {
                    fingerprint: format!("process/exited-{code}"),
                    why: fate.to_string(),
                });
            }
        };
        Some(Self {
            fingerprint: format!("process/{}", without_particulars(&end)),
            why: fate.to_string(),
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// The words of a message, joined: without numbers, without ids, which have digits, and not longer than a name.
fn without_particulars(message: &str) -> String {
    let words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut place = String::new();
    for word in words.filter(|word| !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_digit())) {
        if place.len() + word.len() >= LONGEST_PLACE {
            break;
        }
        if !place.is_empty() {
            place.push('-');
        }
        place.push_str(&word.to_ascii_lowercase());
    }
    place
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sumzero_sim::Time;

    use super::*;

    fn panicked(host: &str, message: &str) -> String {
        let error = Error::Panicked {
            host: host.to_owned(),
            at: Time::default(),
            message: message.to_owned(),
        };
        Ending::of_world(&error).fingerprint
    }

    #[test]
    fn an_end_is_the_same_on_every_host_of_a_role_and_another_for_another_role_or_message() {
        let out_of_bounds = panicked("gateway-us-east-1-0", "index 3 of 2 (src/group.rs:41:7)");
        assert_eq!(out_of_bounds, "gateway/panicked-index-of-src-group-rs");
        assert_eq!(
            panicked("gateway-eu-west-1-1", "index 9 of 7 (src/group.rs:88:7)"),
            out_of_bounds
        );
        assert_ne!(
            panicked("worker-0", "index 3 of 2 (src/group.rs:41:7)"),
            out_of_bounds
        );
        assert_ne!(panicked("gateway-us-east-1-0", "no such row"), out_of_bounds);
        assert!(panicked("gateway", &"word ".repeat(100)).len() < 80);
    }

    #[test]
    fn each_end_of_a_process_has_a_name() {
        let named = |fate: &Fate<()>| Ending::of_process(fate).map(|ending| ending.fingerprint);
        let limit = Duration::from_secs(300);
        let code = |code| Fate::Exited { code };
        let signal = "SIGABRT".to_owned();
        let ends = [
            Fate::StackOverflow,
            Fate::OutOfMemory { limit_bytes: 1 },
            Fate::Hung { limit },
            Fate::Signalled { signal },
            code(3),
            code(4),
        ];
        assert_eq!(
            ends.each_ref().map(|fate| named(fate).unwrap_or_default()),
            [
                "process/stack-overflow",
                "process/out-of-memory",
                "process/hung",
                "process/sigabrt",
                "process/exited-3",
                "process/exited-4"
            ]
        );
        assert_eq!(named(&Fate::Finished(())), None);
    }
}
