//! Run-time settings: SET, SET LOCAL, RESET, and their undoing at the end of a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};

/// Settings that exist without being set, and their values.
const DEFAULTS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("deadlock_timeout", "1s"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    // Here plans are not chosen; clients that choose may say so.
    ("enable_bitmapscan", "on"),
    ("enable_hashjoin", "on"),
    ("enable_material", "on"),
    ("enable_mergejoin", "on"),
    ("enable_seqscan", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "on"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lc_messages", "C"),
    ("lock_timeout", "0"),
    ("log_statement", "none"),
    ("max_connections", "100"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "\"$user\", public"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.12"),
    ("server_version_num", "150012"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("work_mem", "4MB"),
];

const READ_ONLY: &[&str] = &[
    "in_hot_standby",
    "integer_datetimes",
    "lc_collate",
    "lc_ctype",
    "max_connections",
    "max_identifier_length",
    "server_encoding",
    "server_version",
    "server_version_num",
];

/// Every parameter of PostgreSQL 15.
const POSTGRES: &str = include_str!("postgres.txt");

/// Whether PostgreSQL has a parameter that is missing here: the difference between 0A000 and 42704.
fn lacking(name: &str) -> bool {
    !Settings::known(name) && POSTGRES.split_whitespace().any(|n| n == name)
}

/// The error for a parameter that is not here.
pub(crate) fn unknown<T>(name: &str) -> Result<T> {
    if lacking(name) {
        return unsupported(format_args!("parameter \"{name}\""));
    }
    fail(
        code::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

/// Settings whose unit is milliseconds.
const TIMES: &[&str] = &[
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
];

#[derive(Debug)]
struct Undo {
    depth: usize,
    name: String,
    session: Option<String>,
    local: Option<String>,
}

/// One session's settings.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    undo: Vec<Undo>,
    /// Names with a dot that were ever set: without a value they are empty, no longer unknown.
    placeholders: BTreeSet<String>,
    /// Savepoint depth of changes being made; None outside a transaction.
    pub depth: Option<usize>,
}

/// A duration setting's value: bare numbers are milliseconds.
pub(crate) fn duration(name: &str, value: &str) -> Result<Duration> {
    let v = value.trim();
    let at = v
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(v.len());
    let bad = || {
        Error::new(
            code::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{name}\": \"{value}\""),
        )
    };
    let number: f64 = v[..at].parse().map_err(|_| bad())?;
    let millis = match v[at..].trim() {
        "" | "ms" => number,
        "us" => number / 1000.0,
        "s" => number * 1000.0,
        "min" => number * 60_000.0,
        "h" => number * 3_600_000.0,
        "d" => number * 86_400_000.0,
        _ => return Err(bad()),
    };
    Ok(Duration::from_micros((millis * 1000.0) as u64))
}

/// An isolation level by name.
pub(crate) fn isolation_words(name: &str, value: &str) -> Result<&'static str> {
    let levels = [
        "read committed",
        "read uncommitted",
        "repeatable read",
        "serializable",
    ];
    match levels.into_iter().find(|level| value.eq_ignore_ascii_case(level)) {
        Some(level) => Ok(level),
        None => fail(
            code::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{name}\": \"{value}\""),
        ),
    }
}

/// A duration as SHOW says it: in the largest unit that needs no fraction.
fn shown(d: Duration) -> String {
    let ms = d.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
        (1, "ms"),
    ];
    match units
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit))
    {
        Some((unit, word)) => format!("{}{word}", ms / unit),
        None => "0".into(),
    }
}

impl Settings {
    /// The value of a setting.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.local
            .get(name)
            .or_else(|| self.session.get(name))
            .cloned()
            .or_else(|| {
                DEFAULTS
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_string())
            })
            .or_else(|| self.placeholders.contains(name).then(String::new))
    }

    /// A timeout; zero is none.
    pub(crate) fn timeout(&self, name: &str) -> Option<Duration> {
        let value = self.local.get(name).or_else(|| self.session.get(name))?;
        duration(name, value).ok().filter(|d| !d.is_zero())
    }

    /// Whether a boolean setting is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| matches!(v.as_str(), "on" | "true" | "yes" | "1"))
    }

    /// All settings with their values.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let mut names: Vec<String> = DEFAULTS.iter().map(|(n, _)| (*n).to_string()).collect();
        names.extend(self.session.keys().chain(self.local.keys()).cloned());
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter_map(|n| self.get(&n).map(|v| (n, v)))
            .collect()
    }

    fn known(name: &str) -> bool {
        name.contains('.')
            || DEFAULTS.iter().any(|(n, _)| *n == name)
            || name == "role"
            || name == "session_authorization"
    }

    /// Checks a value and brings it to the form it is shown in.
    fn normalise(name: &str, value: &str) -> Result<String> {
        if !Self::known(name) {
            return unknown(name);
        }
        if READ_ONLY.contains(&name) {
            return fail("55P02", format!("parameter \"{name}\" cannot be changed"));
        }
        match name {
            "timezone" => {
                let utc = ["utc", "gmt", "etc/utc", "zulu", "0", "+00:00", "+00", "default"];
                if !utc.iter().any(|u| value.eq_ignore_ascii_case(u)) {
                    return unsupported(format_args!("time zone \"{value}\""));
                }
                Ok("UTC".into())
            }
            "client_encoding"
                if !["utf8", "utf-8", "unicode"]
                    .iter()
                    .any(|u| value.eq_ignore_ascii_case(u)) =>
            {
                unsupported(format_args!("client encoding \"{value}\""))
            }
            "datestyle" if !value.to_lowercase().contains("iso") && value != "default" => {
                unsupported(format_args!("DateStyle \"{value}\""))
            }
            "intervalstyle" if value != "postgres" => unsupported(format_args!("IntervalStyle \"{value}\"")),
            "default_transaction_isolation" | "transaction_isolation" => {
                isolation_words(name, value).map(str::to_string)
            }
            _ if TIMES.contains(&name) => duration(name, value).map(shown),
            _ if DEFAULTS
                .iter()
                .any(|(n, v)| *n == name && matches!(*v, "on" | "off")) =>
            {
                match value.to_lowercase().as_str() {
                    "on" | "true" | "yes" | "1" | "t" => Ok("on".into()),
                    "off" | "false" | "no" | "0" | "f" => Ok("off".into()),
                    _ => fail(
                        code::INVALID_PARAMETER_VALUE,
                        format!("parameter \"{name}\" requires a Boolean value"),
                    ),
                }
            }
            _ => Ok(value.to_string()),
        }
    }

    /// SET, or SET LOCAL.
    pub(crate) fn set(&mut self, name: &str, value: &str, local: bool) -> Result<()> {
        let name = name.to_lowercase();
        let value = Self::normalise(&name, value)?;
        self.remember(&name);
        if name.contains('.') {
            self.placeholders.insert(name.clone());
        }
        if local {
            self.local.insert(name, value);
        } else {
            self.local.remove(&name);
            self.session.insert(name, value);
        }
        Ok(())
    }

    /// SET TO DEFAULT, which SET LOCAL can say too.
    pub(crate) fn set_default(&mut self, name: &str, local: bool) -> Result<()> {
        let default = DEFAULTS.iter().find(|(n, _)| *n == name);
        match default {
            Some((_, value)) if local => self.set(name, value, true),
            _ => self.reset(name),
        }
    }

    /// RESET.
    pub(crate) fn reset(&mut self, name: &str) -> Result<()> {
        let name = name.to_lowercase();
        if !Self::known(&name) {
            return unknown(&name);
        }
        self.remember(&name);
        self.local.remove(&name);
        self.session.remove(&name);
        Ok(())
    }

    /// RESET ALL.
    pub(crate) fn reset_all(&mut self) {
        let names: Vec<String> = self.session.keys().chain(self.local.keys()).cloned().collect();
        for name in names {
            if name != "role" && name != "session_authorization" {
                _ = self.reset(&name);
            }
        }
    }

    fn remember(&mut self, name: &str) {
        if let Some(depth) = self.depth {
            let (session, local) = (self.session.get(name).cloned(), self.local.get(name).cloned());
            self.undo.push(Undo {
                depth,
                name: name.to_string(),
                session,
                local,
            });
        }
    }

    /// Undoes changes made at this savepoint depth or deeper.
    pub(crate) fn rollback(&mut self, depth: usize) {
        while self.undo.last().is_some_and(|u| u.depth >= depth) {
            let Some(undo) = self.undo.pop() else { return };
            let put = |map: &mut BTreeMap<String, String>, value: Option<String>| match value {
                Some(value) => _ = map.insert(undo.name.clone(), value),
                None => _ = map.remove(&undo.name),
            };
            put(&mut self.session, undo.session);
            put(&mut self.local, undo.local);
        }
    }

    /// RELEASE: changes belong to the enclosing level.
    pub(crate) fn release(&mut self, depth: usize) {
        for undo in &mut self.undo {
            undo.depth = undo.depth.min(depth.saturating_sub(1));
        }
    }

    /// The transaction ended well: SET LOCAL ends, SET stays.
    pub(crate) fn commit(&mut self) {
        self.local.clear();
        self.undo.clear();
        self.depth = None;
    }

    /// The transaction failed.
    pub(crate) fn abort(&mut self) {
        self.rollback(0);
        self.local.clear();
        self.depth = None;
    }
}
