//! The identity of one item: its table and its primary key, in one canonical spelling.
//!
//! Two requests may spell one key differently (`1`, `1.0`, `1e0`; members in any order), so locks, versions and faults
//! all compare the canonical form.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One item of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemKey {
    /// The table's name.
    pub table: String,
    /// The primary key as DynamoDB JSON, members sorted, numbers in one spelling. It is itself a valid `Key`.
    pub key: String,
}

/// A table's key schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySchema {
    pub(super) hash: String,
    pub(super) range: Option<String>,
}

impl KeySchema {
    pub(super) fn parse(json: &str) -> Option<Self> {
        let elements: Vec<Value> = serde_json::from_str(json).ok()?;
        let of = |kind: &str| {
            let element = elements.iter().find(|element| element["KeyType"] == kind)?;
            element["AttributeName"].as_str().map(str::to_owned)
        };
        Some(Self {
            hash: of("HASH")?,
            range: of("RANGE"),
        })
    }

    /// The key within `attributes`, which may be a whole item. `None` if a key attribute is missing or not of a type
    /// that a key can have: the engine will refuse such a request.
    pub(super) fn item_key(&self, table: &str, attributes: &Value) -> Option<ItemKey> {
        let mut key = Map::new();
        for name in [Some(&self.hash), self.range.as_ref()].into_iter().flatten() {
            let value = attributes.get(name)?.as_object()?;
            let (kind, text) = value.iter().next()?;
            let text = text.as_str()?;
            let text = if kind == "N" {
                canonical_number(text)?
            } else {
                text.to_owned()
            };
            key.insert(
                name.clone(),
                Value::Object(Map::from_iter([(kind.clone(), Value::String(text))])),
            );
        }
        Some(ItemKey {
            table: table.to_owned(),
            key: Value::Object(key).to_string(),
        })
    }
}

impl ItemKey {
    /// The key as the `Key` of a request.
    pub(super) fn attributes(&self) -> Value {
        serde_json::from_str(&self.key).unwrap_or(Value::Null)
    }

    /// The values of the key's attributes, as text.
    pub(super) fn values(&self) -> Vec<String> {
        let attributes = self.attributes();
        let attributes = attributes.as_object().into_iter().flat_map(Map::values);
        let values = attributes.filter_map(Value::as_object).flat_map(Map::values);
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// One spelling for each number: digits without leading or trailing zeros, and a power of ten.
fn canonical_number(text: &str) -> Option<String> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power = exponent - fraction.len() as i64;
    let trimmed = digits.trim_start_matches('0');
    let significant = trimmed.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let power = power + (trimmed.len() - significant.len()) as i64;
    let sign = if negative { "-" } else { "" };
    Some(match power {
        0 => format!("{sign}{significant}"),
        1..=37 => format!("{sign}{significant}{}", "0".repeat(power as usize)),
        _ => format!("{sign}{significant}E{power}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_number_has_one_spelling() {
        for same in [
            &["1", "1.0", "01", "1e0", "10e-1", "+1"][..],
            &["0", "-0", "0.00", "0e7"],
            &["-120", "-1.2e2", "-1200E-1"],
            &["0.5", ".5", "5e-1", "5E-1"],
        ] {
            let spellings: Vec<_> = same.iter().map(|text| canonical_number(text)).collect();
            assert!(
                spellings
                    .iter()
                    .all(|spelling| spelling.is_some() && *spelling == spellings[0]),
                "{spellings:?}"
            );
        }
        assert_ne!(canonical_number("1"), canonical_number("10"));
        assert_eq!(canonical_number("one"), None);
    }

    #[test]
    fn a_key_is_found_in_an_item_whatever_the_order() {
        let schema = KeySchema::parse(
            r#"[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]"#,
        )
        .expect("schema");
        let one = schema.item_key(
            "t",
            &json!({"n": {"N": "1.0"}, "x": {"S": "y"}, "pk": {"S": "a"}}),
        );
        let other = schema.item_key("t", &json!({"pk": {"S": "a"}, "n": {"N": "1"}}));
        assert_eq!(one, other);
        let key = one.expect("key");
        assert_eq!(key.key, r#"{"n":{"N":"1"},"pk":{"S":"a"}}"#);
        assert_eq!(key.values(), ["1", "a"]);
        assert_eq!(schema.item_key("t", &json!({"pk": {"S": "a"}})), None);
    }
}
