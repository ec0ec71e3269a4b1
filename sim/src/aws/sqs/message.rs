//! One message: what may be in it, how large it counts, and the MD5 digests by which a client checks that it arrived.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Error;

/// Attributes a message may carry.
pub const ATTRIBUTES_MAX: usize = 10;

/// A message attribute as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, with an optional label after a dot.
    #[serde(default)]
    pub data_type: String,
    /// The value of a `String` or a `Number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a `Binary`, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// What a producer sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The text.
    pub body: String,
    /// The caller's attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// `AWSTraceHeader`, the only system attribute there is.
    pub system_attributes: BTreeMap<String, Attribute>,
    /// Seconds until it can be received; the queue's own delay if none.
    pub delay_seconds: Option<i64>,
    /// FIFO: the group whose order it keeps. Standard: carried, without effect.
    pub group: Option<String>,
    /// FIFO: the deduplication id.
    pub deduplication: Option<String>,
}

impl Outgoing {
    /// A message with this body and nothing else.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// The bytes that count against the message size: body, attribute names, types and values.
    pub fn size(&self) -> usize {
        let of = |(name, a): (&String, &Attribute)| {
            name.len() + a.data_type.len() + a.bytes().map_or(0, |(_, bytes)| bytes.len())
        };
        self.body.len() + self.attributes.iter().map(of).sum::<usize>()
    }

    /// Refuses what AWS refuses in the message itself, whatever the queue.
    pub fn check(&self) -> Result<(), Error> {
        if self.body.is_empty() {
            return Err(Error::MissingParameter("MessageBody"));
        }
        if !self.body.chars().all(carried) {
            return Err(Error::InvalidMessageContents);
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(invalid(format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                self.attributes.len()
            )));
        }
        for (name, attribute) in &self.attributes {
            check_attribute_name(name)?;
            attribute.check(name)?;
        }
        for (name, attribute) in &self.system_attributes {
            if name != "AWSTraceHeader" {
                return Err(invalid(format!(
                    "Message system attribute name '{name}' is invalid. Must be AWSTraceHeader."
                )));
            }
            attribute.check(name)?;
            if attribute.data_type != "String" {
                return Err(invalid("The type of AWSTraceHeader must be String.".to_owned()));
            }
        }
        Ok(())
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidParameterValue(reason)
}

fn carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

fn check_attribute_name(name: &str) -> Result<(), Error> {
    let lower = name.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let good = (1..=256).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if good {
        Ok(())
    } else {
        Err(invalid(format!("Message attribute name '{name}' is invalid.")))
    }
}

impl Attribute {
    /// The value's bytes, and the tag that the digest puts before them.
    fn bytes(&self) -> Option<(u8, Vec<u8>)> {
        if self.data_type.starts_with("Binary") {
            Some((2, STANDARD.decode(self.binary_value.as_ref()?).ok()?))
        } else {
            Some((1, self.string_value.as_ref()?.as_bytes().to_vec()))
        }
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let base = self.data_type.split('.').next().unwrap_or_default();
        if self.data_type.is_empty() {
            return Err(invalid(format!(
                "The message attribute '{name}' must contain a non-empty attribute type."
            )));
        }
        if !matches!(base, "String" | "Number" | "Binary") || self.data_type.len() > 256 {
            return Err(invalid(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
                 prefixes is Binary, Number, and String."
            )));
        }
        let Some((_, bytes)) = self.bytes().filter(|(_, bytes)| !bytes.is_empty()) else {
            return Err(invalid(format!(
                "The message attribute '{name}' must contain a non-empty message attribute value for message \
                 attribute type '{base}'."
            )));
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        if base == "Number" && text.parse::<f64>().is_err() {
            return Err(invalid(format!(
                "Can't cast the value of message attribute '{name}' to a number."
            )));
        }
        if base == "String" && !text.chars().all(carried) {
            return Err(Error::InvalidMessageContents);
        }
        Ok(())
    }
}

/// The lower-case hexadecimal MD5 of a body.
pub fn md5_of_body(body: &str) -> String {
    hex(&Md5::digest(body.as_bytes()))
}

/// The MD5 that AWS defines over attributes in the order of their names; none for none.
pub fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>,
) -> Option<String> {
    let mut digest = Md5::new();
    let mut any = false;
    for (name, attribute) in attributes {
        any = true;
        let (tag, bytes) = attribute.bytes().unwrap_or((1, Vec::new()));
        for part in [name.as_bytes(), attribute.data_type.as_bytes()] {
            digest.update((part.len() as u32).to_be_bytes());
            digest.update(part);
        }
        digest.update([tag]);
        digest.update((bytes.len() as u32).to_be_bytes());
        digest.update(&bytes);
    }
    any.then(|| hex(&digest.finalize()))
}

/// The deduplication id that `ContentBasedDeduplication` derives: SHA-256 of the body, attributes left out.
pub fn content_deduplication(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Attribute {
        Attribute {
            data_type: "String".into(),
            string_value: Some(value.into()),
            binary_value: None,
        }
    }

    #[test]
    fn digests_are_those_of_aws() {
        assert_eq!(md5_of_body("hello"), "5d41402abc4b2a76b9719d911017c592");
        // The worked example of the SQS developer guide's digest algorithm, as its public SDKs test it.
        let attributes = BTreeMap::from([(
            "timestamp".to_owned(),
            Attribute {
                data_type: "Number".into(),
                string_value: Some("1493147359900".into()),
                binary_value: None,
            },
        )]);
        assert_eq!(
            md5_of_attributes(&attributes).as_deref(),
            Some("235c5c510d26fb653d073faed50ae77c")
        );
        assert_eq!(md5_of_attributes(&BTreeMap::new()), None);
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        let with = |name: &str, a: Attribute| Outgoing {
            attributes: BTreeMap::from([(name.to_owned(), a)]),
            ..Outgoing::new("x")
        };
        assert!(with("ok.name-1", text("v")).check().is_ok());
        for name in ["", ".a", "a.", "a..b", "AWS.x", "amazon.x", "sp ace"] {
            assert!(with(name, text("v")).check().is_err(), "{name:?}");
        }
        assert!(
            with(
                "n",
                Attribute {
                    data_type: "Number".into(),
                    ..text("abc")
                }
            )
            .check()
            .is_err()
        );
        assert!(
            with(
                "n",
                Attribute {
                    data_type: "Number.int".into(),
                    ..text("12")
                }
            )
            .check()
            .is_ok()
        );
        assert!(
            with(
                "n",
                Attribute {
                    data_type: "Object".into(),
                    ..text("12")
                }
            )
            .check()
            .is_err()
        );
        assert!(with("n", text("")).check().is_err());
        assert_eq!(
            Outgoing::new("").check(),
            Err(Error::MissingParameter("MessageBody"))
        );
        assert_eq!(
            Outgoing::new("a\u{1}").check(),
            Err(Error::InvalidMessageContents)
        );
        assert_eq!(
            Outgoing::new("a\u{fffe}").check(),
            Err(Error::InvalidMessageContents)
        );
    }

    #[test]
    fn attributes_count_towards_the_size() {
        let mut message = Outgoing::new("12345");
        message.attributes.insert("name".into(), text("value"));
        assert_eq!(message.size(), 5 + 4 + 6 + 5);
    }
}
