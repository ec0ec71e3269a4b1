//! Arrays.

use std::sync::Arc;

use super::{ANY, ANY_ARRAY, Builtin};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::types::{Array, Type, Value, compare, to_text};

const I4: Type = Type::Int4;
const T: Type = Type::Text;
const TA: Type = Type::TextArray;

fn items(v: &Value) -> &[Value] {
    match v {
        Value::Array(a) => &a.items,
        _ => &[],
    }
}

fn same_elem(v: &Value, items: Vec<Value>) -> Result<Value> {
    let elem = match v {
        Value::Array(a) => a.elem,
        _ => Type::Text,
    };
    Ok(Value::Array(Arc::new(Array { elem, items })))
}

fn has(list: &[Value], v: &Value) -> bool {
    !v.is_null() && list.iter().any(|i| compare(i, v).is_eq())
}

fn length(a: &[Value]) -> Result<Value> {
    let count = items(&a[0]).len() as i32;
    Ok(if a[1].as_i64() == 1 && count > 0 {
        Value::Int4(count)
    } else {
        Value::Null
    })
}

fn to_string(a: &[Value]) -> Result<Value> {
    if a[0].is_null() || a[1].is_null() {
        return Ok(Value::Null);
    }
    let null = a.get(2).filter(|n| !n.is_null()).map(to_text);
    let parts: Vec<String> = items(&a[0])
        .iter()
        .filter_map(|i| {
            if i.is_null() {
                null.clone()
            } else {
                Some(to_text(i))
            }
        })
        .collect();
    Ok(Value::text(parts.join(a[1].as_str())))
}

fn string_to_array(a: &[Value]) -> Result<Value> {
    if a[0].is_null() {
        return Ok(Value::Null);
    }
    let s = a[0].as_str();
    let parts: Vec<Value> = if s.is_empty() {
        Vec::new()
    } else if a[1].is_null() {
        s.chars().map(|c| Value::text(c.to_string())).collect()
    } else if a[1].as_str().is_empty() {
        vec![a[0].clone()]
    } else {
        s.split(a[1].as_str()).map(Value::text).collect()
    };
    Ok(Value::Array(Arc::new(Array {
        elem: T,
        items: parts,
    })))
}

fn append(a: &[Value], at_end: bool) -> Result<Value> {
    let (array, item) = if at_end { (&a[0], &a[1]) } else { (&a[1], &a[0]) };
    let mut list = items(array).to_vec();
    if at_end {
        list.push(item.clone())
    } else {
        list.insert(0, item.clone())
    }
    same_elem(array, list)
}

fn replace(a: &[Value]) -> Result<Value> {
    let same = |i: &Value| {
        i.is_null() && a[1].is_null() || !i.is_null() && !a[1].is_null() && compare(i, &a[1]).is_eq()
    };
    let out = items(&a[0])
        .iter()
        .map(|i| if same(i) { a[2].clone() } else { i.clone() });
    same_elem(&a[0], out.collect())
}

fn positions(a: &[Value]) -> Result<Value> {
    let same = |i: &Value| {
        i.is_null() && a[1].is_null() || !i.is_null() && !a[1].is_null() && compare(i, &a[1]).is_eq()
    };
    let found = items(&a[0]).iter().enumerate().filter(|(_, i)| same(i));
    Ok(Value::Array(Arc::new(Array {
        elem: I4,
        items: found.map(|(n, _)| Value::Int4(n as i32 + 1)).collect(),
    })))
}

/// `array[low:high]`; a NULL bound is open.
fn slice(a: &[Value]) -> Result<Value> {
    let list = items(&a[0]);
    let low = if a[1].is_null() { 1 } else { a[1].as_i64().max(1) };
    let high = if a[2].is_null() {
        list.len() as i64
    } else {
        a[2].as_i64().min(list.len() as i64)
    };
    let part = if low > high {
        &[][..]
    } else {
        &list[low as usize - 1..high as usize]
    };
    same_elem(&a[0], part.to_vec())
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("array_replace", &[ANY_ARRAY, ANY, ANY], ANY_ARRAY, |_, a| {
        replace(a)
    })
    .lax(),
    Builtin::new("array_positions", &[ANY_ARRAY, ANY], Type::Int4Array, |_, a| {
        positions(a)
    })
    .lax(),
    Builtin::new("array slice", &[ANY_ARRAY, I4, I4], ANY_ARRAY, |_, a| slice(a)).lax(),
    Builtin::new("array_length", &[ANY_ARRAY, I4], I4, |_, a| length(a)),
    Builtin::new("array_upper", &[ANY_ARRAY, I4], I4, |_, a| length(a)),
    Builtin::new("array_lower", &[ANY_ARRAY, I4], I4, |_, a| {
        Ok(if items(&a[0]).is_empty() {
            Value::Null
        } else {
            Value::Int4(1)
        })
    }),
    Builtin::new("cardinality", &[ANY_ARRAY], I4, |_, a| {
        Ok(Value::Int4(items(&a[0]).len() as i32))
    }),
    Builtin::new("array_ndims", &[ANY_ARRAY], I4, |_, a| {
        Ok(if items(&a[0]).is_empty() {
            Value::Null
        } else {
            Value::Int4(1)
        })
    }),
    Builtin::new("array_append", &[ANY_ARRAY, ANY], ANY_ARRAY, |_, a| {
        append(a, true)
    })
    .lax(),
    Builtin::new("array_prepend", &[ANY, ANY_ARRAY], ANY_ARRAY, |_, a| {
        append(a, false)
    })
    .lax(),
    Builtin::new("array_cat", &[ANY_ARRAY, ANY_ARRAY], ANY_ARRAY, |_, a| {
        if a[0].is_null() {
            return Ok(a[1].clone());
        }
        same_elem(&a[0], [items(&a[0]), items(&a[1])].concat())
    })
    .lax(),
    Builtin::new("array_remove", &[ANY_ARRAY, ANY], ANY_ARRAY, |_, a| {
        same_elem(
            &a[0],
            items(&a[0])
                .iter()
                .filter(|i| !compare(i, &a[1]).is_eq())
                .cloned()
                .collect(),
        )
    })
    .lax(),
    Builtin::new("array_position", &[ANY_ARRAY, ANY], I4, |_, a| {
        let at = items(&a[0]).iter().position(|i| compare(i, &a[1]).is_eq());
        Ok(at.map_or(Value::Null, |at| Value::Int4(at as i32 + 1)))
    })
    .lax(),
    Builtin::new("array_to_string", &[ANY_ARRAY, T], T, |_, a| to_string(a)).lax(),
    Builtin::new("array_to_string", &[ANY_ARRAY, T, T], T, |_, a| to_string(a)).lax(),
    Builtin::new("string_to_array", &[T, T], TA, |_, a| string_to_array(a)).lax(),
    Builtin::new("array_overlap", &[ANY_ARRAY, ANY_ARRAY], Type::Bool, |_, a| {
        Ok(Value::Bool(items(&a[0]).iter().any(|i| has(items(&a[1]), i))))
    }),
    Builtin::new("array_contains", &[ANY_ARRAY, ANY_ARRAY], Type::Bool, |_, a| {
        Ok(Value::Bool(items(&a[1]).iter().all(|i| has(items(&a[0]), i))))
    }),
    Builtin::new("array_contained", &[ANY_ARRAY, ANY_ARRAY], Type::Bool, |_, a| {
        Ok(Value::Bool(items(&a[0]).iter().all(|i| has(items(&a[1]), i))))
    }),
    Builtin::new("array_fill", &[ANY, Type::Int4Array], ANY_ARRAY, |_, _| {
        fail(code::FEATURE_NOT_SUPPORTED, "array_fill is not supported")
    }),
];
