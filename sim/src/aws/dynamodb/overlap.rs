//! Operations that overlap in time: items held by a running transaction, and request tokens.
//!
//! A transaction takes a while on AWS; whoever touches one of its items meanwhile is told of a conflict. Here it holds its
//! items from its arrival to its effect. Token windows are kept beside the engine's own, because only this side knows
//! that a first call is still under way.

use super::key::ItemKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a `ClientRequestToken` is remembered after its transaction. Documented.
const TOKEN_WINDOW: Duration = Duration::from_secs(600);

/// What is known of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Never used, or too long ago.
    Fresh,
    /// Its first call is under way.
    Running,
    /// Its first call succeeded; the engine holds the answer.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    since: Instant,
    done: bool,
}

/// The running transactions of one Region.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    held: BTreeSet<ItemKey>,
    tokens: BTreeMap<String, Use>,
}

impl Overlap {
    pub(super) fn is_held(&self, key: &ItemKey) -> bool {
        self.held.contains(key)
    }

    /// Whether a running transaction holds any item of the table.
    pub(super) fn holds_in(&self, table: &str) -> bool {
        let first = ItemKey {
            table: table.to_owned(),
            key: String::new(),
        };
        self.held
            .range(first..)
            .next()
            .is_some_and(|key| key.table == table)
    }

    /// Holds all of `keys`, of which none may be held.
    pub(super) fn hold(&mut self, keys: impl IntoIterator<Item = ItemKey>) {
        self.held.extend(keys);
    }

    pub(super) fn release<'a>(&mut self, keys: impl IntoIterator<Item = &'a ItemKey>) {
        for key in keys {
            self.held.remove(key);
        }
    }

    /// Looks a token up, and if it is fresh marks it as running.
    pub(super) fn begin_token(&mut self, token: &str, now: Instant) -> Token {
        self.tokens
            .retain(|_, used| !used.done || now.duration_since(used.since) < TOKEN_WINDOW);
        match self.tokens.get(token) {
            Some(Use { done: true, .. }) => Token::Done,
            Some(Use { done: false, .. }) => Token::Running,
            None => {
                self.tokens.insert(
                    token.to_owned(),
                    Use {
                        since: now,
                        done: false,
                    },
                );
                Token::Fresh
            }
        }
    }

    /// The token's first call ended. A failed call frees its token.
    pub(super) fn end_token(&mut self, token: &str, succeeded: bool, now: Instant) {
        if succeeded {
            self.tokens.insert(
                token.to_owned(),
                Use {
                    since: now,
                    done: true,
                },
            );
        } else {
            self.tokens.remove(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_runs_is_done_and_is_forgotten_after_ten_minutes() {
        let (mut overlap, start) = (Overlap::default(), Instant::now());
        assert_eq!(overlap.begin_token("a", start), Token::Fresh);
        assert_eq!(overlap.begin_token("a", start), Token::Running);
        overlap.end_token("a", true, start);
        let later = |secs| start + Duration::from_secs(secs);
        assert_eq!(overlap.begin_token("a", later(599)), Token::Done);
        assert_eq!(overlap.begin_token("a", later(600)), Token::Fresh);
        overlap.end_token("a", false, later(600));
        assert_eq!(overlap.begin_token("a", later(600)), Token::Fresh);
    }

    #[test]
    fn held_items_are_found_by_key_and_table() {
        let key = |table: &str, key: &str| ItemKey {
            table: table.to_owned(),
            key: key.to_owned(),
        };
        let mut overlap = Overlap::default();
        overlap.hold([key("t", "a"), key("v", "b")]);
        assert!(overlap.is_held(&key("t", "a")) && !overlap.is_held(&key("t", "b")));
        assert!(overlap.holds_in("t") && !overlap.holds_in("u") && overlap.holds_in("v"));
        overlap.release([&key("t", "a")]);
        assert!(!overlap.holds_in("t"));
    }
}
