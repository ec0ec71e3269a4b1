//! POSIX regular expressions, as far as the `regex-lite` dialect goes.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result};
use crate::aws::aurora::types::{Type, Value};

const T: Type = Type::Text;

fn compile(pattern: &str, fold: bool) -> Result<regex_lite::Regex> {
    regex_lite::RegexBuilder::new(pattern)
        .case_insensitive(fold)
        .build()
        .map_err(|e| Error::new("2201B", format!("invalid regular expression: {e}")))
}

fn replace(a: &[Value]) -> Result<Value> {
    let flags = a.get(3).map_or("", |f| f.as_str());
    let regex = compile(a[1].as_str(), flags.contains('i'))?;
    let with = a[2].as_str().replace('$', "$$");
    let mut template = String::new();
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(d @ '1'..='9') => template.push_str(&format!("${{{d}}}")),
                Some('&') => template.push_str("${0}"),
                Some(other) => template.push(other),
                None => template.push('\\'),
            },
            c => template.push(c),
        }
    }
    let s = a[0].as_str();
    Ok(Value::text(if flags.contains('g') {
        regex.replace_all(s, template.as_str())
    } else {
        regex.replace(s, template.as_str())
    }))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("~", &[T, T], Type::Bool, |_, a| {
        Ok(Value::Bool(
            compile(a[1].as_str(), false)?.is_match(a[0].as_str()),
        ))
    }),
    Builtin::new("~*", &[T, T], Type::Bool, |_, a| {
        Ok(Value::Bool(compile(a[1].as_str(), true)?.is_match(a[0].as_str())))
    }),
    Builtin::new("regexp_replace", &[T, T, T], T, |_, a| replace(a)),
    Builtin::new("regexp_replace", &[T, T, T, T], T, |_, a| replace(a)),
];
