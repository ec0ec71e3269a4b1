//! Operations that overlap in time: items held by a running transaction, and request tokens.
//!
//! A transaction takes a while on AWS; whoever touches one of its items meanwhile is told of a conflict. Here it holds its
//! items from its arrival to its effect. A repeated call is answered as the first was, its consumed capacity included,
//! where AWS would report that of a read.

use super::key::ItemKey;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a `ClientRequestToken` is remembered after its transaction. Documented.
const TOKEN_WINDOW: Duration = Duration::from_secs(600);

/// What is known of a token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Never used, or too long ago.
    Fresh,
    /// Its first call is under way.
    Running,
    /// Its first call succeeded with this answer.
    Done(Value),
    /// Its first call asked for something else.
    Mismatch,
}

#[derive(Debug)]
struct Use {
    asked: Value,
    since: Instant,
    answer: Option<Value>,
}

/// The running transactions of one Region.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    held: BTreeSet<ItemKey>,
    tokens: BTreeMap<String, Use>,
}

impl Overlap {
    /// Releases what calls held that will never end, because their server died.
    pub(super) fn give_up(&mut self) {
        self.held.clear();
        self.tokens.retain(|_, used| used.answer.is_some());
    }

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

    /// Looks a token up, and if it is fresh marks it as running. `asked` is what the call asks for.
    pub(super) fn begin_token(&mut self, token: &str, asked: &Value, now: Instant) -> Token {
        self.tokens
            .retain(|_, used| used.answer.is_none() || now.duration_since(used.since) < TOKEN_WINDOW);
        match self.tokens.get(token) {
            Some(used) if used.asked != *asked => Token::Mismatch,
            Some(Use {
                answer: Some(answer), ..
            }) => Token::Done(answer.clone()),
            Some(Use { answer: None, .. }) => Token::Running,
            None => {
                let used = Use {
                    asked: asked.clone(),
                    since: now,
                    answer: None,
                };
                self.tokens.insert(token.to_owned(), used);
                Token::Fresh
            }
        }
    }

    /// The token's first call ended. A failed call frees its token.
    pub(super) fn end_token(&mut self, token: &str, answer: Option<&Value>, now: Instant) {
        match (answer, self.tokens.get_mut(token)) {
            (Some(answer), Some(used)) => {
                used.answer = Some(answer.clone());
                used.since = now;
            }
            _ => {
                self.tokens.remove(token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_runs_is_done_and_is_forgotten_after_ten_minutes() {
        let (mut overlap, start) = (Overlap::default(), Instant::now());
        let later = |secs| start + Duration::from_secs(secs);
        let (asked, answer) = (json!([1]), json!({"x": 1}));
        assert_eq!(overlap.begin_token("a", &asked, start), Token::Fresh);
        assert_eq!(overlap.begin_token("a", &asked, start), Token::Running);
        assert_eq!(overlap.begin_token("a", &json!([2]), start), Token::Mismatch);
        overlap.end_token("a", Some(&answer), start);
        assert_eq!(overlap.begin_token("a", &asked, later(599)), Token::Done(answer));
        assert_eq!(overlap.begin_token("a", &json!([2]), later(599)), Token::Mismatch);
        assert_eq!(overlap.begin_token("a", &asked, later(600)), Token::Fresh);
        overlap.end_token("a", None, later(600));
        assert_eq!(overlap.begin_token("a", &json!([2]), later(600)), Token::Fresh);
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

    #[test]
    fn a_server_that_died_holds_nothing_and_remembers_what_it_answered() {
        let (mut overlap, now) = (Overlap::default(), Instant::now());
        let (asked, answer) = (json!([1]), json!({"x": 1}));
        overlap.hold([ItemKey {
            table: "t".to_owned(),
            key: "a".to_owned(),
        }]);
        for token in ["done", "running"] {
            assert_eq!(overlap.begin_token(token, &asked, now), Token::Fresh);
        }
        overlap.end_token("done", Some(&answer), now);
        overlap.give_up();
        assert!(!overlap.holds_in("t"));
        assert_eq!(overlap.begin_token("done", &asked, now), Token::Done(answer));
        assert_eq!(overlap.begin_token("running", &asked, now), Token::Fresh);
    }
}
