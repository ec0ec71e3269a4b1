//! `jsonb`: parsed JSON with PostgreSQL's key order (by length, then bytes), deduplicated, numbers exact.

use std::cmp::Ordering;
use std::fmt;

use super::Numeric;
use crate::aws::aurora::error::{Error, Result, code};

/// Nesting beyond this is refused, as PostgreSQL's stack depth limit would.
const DEPTH_MAX: usize = 512;

/// A JSON value.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Numeric),
    String(String),
    Array(Vec<Json>),
    /// Sorted by key length, then bytes; no key twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses JSON text.
    pub(crate) fn parse(input: &str) -> Result<Json> {
        let mut p = Parser {
            bytes: input.as_bytes(),
            at: 0,
        };
        let value = p.value(0)?;
        p.space();
        if p.at < p.bytes.len() {
            Err(invalid())
        } else {
            Ok(value)
        }
    }

    /// An object from unordered pairs; the last of equal keys stays.
    pub(crate) fn object(pairs: Vec<(String, Json)>) -> Json {
        let mut out: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for (k, v) in pairs {
            match out.binary_search_by(|(have, _)| key_order(have, &k)) {
                Ok(at) => out[at].1 = v,
                Err(at) => out.insert(at, (k, v)),
            }
        }
        Json::Object(out)
    }

    /// Member of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs
                .binary_search_by(|(have, _)| key_order(have, key))
                .ok()
                .map(|at| &pairs[at].1),
            _ => None,
        }
    }

    /// Element of an array; negative counts from the end.
    pub(crate) fn index(&self, at: i64) -> Option<&Json> {
        match self {
            Json::Array(items) => {
                let at = if at < 0 { at + items.len() as i64 } else { at };
                usize::try_from(at).ok().and_then(|at| items.get(at))
            }
            _ => None,
        }
    }

    /// Follows a path of keys and indexes.
    pub(crate) fn path<'a>(&self, steps: impl Iterator<Item = &'a str>) -> Option<&Json> {
        let mut at = self;
        for step in steps {
            at = match at {
                Json::Array(_) => at.index(step.parse().ok()?)?,
                _ => at.get(step)?,
            };
        }
        Some(at)
    }

    /// The text that `->>` gives; JSON null is SQL NULL.
    pub(crate) fn unquoted(&self) -> Option<String> {
        match self {
            Json::Null => None,
            Json::String(s) => Some(s.clone()),
            other => Some(other.to_string()),
        }
    }

    /// `@>`.
    pub(crate) fn contains(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Array(items), scalar) if !matches!(scalar, Json::Array(_) | Json::Object(_)) => {
                items.iter().any(|i| i == scalar)
            }
            _ => self.contains_within(other),
        }
    }

    fn contains_within(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Object(_), Json::Object(wanted)) => wanted
                .iter()
                .all(|(k, v)| self.get(k).is_some_and(|have| have.contains_within(v))),
            (Json::Array(have), Json::Array(wanted)) => {
                wanted.iter().all(|w| have.iter().any(|h| h.contains_within(w)))
            }
            _ => self == other,
        }
    }

    /// `||` of two jsonb values.
    pub(crate) fn concat(self, other: Json) -> Json {
        match (self, other) {
            (Json::Object(mut a), Json::Object(b)) => {
                a.extend(b);
                Json::object(a)
            }
            (Json::Array(mut a), Json::Array(b)) => {
                a.extend(b);
                Json::Array(a)
            }
            (Json::Array(mut a), b) => {
                a.push(b);
                Json::Array(a)
            }
            (a, Json::Array(b)) => {
                let mut out = vec![a];
                out.extend(b);
                Json::Array(out)
            }
            (a, b) => Json::Array(vec![a, b]),
        }
    }

    /// `jsonb_typeof`.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Json::Null => 0,
            Json::String(_) => 1,
            Json::Number(_) => 2,
            Json::Bool(_) => 3,
            Json::Array(_) => 4,
            Json::Object(_) => 5,
        }
    }
}

fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Json {}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
            (Json::Number(a), Json::Number(b)) => a.cmp(b),
            (Json::String(a), Json::String(b)) => a.cmp(b),
            (Json::Array(a), Json::Array(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Json::Object(a), Json::Object(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{b}"),
            Json::Number(n) => write!(f, "{n}"),
            Json::String(s) => quote(s, f),
            Json::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Json::Object(pairs) => {
                f.write_str("{")?;
                for (i, (k, v)) in pairs.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    quote(k, f)?;
                    write!(f, ": {v}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(s: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for c in s.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

fn invalid() -> Box<Error> {
    Error::new(
        code::INVALID_TEXT_REPRESENTATION,
        "invalid input syntax for type json",
    )
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn eat(&mut self, b: u8) -> bool {
        self.space();
        let hit = self.bytes.get(self.at) == Some(&b);
        self.at += usize::from(hit);
        hit
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(invalid())
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                code::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            ));
        }
        self.space();
        match self.bytes.get(self.at).copied() {
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                if self.eat(b']') {
                    return Ok(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if self.eat(b']') {
                        return Ok(Json::Array(items));
                    }
                    if !self.eat(b',') {
                        return Err(invalid());
                    }
                }
            }
            Some(b'{') => {
                self.at += 1;
                let mut pairs = Vec::new();
                if self.eat(b'}') {
                    return Ok(Json::Object(pairs));
                }
                loop {
                    self.space();
                    let key = self.string()?;
                    if !self.eat(b':') {
                        return Err(invalid());
                    }
                    pairs.push((key, self.value(depth + 1)?));
                    if self.eat(b'}') {
                        return Ok(Json::object(pairs));
                    }
                    if !self.eat(b',') {
                        return Err(invalid());
                    }
                }
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(invalid()),
        }
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).map_err(|_| invalid())?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole = digits.split(['.', 'e', 'E']).next().unwrap_or("");
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || digits.contains(".e") || digits.ends_with('.') {
            return Err(invalid());
        }
        Numeric::parse(text)
            .map(Json::Number)
            .map_err(|e| if e.code == "22P02" { invalid() } else { e })
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or_else(invalid)?;
        self.at += 4;
        let text = std::str::from_utf8(digits).map_err(|_| invalid())?;
        u32::from_str_radix(text, 16).map_err(|_| invalid())
    }

    fn string(&mut self) -> Result<String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(invalid());
        }
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let b = *self.bytes.get(self.at).ok_or_else(invalid)?;
            self.at += 1;
            match b {
                b'"' => return String::from_utf8(out).map_err(|_| invalid()),
                b'\\' => {
                    let escape = *self.bytes.get(self.at).ok_or_else(invalid)?;
                    self.at += 1;
                    let c = match escape {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'"' | b'\\' | b'/' => escape as char,
                        b'u' => self.unicode()?,
                        _ => return Err(invalid()),
                    };
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(invalid()),
                _ => out.push(b),
            }
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        if first == 0 {
            return Err(Error::new(
                code::UNTRANSLATABLE_CHARACTER,
                "unsupported Unicode escape sequence",
            )
            .detail("\\u0000 cannot be converted to text."));
        }
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(invalid);
        }
        if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return Err(invalid());
        }
        self.at += 2;
        let second = self.hex4()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(invalid());
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_length_and_last_wins() {
        let j = Json::parse(r#"{"bb":1,"a":2,"a":3,"c":[1.50,null]}"#).unwrap();
        assert_eq!(j.to_string(), r#"{"a": 3, "c": [1.50, null], "bb": 1}"#);
    }

    #[test]
    fn containment_follows_postgres() {
        let j = |s| Json::parse(s).unwrap();
        assert!(j(r#"{"a":{"b":1},"c":2}"#).contains(&j(r#"{"a":{}}"#)));
        assert!(j("[1,2,[3]]").contains(&j("[2,[3]]")));
        assert!(j("[1,2]").contains(&j("1")));
        assert!(!j("[[1,2]]").contains(&j("1")));
    }
}
