//! A file with ranges in it, from which the seed picks: any value may be `"LOW..HIGH"` or `{ any = [...] }`.

use std::{ops::Range, time::Duration};

use serde_json::{Map, Number, Value};
use sumzero_sim::{Skew, Stream};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub span: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Fixed(Value),
    Integer {
        low: i64,
        high: i64,
    },
    Float {
        low: f64,
        high: f64,
    },
    /// Of milliseconds; a duration or a skew.
    Time {
        low: i64,
        high: i64,
    },
    Any(Vec<Template>),
    List(Vec<Template>),
    Table(Vec<Member>),
}

/// A key, its place, and its value.
type Member = (String, Range<usize>, Template);

/// Who picks: chance, or a check that wants to see the ends of every range.
pub(super) trait Pick {
    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64;
    /// One of so many.
    fn one_of(&mut self, count: usize) -> usize;
    /// Whether something of this probability happens.
    fn happens(&mut self, probability: f64) -> bool;
}

impl Pick for Stream {
    fn up_to(&mut self, most: u64) -> u64 {
        // Taken modulo: the bias is of the order of the range over 2^64.
        match most.checked_add(1) {
            Some(count) => self.next_u64() % count,
            None => self.next_u64(),
        }
    }

    fn one_of(&mut self, count: usize) -> usize {
        (self.next_u64() % count.max(1) as u64) as usize
    }

    fn happens(&mut self, probability: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}

/// Picks an end of every range, and everything that can happen.
pub(super) struct End {
    pub high: bool,
    pub choice: usize,
}

impl Pick for End {
    fn up_to(&mut self, most: u64) -> u64 {
        if self.high { most } else { 0 }
    }

    fn one_of(&mut self, count: usize) -> usize {
        self.choice % count.max(1)
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0
    }
}

impl Template {
    /// Reads a parsed value.
    ///
    /// # Errors
    /// The place of a range that is none, and why.
    pub(super) fn new(value: &Spanned<DeValue<'_>>) -> Result<Self, (Range<usize>, String)> {
        let span = value.span();
        let unreadable = |message: String| (span.clone(), message);
        let kind = match value.get_ref() {
            DeValue::String(text) => match text.split_once("..") {
                Some((low, high)) => range(low.trim(), high.trim()).map_err(unreadable)?,
                None => Kind::Fixed(Value::String(text.to_string())),
            },
            DeValue::Integer(number) => {
                let digits = number.as_str();
                let number = i64::from_str_radix(digits, number.radix());
                Kind::Fixed(
                    number
                        .map_err(|error| unreadable(format!("{digits}: {error}")))?
                        .into(),
                )
            }
            DeValue::Float(number) => {
                let number = number.as_str().parse::<f64>().ok().and_then(Number::from_f64);
                Kind::Fixed(Value::Number(
                    number.ok_or_else(|| unreadable("this is not a finite number".to_owned()))?,
                ))
            }
            DeValue::Boolean(yes) => Kind::Fixed(Value::Bool(*yes)),
            DeValue::Datetime(_) => {
                return Err(unreadable(
                    "a world begins at time zero; write a duration such as \"5s\"".to_owned(),
                ));
            }
            DeValue::Array(items) => Kind::List(items.iter().map(Self::new).collect::<Result<_, _>>()?),
            DeValue::Table(table) => {
                let mut entries = Self::members(table)?;
                match &mut entries[..] {
                    [
                        (
                            key,
                            _,
                            Self {
                                kind: Kind::List(items),
                                ..
                            },
                        ),
                    ] if key == "any" => {
                        if items.is_empty() {
                            return Err(unreadable("there is nothing to choose from".to_owned()));
                        }
                        Kind::Any(std::mem::take(items))
                    }
                    _ => Kind::Table(entries),
                }
            }
        };
        Ok(Self { span, kind })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The place of a range that is none, and why.
    pub(super) fn file(table: &Spanned<DeTable<'_>>) -> Result<Self, (Range<usize>, String)> {
        let members = Self::members(table.get_ref())?;
        Ok(Self {
            span: 0..0,
            kind: Kind::Table(members),
        })
    }

    fn members(table: &DeTable<'_>) -> Result<Vec<Member>, (Range<usize>, String)> {
        let member = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            Ok((key.get_ref().to_string(), key.span(), Self::new(value)?))
        };
        table.iter().map(member).collect()
    }

    /// Picks every value.
    pub(super) fn draw(&self, pick: &mut dyn Pick) -> Value {
        match &self.kind {
            Kind::Fixed(value) => value.clone(),
            Kind::Integer { low, high } => low
                .saturating_add_unsigned(pick.up_to(low.abs_diff(*high)))
                .into(),
            Kind::Float { low, high } => {
                // In thousandths of the range, so that what is drawn can be read and written by people.
                let value = low + (high - low) * pick.up_to(1_000) as f64 / 1_000.0;
                Number::from_f64(value).map_or(Value::Null, Value::Number)
            }
            Kind::Time { low, high } => {
                let millis = low.saturating_add_unsigned(pick.up_to(low.abs_diff(*high)));
                let magnitude = humantime::format_duration(Duration::from_millis(millis.unsigned_abs()));
                Value::String(format!("{}{magnitude}", if millis < 0 { "-" } else { "" }))
            }
            Kind::Any(choices) => choices[pick.one_of(choices.len())].draw(pick),
            Kind::List(items) => items.iter().map(|item| item.draw(pick)).collect(),
            Kind::Table(entries) => {
                let drawn = entries
                    .iter()
                    .map(|(key, _, value)| (key.clone(), value.draw(pick)));
                Value::Object(drawn.collect::<Map<_, _>>())
            }
        }
    }

    /// The member of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(name, ..)| name == key)
            .map(|(.., value)| value)
    }

    /// The items of a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    fn entries(&self) -> &[Member] {
        match &self.kind {
            Kind::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The most alternatives that any choice in it has.
    pub(super) fn choices(&self) -> usize {
        match &self.kind {
            Kind::Any(choices) => choices.iter().map(Self::choices).fold(choices.len(), usize::max),
            Kind::List(items) => items.iter().map(Self::choices).fold(1, usize::max),
            Kind::Table(entries) => entries
                .iter()
                .map(|(.., value)| value.choices())
                .fold(1, usize::max),
            _ => 1,
        }
    }

    /// Where a path of keys and places leads, as far as it leads anywhere; `name` is a key there, if the trouble is with one.
    pub(super) fn place(&self, path: &serde_path_to_error::Path, name: Option<&str>) -> Range<usize> {
        use serde_path_to_error::Segment;
        let mut here = self;
        let mut span = self.span.clone();
        for segment in path {
            let next = match segment {
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    let found = here.entries().iter().find(|(name, ..)| name == key);
                    found.map(|(_, key, value)| (key.clone(), value))
                }
                Segment::Seq { index } => here.items().get(*index).map(|item| (item.span.clone(), item)),
                Segment::Unknown => None,
            };
            let Some((place, value)) = next else { break };
            (span, here) = (place, value);
        }
        let named = name.and_then(|name| here.key(name));
        named.unwrap_or(span)
    }

    /// Where a key stands, in this table or in one inside it.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        let entries = self.entries();
        let here = entries
            .iter()
            .find(|(name, ..)| name == key)
            .map(|(_, span, _)| span.clone());
        here.or_else(|| entries.iter().find_map(|(.., value)| value.key(key)))
    }
}

fn range(low: &str, high: &str) -> Result<Kind, String> {
    if let (Ok(low), Ok(high)) = (low.parse(), high.parse()) {
        return ordered(low, high, Kind::Integer { low, high });
    }
    if let (Ok(low), Ok(high)) = (low.parse::<f64>(), high.parse::<f64>()) {
        return ordered(low, high, Kind::Float { low, high });
    }
    let millis = |text: &str| {
        let time: Skew = text
            .parse()
            .map_err(|_| format!("{text:?} is neither a number nor a duration such as \"250ms\""))?;
        Ok::<_, String>(time.as_nanos() / 1_000_000)
    };
    let (low, high) = (millis(low)?, millis(high)?);
    ordered(low, high, Kind::Time { low, high })
}

fn ordered<T: PartialOrd>(low: T, high: T, kind: Kind) -> Result<Kind, String> {
    if low <= high {
        Ok(kind)
    } else {
        Err("the range ends before it begins: write the lower end first".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(text: &str) -> Result<Template, String> {
        let parsed = DeValue::parse(text).expect("TOML");
        Template::new(&parsed).map_err(|(_, message)| message)
    }

    #[test]
    fn ends_of_ranges_and_all_choices_are_drawn() {
        let text = r#"{ a = "1..3", b = "-1s..2500ms", c = { any = ["x", "y"] }, d = [1, "2..2"], e = "0.5..1.5", f = "x" }"#;
        let template = template(text).unwrap();
        assert_eq!(template.choices(), 2);
        let end = |high, choice| template.draw(&mut End { high, choice });
        assert_eq!(
            end(false, 0),
            json!({"a": 1, "b": "-1s", "c": "x", "d": [1, 2], "e": 0.5, "f": "x"})
        );
        assert_eq!(
            end(true, 1),
            json!({"a": 3, "b": "2s 500ms", "c": "y", "d": [1, 2], "e": 1.5, "f": "x"})
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        assert!(template("\"3..1\"").unwrap_err().contains("lower end first"));
        assert!(template("\"1s..soon\"").unwrap_err().contains("soon"));
        assert!(
            template("{ any = [] }")
                .unwrap_err()
                .contains("nothing to choose")
        );
        assert!(template("1979-05-27").unwrap_err().contains("time zero"));
    }

    #[test]
    fn chance_stays_in_the_range() {
        let template = template("\"3..5\"").unwrap();
        let mut stream = sumzero_sim::Seed(7).stream("test");
        let drawn: std::collections::BTreeSet<_> = (0..64)
            .map(|_| template.draw(&mut stream).as_i64().unwrap())
            .collect();
        assert_eq!(Vec::from_iter(drawn), [3, 4, 5]);
    }
}
