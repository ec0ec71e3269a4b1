//! JSON.

use std::sync::Arc;

use super::{ANY, Builtin};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::types::{Array, Json, Numeric, Type, Value, to_text};

const J: Type = Type::Jsonb;
const T: Type = Type::Text;
const I4: Type = Type::Int4;
const TA: Type = Type::TextArray;
const BOOL: Type = Type::Bool;

const NULL: &Json = &Json::Null;

fn json(v: &Value) -> &Json {
    match v {
        Value::Jsonb(j) => j,
        _ => NULL,
    }
}

fn wrap(j: Option<&Json>) -> Result<Value> {
    Ok(j.map_or(Value::Null, |j| Value::Jsonb(Arc::new(j.clone()))))
}

fn unquoted(j: Option<&Json>) -> Result<Value> {
    Ok(j.and_then(Json::unquoted).map_or(Value::Null, Value::text))
}

fn steps(v: &Value) -> Vec<String> {
    match v {
        Value::Array(a) => a.items.iter().map(to_text).collect(),
        _ => Vec::new(),
    }
}

/// Any value as JSON.
pub(crate) fn to_json(v: &Value) -> Json {
    match v {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int2(_) | Value::Int4(_) | Value::Int8(_) | Value::Oid(_) => {
            Json::Number(Numeric::from_i64(v.as_i64()))
        }
        Value::Numeric(n) if n.special().is_some() => Json::String(n.to_string()),
        Value::Numeric(n) => Json::Number(*n),
        Value::Float4(_) | Value::Float8(_) if !v.as_f64().is_finite() => Json::String(to_text(v)),
        Value::Float4(_) | Value::Float8(_) => match Numeric::parse(&to_text(v)) {
            Ok(n) => Json::Number(n),
            Err(_) => Json::String(to_text(v)),
        },
        Value::Jsonb(j) => (**j).clone(),
        Value::Json(s) => Json::parse(s).unwrap_or(Json::Null),
        Value::Array(a) => Json::Array(a.items.iter().map(to_json).collect()),
        Value::Timestamptz(_) => Json::String(to_text(v).replacen(' ', "T", 1).replace("+00", "+00:00")),
        Value::Timestamp(_) => Json::String(to_text(v).replacen(' ', "T", 1)),
        Value::Record(fields) => {
            let pairs = fields
                .iter()
                .enumerate()
                .map(|(i, f)| (format!("f{}", i + 1), to_json(f)));
            Json::object(pairs.collect())
        }
        other => Json::String(to_text(other)),
    }
}

fn build_object(a: &[Value]) -> Result<Value> {
    if a.len() % 2 == 1 {
        return fail(
            code::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        );
    }
    let mut pairs = Vec::new();
    for pair in a.chunks(2) {
        if pair[0].is_null() {
            return fail(code::INVALID_PARAMETER_VALUE, "argument 1: key must not be null");
        }
        pairs.push((to_text(&pair[0]), to_json(&pair[1])));
    }
    Ok(Value::Jsonb(Arc::new(Json::object(pairs))))
}

fn set(j: &Json, path: &[String], new: &Json, create: bool) -> Json {
    let Some((step, rest)) = path.split_first() else {
        return new.clone();
    };
    match j {
        Json::Object(pairs) => {
            let mut pairs = pairs.clone();
            match pairs.iter_mut().find(|(k, _)| k == step) {
                Some((_, v)) => *v = set(v, rest, new, create),
                None if create && rest.is_empty() => pairs.push((step.clone(), new.clone())),
                None => {}
            }
            Json::object(pairs)
        }
        Json::Array(items) => {
            let mut items = items.clone();
            if let Ok(at) = step.parse::<i64>() {
                let index = if at < 0 { at + items.len() as i64 } else { at };
                match usize::try_from(index).ok().filter(|i| *i < items.len()) {
                    Some(i) => items[i] = set(&items[i], rest, new, create),
                    None if create && rest.is_empty() && at < 0 => items.insert(0, new.clone()),
                    None if create && rest.is_empty() => items.push(new.clone()),
                    None => {}
                }
            }
            Json::Array(items)
        }
        other => other.clone(),
    }
}

/// A value as PostgreSQL's `json` prints it: without blanks.
fn compact(v: &Value) -> String {
    fn print(j: &Json) -> String {
        match j {
            Json::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(",")),
            Json::Object(pairs) => {
                let fields: Vec<String> = pairs
                    .iter()
                    .map(|(k, v)| format!("{}: {}", Json::String(k.clone()), print(v)))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }
            other => other.to_string(),
        }
    }
    match v {
        Value::Json(s) => s.to_string(),
        Value::Jsonb(j) => j.to_string(),
        other => print(&to_json(other)),
    }
}

/// jsonb_insert: before the element the path names, or after it.
fn insert(a: &[Value]) -> Result<Value> {
    fn at(j: &Json, path: &[String], new: &Json, after: bool) -> Json {
        let Some((step, rest)) = path.split_first() else {
            return j.clone();
        };
        match j {
            Json::Object(pairs) => {
                let mut pairs = pairs.clone();
                match pairs.iter_mut().find(|(k, _)| k == step) {
                    Some((_, v)) if !rest.is_empty() => *v = at(v, rest, new, after),
                    None if rest.is_empty() => pairs.push((step.clone(), new.clone())),
                    _ => {}
                }
                Json::object(pairs)
            }
            Json::Array(items) => {
                let mut items = items.clone();
                let Ok(n) = step.parse::<i64>() else {
                    return j.clone();
                };
                let length = items.len() as i64;
                let place = if n < 0 { n + length } else { n };
                if !rest.is_empty() {
                    if let Some(item) = usize::try_from(place).ok().and_then(|p| items.get_mut(p)) {
                        *item = at(item, rest, new, after);
                    }
                } else {
                    let place = (place + i64::from(after)).clamp(0, length);
                    items.insert(place as usize, new.clone());
                }
                Json::Array(items)
            }
            other => other.clone(),
        }
    }
    let Value::Array(path) = &a[1] else {
        return Ok(Value::Null);
    };
    let path: Vec<String> = path.items.iter().map(to_text).collect();
    let after = a.get(3).is_some_and(Value::is_true);
    Ok(Value::Jsonb(Arc::new(at(json(&a[0]), &path, json(&a[2]), after))))
}

fn delete_key(j: &Json, key: &str) -> Json {
    match j {
        Json::Object(pairs) => Json::Object(pairs.iter().filter(|(k, _)| k != key).cloned().collect()),
        Json::Array(items) => Json::Array(
            items
                .iter()
                .filter(|i| !matches!(i, Json::String(s) if s == key))
                .cloned()
                .collect(),
        ),
        other => other.clone(),
    }
}

fn delete_path(j: &Json, path: &[String]) -> Json {
    match (j, path) {
        (_, []) => j.clone(),
        (Json::Object(_), [last]) => delete_key(j, last),
        (Json::Object(pairs), [first, rest @ ..]) => Json::Object(
            pairs
                .iter()
                .map(|(k, v)| {
                    (
                        k.clone(),
                        if k == first {
                            delete_path(v, rest)
                        } else {
                            v.clone()
                        },
                    )
                })
                .collect(),
        ),
        (Json::Array(items), [first, rest @ ..]) => {
            let mut items = items.clone();
            if let Some(at) = first.parse::<usize>().ok().filter(|at| *at < items.len()) {
                if rest.is_empty() {
                    items.remove(at);
                } else {
                    items[at] = delete_path(&items[at], rest);
                }
            }
            Json::Array(items)
        }
        _ => j.clone(),
    }
}

fn has_key(j: &Json, key: &str) -> bool {
    match j {
        Json::Object(_) => j.get(key).is_some(),
        Json::Array(items) => items.iter().any(|i| matches!(i, Json::String(s) if s == key)),
        Json::String(s) => s == key,
        _ => false,
    }
}

fn strip_nulls(j: &Json) -> Json {
    match j {
        Json::Object(pairs) => Json::Object(
            pairs
                .iter()
                .filter(|(_, v)| !matches!(v, Json::Null))
                .map(|(k, v)| (k.clone(), strip_nulls(v)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(strip_nulls).collect()),
        other => other.clone(),
    }
}

fn jsonb(j: Json) -> Result<Value> {
    Ok(Value::Jsonb(Arc::new(j)))
}

fn array_length(a: &[Value]) -> Result<Value> {
    match json(&a[0]) {
        Json::Array(items) => Ok(Value::Int4(items.len() as i32)),
        Json::Object(_) => fail(
            code::INVALID_PARAMETER_VALUE,
            "cannot get array length of a non-array",
        ),
        _ => fail(
            code::INVALID_PARAMETER_VALUE,
            "cannot get array length of a scalar",
        ),
    }
}

/// `json` is parsed on the way in; its operators work on the parsed form.
fn loose(v: &Value) -> Value {
    match v {
        Value::Json(s) => Value::Jsonb(Arc::new(Json::parse(s).unwrap_or(Json::Null))),
        other => other.clone(),
    }
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("->", &[J, T], J, |_, a| wrap(json(&a[0]).get(a[1].as_str()))),
    Builtin::new("->", &[J, I4], J, |_, a| wrap(json(&a[0]).index(a[1].as_i64()))),
    Builtin::new("->>", &[J, T], T, |_, a| unquoted(json(&a[0]).get(a[1].as_str()))),
    Builtin::new("->>", &[J, I4], T, |_, a| {
        unquoted(json(&a[0]).index(a[1].as_i64()))
    }),
    Builtin::new("->>", &[Type::Json, T], T, |_, a| {
        unquoted(json(&loose(&a[0])).get(a[1].as_str()))
    }),
    Builtin::new("->>", &[Type::Json, I4], T, |_, a| {
        unquoted(json(&loose(&a[0])).index(a[1].as_i64()))
    }),
    Builtin::new("#>", &[J, TA], J, |_, a| {
        wrap(json(&a[0]).path(steps(&a[1]).iter().map(String::as_str)))
    }),
    Builtin::new("#>>", &[J, TA], T, |_, a| {
        unquoted(json(&a[0]).path(steps(&a[1]).iter().map(String::as_str)))
    }),
    Builtin::new("#-", &[J, TA], J, |_, a| {
        jsonb(delete_path(json(&a[0]), &steps(&a[1])))
    }),
    Builtin::new("@>", &[J, J], BOOL, |_, a| {
        Ok(Value::Bool(json(&a[0]).contains(json(&a[1]))))
    }),
    Builtin::new("<@", &[J, J], BOOL, |_, a| {
        Ok(Value::Bool(json(&a[1]).contains(json(&a[0]))))
    }),
    Builtin::new("?", &[J, T], BOOL, |_, a| {
        Ok(Value::Bool(has_key(json(&a[0]), a[1].as_str())))
    }),
    Builtin::new("?|", &[J, TA], BOOL, |_, a| {
        Ok(Value::Bool(steps(&a[1]).iter().any(|k| has_key(json(&a[0]), k))))
    }),
    Builtin::new("?&", &[J, TA], BOOL, |_, a| {
        Ok(Value::Bool(steps(&a[1]).iter().all(|k| has_key(json(&a[0]), k))))
    }),
    Builtin::new("||", &[J, J], J, |_, a| {
        jsonb(json(&a[0]).clone().concat(json(&a[1]).clone()))
    }),
    Builtin::new("-", &[J, TA], J, |_, a| {
        let Value::Array(keys) = &a[1] else {
            return Ok(Value::Null);
        };
        let mut out = json(&a[0]).clone();
        for key in keys.items.iter().filter(|k| !k.is_null()) {
            out = delete_key(&out, key.as_str());
        }
        Ok(Value::Jsonb(Arc::new(out)))
    }),
    Builtin::new("jsonb_insert", &[J, TA, J], J, |_, a| insert(a)),
    Builtin::new("jsonb_insert", &[J, TA, J, BOOL], J, |_, a| insert(a)),
    Builtin::new("json_row", &[ANY], Type::Json, |_, a| {
        let fields: Vec<String> = a
            .chunks(2)
            .map(|pair| format!("{}:{}", Json::String(to_text(&pair[0])), compact(&pair[1])))
            .collect();
        Ok(Value::Json(format!("{{{}}}", fields.join(",")).into()))
    })
    .variadic(),
    Builtin::new("-", &[J, T], J, |_, a| {
        jsonb(delete_key(json(&a[0]), a[1].as_str()))
    }),
    Builtin::new("-", &[J, I4], J, |_, a| {
        jsonb(delete_path(json(&a[0]), &[a[1].as_i64().to_string()]))
    }),
    Builtin::new("jsonb_build_object", &[ANY], J, |_, a| build_object(a)).variadic(),
    Builtin::new("json_build_object", &[ANY], Type::Json, |_, a| {
        build_object(a)?;
        let fields: Vec<String> = a
            .chunks(2)
            .map(|pair| format!("{} : {}", Json::String(to_text(&pair[0])), compact(&pair[1])))
            .collect();
        Ok(Value::Json(format!("{{{}}}", fields.join(", ")).into()))
    })
    .variadic(),
    Builtin::new("json_build_array", &[ANY], Type::Json, |_, a| {
        let items: Vec<String> = a.iter().map(compact).collect();
        Ok(Value::Json(format!("[{}]", items.join(", ")).into()))
    })
    .variadic(),
    Builtin::new("jsonb_build_array", &[ANY], J, |_, a| {
        jsonb(Json::Array(a.iter().map(to_json).collect()))
    })
    .variadic(),
    Builtin::new("to_jsonb", &[ANY], J, |_, a| jsonb(to_json(&a[0]))),
    Builtin::new("to_json", &[ANY], Type::Json, |_, a| {
        Ok(Value::Json(to_json(&a[0]).to_string().into()))
    }),
    Builtin::new("jsonb_typeof", &[J], T, |_, a| {
        Ok(Value::text(json(&a[0]).type_name()))
    }),
    Builtin::new("jsonb_array_length", &[J], I4, |_, a| array_length(a)),
    Builtin::new("jsonb_strip_nulls", &[J], J, |_, a| {
        jsonb(strip_nulls(json(&a[0])))
    }),
    Builtin::new("jsonb_set", &[J, TA, J], J, |_, a| {
        jsonb(set(json(&a[0]), &steps(&a[1]), json(&a[2]), true))
    }),
    Builtin::new("jsonb_set", &[J, TA, J, BOOL], J, |_, a| {
        jsonb(set(json(&a[0]), &steps(&a[1]), json(&a[2]), a[3].is_true()))
    }),
    Builtin::new("jsonb_extract_path_text", &[J, T], T, |_, a| {
        let path: Vec<String> = a[1..].iter().map(to_text).collect();
        unquoted(json(&a[0]).path(path.iter().map(String::as_str)))
    })
    .variadic(),
    Builtin::new("jsonb_object_keys_array", &[J], TA, |_, a| {
        let items = match json(&a[0]) {
            Json::Object(pairs) => pairs.iter().map(|(k, _)| Value::text(k)).collect(),
            _ => Vec::new(),
        };
        Ok(Value::Array(Arc::new(Array { elem: T, items })))
    }),
];
