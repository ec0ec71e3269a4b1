//! Event patterns: which events a rule takes.
//!
//! Modelled: exact values, `prefix`, `suffix` (each also ignoring case), `equals-ignore-case`, `wildcard`, `numeric`,
//! `exists`, `anything-but` with values, prefixes, suffixes, wildcards and ignoring case, nested objects, arrays in the
//! event (any element matches; the fields of one nested pattern must match within one element), and `$or`.
//! Not modelled, refused by name: `cidr`.
//! AWS compares numbers that are not under `numeric` by how they are written; here 300 and 300.0 differ, as there, but
//! 300.0 and 3.0e2 are the same.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 2_048;

/// Why a pattern is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Event pattern is not valid. Reason: {0}")]
pub struct Invalid(String);

fn invalid<T>(reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(reason.into()))
}

/// A pattern: every field must match, and one alternative of every `$or`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    fields: BTreeMap<String, Field>,
    alternatives: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Nested(Pattern),
    Any(Vec<Matcher>),
}

#[derive(Debug, Clone, PartialEq)]
enum Matcher {
    Exactly(Value),
    Text(Text),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
    AnythingBut(Vec<Value>),
    AnythingButText(Vec<Text>),
}

#[derive(Debug, Clone, PartialEq)]
enum Text {
    Prefix { of: String, ignore_case: bool },
    Suffix { of: String, ignore_case: bool },
    IgnoringCase(String),
    Wildcard(Vec<Option<char>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Pattern {
    /// Reads a pattern from its JSON text.
    ///
    /// # Errors
    /// What AWS would not take as a pattern, and what is not simulated.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > PATTERN_BYTES_MAX {
            return invalid(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Self::of(&map),
            Ok(_) => invalid("Filter is not an object"),
            Err(error) => invalid(format!("not JSON: {error}")),
        }
    }

    fn of(map: &serde_json::Map<String, Value>) -> Result<Self, Invalid> {
        if map.is_empty() {
            return invalid("Empty objects are not allowed");
        }
        let mut pattern = Self {
            fields: BTreeMap::new(),
            alternatives: Vec::new(),
        };
        for (name, value) in map {
            if name == "$or" {
                let Value::Array(list) = value else {
                    return invalid("\"$or\" must be an array");
                };
                if list.len() < 2 {
                    return invalid("\"$or\" must hold at least two patterns");
                }
                for alternative in list {
                    let Value::Object(map) = alternative else {
                        return invalid("\"$or\" must hold objects");
                    };
                    pattern.alternatives.push(Self::of(map)?);
                }
                continue;
            }
            let field = match value {
                Value::Object(map) => Field::Nested(Self::of(map)?),
                Value::Array(list) if list.is_empty() => return invalid("Empty arrays are not allowed"),
                Value::Array(list) => Field::Any(list.iter().map(Matcher::of).collect::<Result<_, _>>()?),
                _ => return invalid(format!("\"{name}\" must be an object or an array")),
            };
            pattern.fields.insert(name.clone(), field);
        }
        Ok(pattern)
    }

    /// Whether an event matches.
    pub fn matches(&self, event: &Value) -> bool {
        let fields = self
            .fields
            .iter()
            .all(|(name, field)| field.matches(event.get(name)));
        fields && (self.alternatives.is_empty() || self.alternatives.iter().any(|p| p.matches(event)))
    }

    /// Whether the pattern matches where there is nothing: only `exists: false` does.
    fn matches_absence(&self) -> bool {
        let fields = self.fields.values().all(|field| field.matches(None));
        fields && (self.alternatives.is_empty() || self.alternatives.iter().any(Self::matches_absence))
    }
}

impl Field {
    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Nested(pattern), Some(Value::Object(_))) => value.is_some_and(|v| pattern.matches(v)),
            (Self::Nested(pattern), Some(Value::Array(list))) if !list.is_empty() => list
                .iter()
                .any(|element| element.is_object() && pattern.matches(element)),
            (Self::Nested(pattern), _) => pattern.matches_absence(),
            (Self::Any(matchers), Some(Value::Array(list))) if !list.is_empty() => list
                .iter()
                .any(|element| matchers.iter().any(|m| m.matches(Some(element)))),
            (Self::Any(matchers), Some(Value::Array(_)) | None) => matchers.iter().any(|m| m.matches(None)),
            (Self::Any(matchers), Some(value)) => matchers.iter().any(|m| m.matches(Some(value))),
        }
    }
}

impl Matcher {
    fn of(value: &Value) -> Result<Self, Invalid> {
        let map = match value {
            Value::Object(map) => map,
            Value::Array(_) => return invalid("Array inside array"),
            scalar => return Ok(Self::Exactly(scalar.clone())),
        };
        let mut entries = map.iter();
        let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
            return invalid("a match type must be an object with exactly one field");
        };
        match (kind.as_str(), value) {
            ("exists", Value::Bool(exists)) => Ok(Self::Exists(*exists)),
            ("exists", _) => invalid("exists match pattern must be either true or false"),
            ("numeric", Value::Array(list)) => numeric(list).map(Self::Numeric),
            ("numeric", _) => invalid("Value of numeric must be an array"),
            ("anything-but", value) => anything_but(value),
            ("cidr", _) => invalid("cidr is not simulated"),
            (kind, value) => text(kind, value).map(Self::Text),
        }
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else {
            return *self == Self::Exists(false);
        };
        match self {
            Self::Exactly(wanted) => wanted == value,
            Self::Text(text) => value.as_str().is_some_and(|v| text.matches(v)),
            Self::Numeric(bounds) => match value {
                Value::Number(n) => bounds
                    .iter()
                    .all(|(comparison, bound)| comparison.holds(n, *bound)),
                _ => false,
            },
            // Only a leaf exists: an object in that place does not.
            Self::Exists(exists) => *exists && !value.is_object(),
            Self::AnythingBut(_) | Self::AnythingButText(_) if value.is_object() => false,
            Self::AnythingBut(values) => !values.contains(value),
            Self::AnythingButText(texts) => {
                !value.as_str().is_some_and(|v| texts.iter().any(|t| t.matches(v)))
            }
        }
    }
}

fn numeric(list: &[Value]) -> Result<Vec<(Comparison, f64)>, Invalid> {
    let mut bounds = Vec::new();
    for pair in list.chunks(2) {
        let [Value::String(sign), Value::Number(bound)] = pair else {
            return invalid("numeric takes pairs of a comparison and a number");
        };
        let comparison = match sign.as_str() {
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => return invalid(format!("Unrecognized numeric range operator: {other}")),
        };
        let bound = bound.as_f64().filter(|b| b.abs() <= 5e9);
        let Some(bound) = bound else {
            return invalid("Value must be between -5.0E9 and 5.0E9, inclusive");
        };
        bounds.push((comparison, bound));
    }
    let lower = |c: Comparison| matches!(c, Comparison::Greater | Comparison::GreaterOrEqual);
    match bounds[..] {
        [_] => Ok(bounds),
        [(a, low), (b, high)] if lower(a) && !lower(b) && b != Comparison::Equal && low < high => Ok(bounds),
        _ => invalid("numeric takes one comparison, or a lower bound followed by a higher one"),
    }
}

fn anything_but(value: &Value) -> Result<Matcher, Invalid> {
    let plain = |v: &Value| v.is_string() || v.is_number();
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(plain) => {
            Ok(Matcher::AnythingBut(list.clone()))
        }
        Value::Object(map) if map.len() == 1 => {
            let mut texts = Vec::new();
            for (kind, value) in map {
                let single = std::slice::from_ref(value);
                for value in value.as_array().map_or(single, Vec::as_slice) {
                    texts.push(text(kind, value)?);
                }
            }
            match texts.is_empty() {
                true => invalid("anything-but must not be empty"),
                false => Ok(Matcher::AnythingButText(texts)),
            }
        }
        one if plain(one) => Ok(Matcher::AnythingBut(vec![one.clone()])),
        _ => invalid("anything-but takes strings, numbers, a list of them, or one match type"),
    }
}

fn text(kind: &str, value: &Value) -> Result<Text, Invalid> {
    let (of, ignore_case) = match value {
        Value::String(of) => (of.clone(), false),
        Value::Object(map) if matches!(kind, "prefix" | "suffix") && map.len() == 1 => {
            match map.get("equals-ignore-case") {
                Some(Value::String(of)) => (of.to_lowercase(), true),
                _ => return invalid(format!("{kind} match pattern must be a string")),
            }
        }
        _ => return invalid(format!("{kind} match pattern must be a string")),
    };
    match kind {
        "prefix" | "suffix" if of.is_empty() => invalid("Null prefix/suffix not allowed"),
        "prefix" => Ok(Text::Prefix { of, ignore_case }),
        "suffix" => Ok(Text::Suffix { of, ignore_case }),
        "equals-ignore-case" => Ok(Text::IgnoringCase(of.to_lowercase())),
        "wildcard" => wildcard(&of).map(Text::Wildcard),
        other => invalid(format!("Unrecognized match type {other}")),
    }
}

/// A wildcard's characters; none for `*`. A backslash before `*` or another backslash takes its meaning away.
fn wildcard(text: &str) -> Result<Vec<Option<char>>, Invalid> {
    let mut parts: Vec<Option<char>> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if parts.last() == Some(&None) => {
                return invalid("Consecutive wildcard characters at pos 0");
            }
            '*' => parts.push(None),
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '\\')) => parts.push(Some(escaped)),
                _ => return invalid("Invalid escape character at pos 0"),
            },
            c => parts.push(Some(c)),
        }
    }
    Ok(parts)
}

impl Text {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Prefix {
                of,
                ignore_case: false,
            } => value.starts_with(of),
            Self::Prefix {
                of,
                ignore_case: true,
            } => value.to_lowercase().starts_with(of),
            Self::Suffix {
                of,
                ignore_case: false,
            } => value.ends_with(of),
            Self::Suffix {
                of,
                ignore_case: true,
            } => value.to_lowercase().ends_with(of),
            Self::IgnoringCase(of) => value.to_lowercase() == *of,
            Self::Wildcard(parts) => glob(parts, &value.chars().collect::<Vec<_>>()),
        }
    }
}

/// Greedy with one point to return to, so that no pattern takes more than the product of the lengths.
fn glob(parts: &[Option<char>], value: &[char]) -> bool {
    let (mut p, mut v) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while v < value.len() {
        match parts.get(p) {
            Some(None) => {
                star = Some((p, v));
                p += 1;
            }
            Some(Some(c)) if *c == value[v] => {
                p += 1;
                v += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, v) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    parts[p..].iter().all(Option::is_none)
}

impl Comparison {
    fn holds(self, number: &Number, bound: f64) -> bool {
        let Some(value) = number.as_f64() else {
            return false;
        };
        match self {
            Self::Equal => value == bound,
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, event: &str, expected: bool) {
        let event = serde_json::from_str(event).expect("event");
        assert_eq!(
            Pattern::parse(pattern).expect(pattern).matches(&event),
            expected,
            "{pattern} on {event}"
        );
    }

    #[test]
    fn each_kind_of_match() {
        for (matcher, yes, no) in [
            (r#""a""#, r#""a""#, r#""A""#),
            ("null", "null", r#""""#),
            ("1", "1", "1.0"),
            ("true", "true", "false"),
            (r#"{"prefix":"ab"}"#, r#""abc""#, r#""Abc""#),
            (
                r#"{"prefix":{"equals-ignore-case":"AB"}}"#,
                r#""abc""#,
                r#""bab""#,
            ),
            (r#"{"suffix":"bc"}"#, r#""abc""#, r#""abcd""#),
            (r#"{"suffix":{"equals-ignore-case":"BC"}}"#, r#""abc""#, r#""b""#),
            (r#"{"equals-ignore-case":"aLpha"}"#, r#""AlPHA""#, r#""alph""#),
            (r#"{"wildcard":"a*c*e"}"#, r#""abcde""#, r#""abcd""#),
            (r#"{"wildcard":"\\*x"}"#, r#""*x""#, r#""ax""#),
            (r#"{"wildcard":"*"}"#, r#""""#, "1"),
            (r#"{"numeric":["=",5]}"#, "5.0", r#""5""#),
            (r#"{"numeric":[">",0,"<=",5]}"#, "5", "0"),
            (r#"{"exists":true}"#, r#""x""#, "{}"),
            (r#"{"anything-but":"a"}"#, r#""b""#, r#""a""#),
            (r#"{"anything-but":["a","b"]}"#, "1", r#""b""#),
            (r#"{"anything-but":[1,2]}"#, "3", "2"),
            (r#"{"anything-but":{"prefix":"a"}}"#, r#""b""#, r#""ab""#),
            (r#"{"anything-but":{"suffix":["a","b"]}}"#, r#""bc""#, r#""ab""#),
            (
                r#"{"anything-but":{"wildcard":"*/x/*"}}"#,
                r#""a/y/b""#,
                r#""a/x/b""#,
            ),
            (
                r#"{"anything-but":{"equals-ignore-case":["x","y"]}}"#,
                r#""z""#,
                r#""Y""#,
            ),
        ] {
            let pattern = format!(r#"{{"f":[{matcher}]}}"#);
            check(&pattern, &format!(r#"{{"f":{yes}}}"#), true);
            check(&pattern, &format!(r#"{{"f":{no}}}"#), false);
            check(&pattern, &format!(r#"{{"f":[{no},{yes}]}}"#), true);
            check(&pattern, r#"{"g":"x"}"#, false);
        }
    }

    #[test]
    fn fields_nest_and_absence_shows_through() {
        let nested = r#"{"detail":{"a":["x"],"b":{"c":[{"exists":false}]}}}"#;
        check(nested, r#"{"detail":{"a":"x"}}"#, true);
        check(nested, r#"{"detail":{"a":"x","b":{"d":1}}}"#, true);
        check(nested, r#"{"detail":{"a":"x","b":{"c":1}}}"#, false);
        check(nested, r#"{"detail":{"b":{}}}"#, false);
        check(r#"{"a":[{"exists":false},"x"]}"#, r#"{"a":"x"}"#, true);
        check(r#"{"a":[{"exists":false}]}"#, r#"{"a":[]}"#, true);
    }

    #[test]
    fn one_element_of_an_array_must_match_a_nested_pattern_whole() {
        let pattern = r#"{"items":{"sku":["a"],"paid":[true]}}"#;
        check(
            pattern,
            r#"{"items":[{"sku":"a","paid":true},{"sku":"b"}]}"#,
            true,
        );
        check(
            pattern,
            r#"{"items":[{"sku":"a","paid":false},{"sku":"b","paid":true}]}"#,
            false,
        );
    }

    #[test]
    fn or_takes_one_alternative_and_its_siblings_too() {
        let pattern =
            r#"{"source":["s"],"$or":[{"detail":{"a":[1]}},{"detail":{"b":[{"numeric":[">",9]}]}}]}"#;
        check(pattern, r#"{"source":"s","detail":{"a":1}}"#, true);
        check(pattern, r#"{"source":"s","detail":{"b":10}}"#, true);
        check(pattern, r#"{"source":"s","detail":{"a":2,"b":9}}"#, false);
        check(pattern, r#"{"source":"t","detail":{"a":1}}"#, false);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"a":"x"}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":[{}]}"#,
            r#"{"a":[{"prefix":"x","suffix":"y"}]}"#,
            r#"{"a":[{"prefix":1}]}"#,
            r#"{"a":[{"regex":"x"}]}"#,
            r#"{"a":[{"exists":"yes"}]}"#,
            r#"{"a":[{"numeric":[]}]}"#,
            r#"{"a":[{"numeric":[">"]}]}"#,
            r#"{"a":[{"numeric":["!=",1]}]}"#,
            r#"{"a":[{"numeric":["<",1,">",0]}]}"#,
            r#"{"a":[{"numeric":[">",5,"<",1]}]}"#,
            r#"{"a":[{"numeric":[">",6000000000]}]}"#,
            r#"{"a":[{"wildcard":"a**"}]}"#,
            r#"{"a":[{"wildcard":"a\\b"}]}"#,
            r#"{"a":[{"anything-but":[]}]}"#,
            r#"{"a":[{"anything-but":true}]}"#,
            r#"{"a":[{"cidr":"10.0.0.0/8"}]}"#,
            r#"{"$or":[{"a":[1]}]}"#,
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(PATTERN_BYTES_MAX));
        assert!(Pattern::parse(&long).is_err());
    }
}
