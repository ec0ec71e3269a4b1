//! Strings and bytes.

use super::{ANY, Builtin};
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::exec::Ctx;
use crate::aws::aurora::types::{Type, Value, quote_ident, to_text};

const T: Type = Type::Text;
const I4: Type = Type::Int4;
const B: Type = Type::Bytea;
const BOOL: Type = Type::Bool;

fn text(s: impl AsRef<str>) -> Result<Value> {
    Ok(Value::text(s))
}

fn bytes(v: &Value) -> &[u8] {
    match v {
        Value::Bytea(b) => b,
        _ => &[],
    }
}

/// LIKE with one escape character; `%` and `_` as usual.
pub(super) fn like(s: &[char], p: &[char], escape: Option<char>) -> Result<bool> {
    let (mut si, mut pi) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let matched = match p.get(pi) {
            Some('%') if escape != Some('%') => {
                retry = Some((pi + 1, si));
                pi += 1;
                continue;
            }
            Some(c) if Some(*c) == escape => {
                let Some(literal) = p.get(pi + 1) else {
                    return fail("22025", "LIKE pattern must not end with escape character");
                };
                let hit = s.get(si) == Some(literal);
                if hit {
                    pi += 1;
                }
                hit
            }
            Some('_') => si < s.len(),
            Some(c) => s.get(si) == Some(c),
            None if si == s.len() => return Ok(true),
            None => false,
        };
        if matched {
            si += 1;
            pi += 1;
        } else if let Some((at, from)) = retry
            && from < s.len()
        {
            retry = Some((at, from + 1));
            (pi, si) = (at, from + 1);
        } else {
            return Ok(false);
        }
    }
}

fn like_call(a: &[Value], fold: bool) -> Result<Value> {
    let chars = |v: &Value| -> Vec<char> {
        if fold {
            v.as_str().to_ascii_lowercase().chars().collect()
        } else {
            v.as_str().chars().collect()
        }
    };
    let escape = match a.get(2) {
        None => Some('\\'),
        Some(e) => {
            let mut it = e.as_str().chars();
            let first = it.next();
            if it.next().is_some() {
                return fail("22025", "invalid escape string");
            }
            first
        }
    };
    Ok(Value::Bool(like(&chars(&a[0]), &chars(&a[1]), escape)?))
}

fn substring(s: &str, from: i64, count: Option<i64>) -> Result<Value> {
    if count.is_some_and(|c| c < 0) {
        return fail("22011", "negative substring length not allowed");
    }
    let end = count.map_or(i64::MAX, |c| from.saturating_add(c));
    let start = from.max(1);
    let out: String = s
        .chars()
        .skip((start - 1) as usize)
        .take(end.saturating_sub(start).max(0) as usize)
        .collect();
    text(out)
}

fn pad(a: &[Value], left: bool) -> Result<Value> {
    let (s, n) = (a[0].as_str(), a[1].as_i64().clamp(0, 10_000_000) as usize);
    let fill: Vec<char> = a.get(2).map_or(" ", |f| f.as_str()).chars().collect();
    let chars: Vec<char> = s.chars().collect();
    if chars.len() >= n || fill.is_empty() {
        return text(chars.into_iter().take(n).collect::<String>());
    }
    let padding: String = fill.iter().cycle().take(n - chars.len()).collect();
    text(if left {
        format!("{padding}{s}")
    } else {
        format!("{s}{padding}")
    })
}

fn trim(a: &[Value], left: bool, right: bool) -> Result<Value> {
    let set: Vec<char> = a.get(1).map_or(" ", |c| c.as_str()).chars().collect();
    let mut s = a[0].as_str();
    if left {
        s = s.trim_start_matches(|c| set.contains(&c));
    }
    if right {
        s = s.trim_end_matches(|c| set.contains(&c));
    }
    text(s)
}

fn initcap(s: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if start {
            out.push(c.to_ascii_uppercase())
        } else {
            out.push(c.to_ascii_lowercase())
        }
        start = !c.is_alphanumeric();
    }
    out
}

fn split_part(a: &[Value]) -> Result<Value> {
    let (s, by, n) = (a[0].as_str(), a[1].as_str(), a[2].as_i64());
    if n == 0 {
        return fail(code::INVALID_PARAMETER_VALUE, "field position must not be zero");
    }
    let parts: Vec<&str> = if by.is_empty() {
        vec![s]
    } else {
        s.split(by).collect()
    };
    let at = if n > 0 { n - 1 } else { parts.len() as i64 + n };
    text(
        usize::try_from(at)
            .ok()
            .and_then(|at| parts.get(at))
            .copied()
            .unwrap_or(""),
    )
}

fn format(a: &[Value]) -> Result<Value> {
    if a[0].is_null() {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let mut args = a[1..].iter();
    let mut chars = a[0].as_str().chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut kind = chars.next();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        // %2$s: the second argument, and from there on.
        let mut digits = String::new();
        while let Some(d) = kind.filter(char::is_ascii_digit) {
            digits.push(d);
            kind = chars.next();
        }
        if kind == Some('$') && !digits.is_empty() {
            let n: usize = digits.parse().unwrap_or(usize::MAX);
            args = a.get(n..).unwrap_or_default().iter();
            kind = chars.next();
        } else if !digits.is_empty() {
            return crate::aws::aurora::error::unsupported("a width in format()");
        }
        let Some(arg) = args.next() else {
            return fail(code::INVALID_PARAMETER_VALUE, "too few arguments for format()");
        };
        match kind {
            Some('s') => out.push_str(&to_text(arg)),
            Some('I') if arg.is_null() => {
                return fail("22004", "null values cannot be formatted as an SQL identifier");
            }
            Some('I') => out.push_str(&quote_ident(&to_text(arg))),
            Some('L') => out.push_str(&quote_literal(arg)),
            other => {
                let shown = other.map_or(String::new(), String::from);
                return fail(
                    code::INVALID_PARAMETER_VALUE,
                    format!("unrecognized format() type specifier \"{shown}\""),
                );
            }
        }
    }
    text(out)
}

fn quote_literal(v: &Value) -> String {
    if v.is_null() {
        return "NULL".into();
    }
    let s = to_text(v);
    let escaped = s.replace('\'', "''");
    if s.contains('\\') {
        format!("E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}

/// A value as a cast to text spells it: booleans in full.
fn spelled(v: &Value) -> String {
    match v {
        Value::Bool(b) => b.to_string(),
        other => to_text(other),
    }
}

fn overlay(a: &[Value]) -> Result<Value> {
    let (s, with) = (a[0].as_str(), a[1].as_str());
    let from = a[2].as_i64();
    let count = a.get(3).map_or(with.chars().count() as i64, Value::as_i64);
    if from < 1 {
        return fail("22011", "negative substring length not allowed");
    }
    let head: String = s.chars().take(from as usize - 1).collect();
    let tail: String = s.chars().skip((from - 1 + count).max(0) as usize).collect();
    text(format!("{head}{with}{tail}"))
}

fn slice(a: &[Value]) -> Result<Value> {
    let data = bytes(&a[0]);
    let from = a[1].as_i64();
    let count = a.get(2).map(Value::as_i64);
    if count.is_some_and(|c| c < 0) {
        return fail("22011", "negative substring length not allowed");
    }
    let end = count.map_or(i64::MAX, |c| from.saturating_add(c)) - 1;
    let place = |n: i64| n.clamp(0, data.len() as i64) as usize;
    let (start, end) = (place(from - 1), place(end));
    Ok(Value::Bytea(data[start..end.max(start)].into()))
}

fn byte_index(a: &[Value]) -> Result<usize> {
    let (length, at) = (bytes(&a[0]).len(), a[1].as_i64());
    match usize::try_from(at).ok().filter(|at| *at < length) {
        Some(at) => Ok(at),
        None => fail(
            code::ARRAY_SUBSCRIPT_ERROR,
            format!("index {at} out of valid range, 0..{}", length as i64 - 1),
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encode(a: &[Value]) -> Result<Value> {
    let data = bytes(&a[0]);
    match a[1].as_str() {
        "hex" => text(hex(data)),
        "base64" => {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let mut out = String::new();
            for chunk in data.chunks(3) {
                let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
                for i in 0..4 {
                    if i <= chunk.len() {
                        out.push(ALPHABET[(n >> (18 - 6 * i) & 63) as usize] as char);
                    } else {
                        out.push('=');
                    }
                }
            }
            text(out)
        }
        other => fail(
            code::INVALID_PARAMETER_VALUE,
            format!("unrecognized encoding: \"{other}\""),
        ),
    }
}

fn decode(a: &[Value]) -> Result<Value> {
    let s = a[0].as_str();
    match a[1].as_str() {
        "hex" => crate::aws::aurora::types::decode_text(&format!("\\x{s}"), B, -1, 0),
        "base64" => {
            let mut out = Vec::new();
            let (mut bits, mut count) = (0u32, 0);
            for c in s.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
                let v = match c {
                    b'A'..=b'Z' => c - b'A',
                    b'a'..=b'z' => c - b'a' + 26,
                    b'0'..=b'9' => c - b'0' + 52,
                    b'+' => 62,
                    b'/' => 63,
                    _ => {
                        return fail(
                            code::INVALID_PARAMETER_VALUE,
                            "invalid symbol found while decoding base64 sequence",
                        );
                    }
                };
                bits = bits << 6 | u32::from(v);
                count += 6;
                if count >= 8 {
                    count -= 8;
                    out.push((bits >> count) as u8);
                }
            }
            Ok(Value::Bytea(out.into()))
        }
        other => fail(
            code::INVALID_PARAMETER_VALUE,
            format!("unrecognized encoding: \"{other}\""),
        ),
    }
}

/// A stable 32-bit hash; PostgreSQL's own function gives other numbers.
fn hashtext(s: &str) -> i32 {
    s.bytes().fold(0x811c_9dc5u32, |h, b| {
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    }) as i32
}

fn repeat(a: &[Value]) -> Result<Value> {
    let (s, n) = (a[0].as_str(), a[1].as_i64().max(0) as usize);
    if s.len().saturating_mul(n) > 256 << 20 {
        return Err(Error::new(
            code::PROGRAM_LIMIT_EXCEEDED,
            "requested length too large",
        ));
    }
    text(s.repeat(n))
}

fn concat(_: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    text(a.iter().map(to_text).collect::<String>())
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("~~", &[T, T], BOOL, |_, a| like_call(a, false)),
    Builtin::new("~~", &[T, T, T], BOOL, |_, a| like_call(a, false)),
    Builtin::new("~~*", &[T, T], BOOL, |_, a| like_call(a, true)),
    Builtin::new("~~*", &[T, T, T], BOOL, |_, a| like_call(a, true)),
    Builtin::new("||", &[T, T], T, |_, a| {
        text(format!("{}{}", a[0].as_str(), a[1].as_str()))
    }),
    Builtin::new("||", &[B, B], B, |_, a| {
        Ok(Value::Bytea([bytes(&a[0]), bytes(&a[1])].concat().into()))
    }),
    Builtin::new("overlay", &[T, T, I4], T, |_, a| overlay(a)),
    Builtin::new("overlay", &[T, T, I4, I4], T, |_, a| overlay(a)),
    Builtin::new("substring", &[B, I4], B, |_, a| slice(a)),
    Builtin::new("substring", &[B, I4, I4], B, |_, a| slice(a)),
    Builtin::new("get_byte", &[B, I4], I4, |_, a| {
        let at = byte_index(a)?;
        Ok(Value::Int4(bytes(&a[0])[at].into()))
    }),
    Builtin::new("set_byte", &[B, I4, I4], B, |_, a| {
        let at = byte_index(a)?;
        let mut out = bytes(&a[0]).to_vec();
        out[at] = a[2].as_i64() as u8;
        Ok(Value::Bytea(out.into()))
    }),
    Builtin::new("||", &[T, ANY], T, |_, a| {
        text(format!("{}{}", a[0].as_str(), spelled(&a[1])))
    }),
    Builtin::new("||", &[ANY, T], T, |_, a| {
        text(format!("{}{}", spelled(&a[0]), a[1].as_str()))
    }),
    Builtin::new("length", &[T], I4, |_, a| {
        Ok(Value::Int4(a[0].as_str().chars().count() as i32))
    }),
    Builtin::new("length", &[B], I4, |_, a| {
        Ok(Value::Int4(bytes(&a[0]).len() as i32))
    }),
    Builtin::new("char_length", &[T], I4, |_, a| {
        Ok(Value::Int4(a[0].as_str().chars().count() as i32))
    }),
    Builtin::new("character_length", &[T], I4, |_, a| {
        Ok(Value::Int4(a[0].as_str().chars().count() as i32))
    }),
    Builtin::new("octet_length", &[T], I4, |_, a| {
        Ok(Value::Int4(a[0].as_str().len() as i32))
    }),
    Builtin::new("octet_length", &[B], I4, |_, a| {
        Ok(Value::Int4(bytes(&a[0]).len() as i32))
    }),
    Builtin::new("lower", &[T], T, |_, a| text(a[0].as_str().to_ascii_lowercase())),
    Builtin::new("upper", &[T], T, |_, a| text(a[0].as_str().to_ascii_uppercase())),
    Builtin::new("initcap", &[T], T, |_, a| text(initcap(a[0].as_str()))),
    Builtin::new("substring", &[T, I4], T, |_, a| {
        substring(a[0].as_str(), a[1].as_i64(), None)
    }),
    Builtin::new("substring", &[T, I4, I4], T, |_, a| {
        substring(a[0].as_str(), a[1].as_i64(), Some(a[2].as_i64()))
    }),
    Builtin::new("substr", &[T, I4], T, |_, a| {
        substring(a[0].as_str(), a[1].as_i64(), None)
    }),
    Builtin::new("substr", &[T, I4, I4], T, |_, a| {
        substring(a[0].as_str(), a[1].as_i64(), Some(a[2].as_i64()))
    }),
    Builtin::new("left", &[T, I4], T, |_, a| {
        let (s, n) = (a[0].as_str(), a[1].as_i64());
        let count = if n >= 0 {
            n
        } else {
            (s.chars().count() as i64 + n).max(0)
        };
        text(s.chars().take(count as usize).collect::<String>())
    }),
    Builtin::new("right", &[T, I4], T, |_, a| {
        let (s, n) = (a[0].as_str(), a[1].as_i64());
        let len = s.chars().count() as i64;
        let skip = if n >= 0 { (len - n).max(0) } else { -n };
        text(s.chars().skip(skip as usize).collect::<String>())
    }),
    Builtin::new("lpad", &[T, I4], T, |_, a| pad(a, true)),
    Builtin::new("lpad", &[T, I4, T], T, |_, a| pad(a, true)),
    Builtin::new("rpad", &[T, I4], T, |_, a| pad(a, false)),
    Builtin::new("rpad", &[T, I4, T], T, |_, a| pad(a, false)),
    Builtin::new("btrim", &[T], T, |_, a| trim(a, true, true)),
    Builtin::new("btrim", &[T, T], T, |_, a| trim(a, true, true)),
    Builtin::new("trim", &[T], T, |_, a| trim(a, true, true)),
    Builtin::new("ltrim", &[T], T, |_, a| trim(a, true, false)),
    Builtin::new("ltrim", &[T, T], T, |_, a| trim(a, true, false)),
    Builtin::new("rtrim", &[T], T, |_, a| trim(a, false, true)),
    Builtin::new("rtrim", &[T, T], T, |_, a| trim(a, false, true)),
    Builtin::new("replace", &[T, T, T], T, |_, a| {
        let (s, from) = (a[0].as_str(), a[1].as_str());
        text(if from.is_empty() {
            s.to_string()
        } else {
            s.replace(from, a[2].as_str())
        })
    }),
    Builtin::new("translate", &[T, T, T], T, |_, a| {
        let (from, to): (Vec<char>, Vec<char>) =
            (a[1].as_str().chars().collect(), a[2].as_str().chars().collect());
        let map = |c: char| match from.iter().position(|f| *f == c) {
            Some(at) => to.get(at).copied(),
            None => Some(c),
        };
        text(a[0].as_str().chars().filter_map(map).collect::<String>())
    }),
    Builtin::new("reverse", &[T], T, |_, a| {
        text(a[0].as_str().chars().rev().collect::<String>())
    }),
    Builtin::new("repeat", &[T, I4], T, |_, a| repeat(a)),
    Builtin::new("strpos", &[T, T], I4, |_, a| {
        let at = a[0].as_str().find(a[1].as_str());
        Ok(Value::Int4(
            at.map_or(0, |at| a[0].as_str()[..at].chars().count() as i32 + 1),
        ))
    }),
    Builtin::new("starts_with", &[T, T], BOOL, |_, a| {
        Ok(Value::Bool(a[0].as_str().starts_with(a[1].as_str())))
    }),
    Builtin::new("split_part", &[T, T, I4], T, |_, a| split_part(a)),
    Builtin::new("concat", &[ANY], T, concat).variadic(),
    Builtin::new("concat_ws", &[T, ANY], T, |_, a| {
        if a[0].is_null() {
            return Ok(Value::Null);
        }
        let parts: Vec<String> = a[1..].iter().filter(|v| !v.is_null()).map(to_text).collect();
        text(parts.join(a[0].as_str()))
    })
    .variadic(),
    Builtin::new("format", &[T, ANY], T, |_, a| format(a)).variadic(),
    Builtin::new("quote_ident", &[T], T, |_, a| text(quote_ident(a[0].as_str()))),
    Builtin::new("quote_literal", &[ANY], T, |_, a| text(quote_literal(&a[0]))),
    Builtin::new("quote_nullable", &[ANY], T, |_, a| text(quote_literal(&a[0]))).lax(),
    Builtin::new("ascii", &[T], I4, |_, a| {
        Ok(Value::Int4(a[0].as_str().chars().next().map_or(0, |c| c as i32)))
    }),
    Builtin::new("chr", &[I4], T, |_, a| {
        if a[0].as_i64() < 0 {
            return fail(code::INVALID_PARAMETER_VALUE, "character number must be positive");
        }
        match u32::try_from(a[0].as_i64())
            .ok()
            .filter(|n| *n > 0)
            .and_then(char::from_u32)
        {
            Some(c) => text(c.to_string()),
            None => fail(
                code::PROGRAM_LIMIT_EXCEEDED,
                "requested character not valid for encoding",
            ),
        }
    }),
    Builtin::new("to_hex", &[I4], T, |_, a| {
        text(format!("{:x}", a[0].as_i64() as i32))
    }),
    Builtin::new("to_hex", &[Type::Int8], T, |_, a| {
        text(format!("{:x}", a[0].as_i64()))
    }),
    Builtin::new("encode", &[B, T], T, |_, a| encode(a)),
    Builtin::new("decode", &[T, T], B, |_, a| decode(a)),
    Builtin::new("convert_to", &[T, T], B, |_, a| {
        Ok(Value::Bytea(a[0].as_str().as_bytes().into()))
    }),
    Builtin::new("convert_from", &[B, T], T, |_, a| {
        match std::str::from_utf8(bytes(&a[0])) {
            Ok(s) => text(s),
            Err(_) => fail(
                code::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\"",
            ),
        }
    }),
    Builtin::new("hashtext", &[T], I4, |_, a| {
        Ok(Value::Int4(hashtext(a[0].as_str())))
    }),
    Builtin::new("hashtextextended", &[T, Type::Int8], Type::Int8, |_, a| {
        let (low, high) = (
            hashtext(a[0].as_str()),
            hashtext(&format!("{}\u{1}", a[0].as_str())),
        );
        Ok(Value::Int8(
            ((i64::from(high) << 32) | i64::from(low as u32)) ^ a[1].as_i64(),
        ))
    }),
];
