//! POSIX regular expressions, as far as the `regex-lite` dialect goes.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result};
use crate::aws::aurora::types::{Array, Type, Value};

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

/// The groups of the first match, or the whole of it when there are none.
fn groups(a: &[Value]) -> Result<Option<Vec<Value>>> {
    let flags = a.get(2).map_or("", |f| f.as_str());
    let regex = compile(a[1].as_str(), flags.contains('i'))?;
    Ok(regex.captures(a[0].as_str()).map(|found| {
        let from = usize::from(found.len() > 1);
        (from..found.len())
            .map(|n| found.get(n).map_or(Value::Null, |m| Value::text(m.as_str())))
            .collect()
    }))
}

fn array(items: Vec<Value>) -> Value {
    Value::Array(std::sync::Arc::new(Array { elem: T, items }))
}

fn matched(a: &[Value]) -> Result<Value> {
    Ok(groups(a)?.map_or(Value::Null, array))
}

fn split(a: &[Value]) -> Result<Value> {
    let flags = a.get(2).map_or("", |f| f.as_str());
    let regex = compile(a[1].as_str(), flags.contains('i'))?;
    Ok(array(regex.split(a[0].as_str()).map(Value::text).collect()))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("regexp_match", &[T, T], Type::TextArray, |_, a| matched(a)),
    Builtin::new("regexp_match", &[T, T, T], Type::TextArray, |_, a| matched(a)),
    Builtin::new("regexp_split_to_array", &[T, T], Type::TextArray, |_, a| split(a)),
    Builtin::new("regexp_split_to_array", &[T, T, T], Type::TextArray, |_, a| {
        split(a)
    }),
    Builtin::new("regexp_like", &[T, T], Type::Bool, |_, a| {
        Ok(Value::Bool(groups(a)?.is_some()))
    }),
    Builtin::new("regexp_like", &[T, T, T], Type::Bool, |_, a| {
        Ok(Value::Bool(groups(a)?.is_some()))
    }),
    Builtin::new("substring", &[T, T], T, |_, a| {
        Ok(groups(a)?
            .and_then(|g| g.into_iter().next())
            .unwrap_or(Value::Null))
    }),
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
