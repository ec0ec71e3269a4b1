//! Arrays of one dimension.

use super::{Type, Value, decode_text, to_text};
use crate::aws::aurora::error::{Error, Result, code, unsupported};

/// A one-dimensional array, numbered from 1.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// Type of the elements.
    pub elem: Type,
    /// The elements.
    pub items: Vec<Value>,
}

/// Parses `{a,"b c",NULL}`.
pub(crate) fn parse(input: &str, elem: Type, typmod: i32, now: i64) -> Result<Array> {
    let bad = |why: &str| {
        Error::new(
            code::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{input}\""),
        )
        .detail(why.to_string())
    };
    let s = input.trim();
    if s.starts_with('[') {
        return unsupported("an array literal with explicit bounds");
    }
    let Some(inner) = s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
        return Err(bad("Array value must start with \"{\" or dimension information."));
    };
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Ok(Array { elem, items });
    }
    let mut chars = inner.chars().peekable();
    loop {
        while chars.peek().is_some_and(|c| c.is_whitespace()) {
            chars.next();
        }
        let (mut word, mut quoted) = (String::new(), false);
        match chars.peek() {
            Some('{') => return unsupported("a multidimensional array"),
            Some('"') => {
                quoted = true;
                chars.next();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(chars.next()),
                        Some(c) => word.push(c),
                        None => return Err(bad("Unexpected end of input.")),
                    }
                }
                while chars.peek().is_some_and(|c| c.is_whitespace()) {
                    chars.next();
                }
            }
            _ => {
                while let Some(c) = chars.next_if(|c| *c != ',') {
                    match c {
                        '\\' => word.extend(chars.next()),
                        '{' | '}' | '"' => return Err(bad(&format!("Unexpected \"{c}\" character."))),
                        c => word.push(c),
                    }
                }
                word.truncate(word.trim_end().len());
                if word.is_empty() {
                    return Err(bad("Unexpected \",\" character."));
                }
            }
        }
        items.push(if !quoted && word.eq_ignore_ascii_case("null") {
            Value::Null
        } else {
            decode_text(&word, elem, typmod, now)?
        });
        match chars.next() {
            Some(',') => {}
            None => return Ok(Array { elem, items }),
            Some(_) => return Err(bad("Unexpected array element.")),
        }
    }
}

impl Array {
    /// The text form.
    pub(crate) fn text(&self) -> String {
        let mut out = String::from("{");
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            if item.is_null() {
                out.push_str("NULL");
                continue;
            }
            let text = to_text(item);
            let plain = !text.is_empty()
                && !text.eq_ignore_ascii_case("null")
                && !text.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}' | '"' | '\\'));
            if plain {
                out.push_str(&text);
            } else {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
        out.push('}');
        out
    }
}
