//! One event: the entry a producer puts, and the envelope that patterns see and targets get.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::EntryError;
use crate::aws::wire::basic_iso8601;

/// An entry of a `PutEvents`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Entry {
    /// When it happened, in seconds since 1970; when it arrives if none.
    pub time: Option<f64>,
    /// Who says so. Not `aws.` anything.
    pub source: Option<String>,
    /// ARNs it is about.
    pub resources: Vec<String>,
    /// What kind of event.
    pub detail_type: Option<String>,
    /// A JSON object, as text.
    pub detail: Option<String>,
    /// The bus, by name or ARN; `default` if none.
    pub event_bus_name: Option<String>,
    /// Carried in AWS; here without effect.
    pub trace_header: Option<String>,
}

/// An accepted event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The id that EventBridge gave it; another one for the same entry put again.
    pub id: String,
    /// The envelope as text, the detail byte for byte as it was put.
    pub text: String,
    /// The envelope, to match patterns against.
    pub value: Value,
}

impl Entry {
    /// The bytes that count against the limit of a request.
    pub fn size(&self) -> usize {
        let text = |part: &Option<String>| part.as_ref().map_or(0, String::len);
        let time = if self.time.is_some() { 14 } else { 0 };
        let resources: usize = self.resources.iter().map(String::len).sum();
        time + text(&self.source) + text(&self.detail_type) + text(&self.detail) + resources
    }

    /// Refuses what EventBridge refuses of an entry, and makes the event.
    ///
    /// # Errors
    /// As one of a request's entries fails.
    pub fn accept(
        &self,
        id: String,
        region: &str,
        account: &str,
        wall: Duration,
    ) -> Result<Event, EntryError> {
        let required = |part: &Option<String>, name: &str| {
            part.clone().filter(|text| !text.is_empty()).ok_or_else(|| {
                let message =
                    format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
                EntryError::new("InvalidArgument", message)
            })
        };
        let source = required(&self.source, "Source")?;
        let kind = required(&self.detail_type, "DetailType")?;
        let detail_text = required(&self.detail, "Detail")?;
        if source.starts_with("aws.") {
            return Err(EntryError::new(
                "NotAuthorizedForSource",
                "Not authorized for the source.",
            ));
        }
        for (name, text, max) in [("Source", &source, 256), ("DetailType", &kind, 128)] {
            if text.chars().count() > max {
                let message = format!("Parameter {name} is not valid. Reason: longer than {max} characters.");
                return Err(EntryError::new("InvalidArgument", message));
            }
        }
        let detail: Value = match serde_json::from_str(&detail_text) {
            Ok(detail @ Value::Object(_)) => detail,
            _ => return Err(EntryError::new("MalformedDetail", "Detail is malformed.")),
        };
        let since = self
            .time
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(wall);
        let time = extended_iso8601(SystemTime::UNIX_EPOCH + since);
        let quote = |text: &str| Value::from(text).to_string();
        let text = format!(
            r#"{{"version":"0","id":"{id}","detail-type":{},"source":{},"account":"{account}","time":"{time}","region":"{region}","resources":{},"detail":{}}}"#,
            quote(&kind),
            quote(&source),
            json!(self.resources),
            detail_text.trim(),
        );
        let value = json!({
            "version": "0",
            "id": id,
            "detail-type": kind,
            "source": source,
            "account": account,
            "time": time,
            "region": region,
            "resources": self.resources,
            "detail": detail,
        });
        Ok(Event { id, text, value })
    }
}

/// `2026-11-21T12:00:00Z`.
fn extended_iso8601(time: SystemTime) -> String {
    let basic = basic_iso8601(time);
    let part = |range: std::ops::Range<usize>| basic.get(range).unwrap_or_default().to_owned();
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(9..11),
        part(11..13),
        part(13..15)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> Entry {
        Entry {
            source: Some("shop".into()),
            detail_type: Some("Paid".into()),
            detail: Some(detail.into()),
            ..Entry::default()
        }
    }

    #[test]
    fn the_detail_is_kept_as_it_was_written() {
        let detail = r#"{"z":1,"a":12345678901234567890.10,"a":2}"#;
        let event = entry(detail)
            .accept("id".into(), "us-east-1", "1", Duration::from_secs(0))
            .expect("event");
        assert!(
            event.text.ends_with(&format!(r#""detail":{detail}}}"#)),
            "{}",
            event.text
        );
        assert!(
            event.text.contains(r#""time":"1970-01-01T00:00:00Z""#),
            "{}",
            event.text
        );
        let parsed: Value = serde_json::from_str(&event.text).expect("JSON");
        assert_eq!(parsed["detail-type"], event.value["detail-type"]);
    }

    #[test]
    fn bad_entries_have_the_codes_of_aws() {
        let code = |entry: Entry| {
            entry
                .accept("id".into(), "us-east-1", "1", Duration::ZERO)
                .expect_err("refused")
                .code
        };
        assert_eq!(
            code(Entry {
                source: None,
                ..entry("{}")
            }),
            "InvalidArgument"
        );
        assert_eq!(
            code(Entry {
                source: Some("aws.s3".into()),
                ..entry("{}")
            }),
            "NotAuthorizedForSource"
        );
        for detail in ["{", "[]", "1", "\"x\""] {
            assert_eq!(code(entry(detail)), "MalformedDetail");
        }
    }
}
