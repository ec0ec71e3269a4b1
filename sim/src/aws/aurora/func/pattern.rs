//! Formatting by pattern: to_char, to_number, to_date, to_timestamp.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::types::{
    Civil, Numeric, Type, USECS_PER_DAY, Value, civil_from_days, days_from_civil,
};

const T: Type = Type::Text;
const NUM: Type = Type::Numeric;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A name in the case of its pattern: `Mon`, `MON` or `mon`.
fn cased(name: &str, pattern: &str) -> String {
    let second = pattern.as_bytes().get(1).copied().unwrap_or(b'a');
    match (
        pattern.as_bytes()[0].is_ascii_uppercase(),
        second.is_ascii_uppercase(),
    ) {
        (true, true) => name.to_uppercase(),
        (true, false) => name.to_string(),
        _ => name.to_lowercase(),
    }
}

/// Patterns of a moment, longest first among those with one beginning.
const FIELDS: [&str; 44] = [
    "YYYY", "YY", "Month", "MONTH", "month", "Mon", "MON", "mon", "MM", "MI", "MS", "Day", "DAY", "day",
    "DDD", "DD", "Dy", "DY", "dy", "D", "HH24", "HH12", "HH", "SS", "US", "AM", "PM", "am", "pm", "A.M.",
    "P.M.", "TZ", "Q", "WW", "IYYY", "IW", "ID", "J", "yyyy", "mm", "dd", "hh24", "mi", "ss",
];

fn field(pattern: &str) -> Option<&'static str> {
    FIELDS.iter().copied().find(|f| pattern.starts_with(f))
}

fn moment(v: &Value) -> i64 {
    match v {
        Value::Timestamptz(t) | Value::Timestamp(t) => *t,
        Value::Date(d) => i64::from(*d) * USECS_PER_DAY,
        _ => 0,
    }
}

fn show(name: &str, t: i64, fill: bool) -> Result<String> {
    let (days, clock) = (t.div_euclid(USECS_PER_DAY), t.rem_euclid(USECS_PER_DAY));
    let Civil { year, month, day } = civil_from_days(days);
    let hour = clock / 3_600_000_000;
    // 2000-01-01 was a Saturday.
    let weekday = (days + 6).rem_euclid(7);
    let number = |n: i64, width: usize| {
        if fill {
            format!("{n:0width$}")
        } else {
            n.to_string()
        }
    };
    let word = |list: &[&str], at: usize, width: usize| {
        let name = cased(list[at], name);
        if fill { format!("{name:<width$}") } else { name }
    };
    let short = |list: &[&str], at: usize| cased(&list[at][..3], name);
    let doy = days - days_from_civil(year, 1, 1);
    Ok(match name {
        "YYYY" | "yyyy" => number(year, 4),
        "YY" => number(year.rem_euclid(100), 2),
        "MM" | "mm" => number(month.into(), 2),
        "Month" | "MONTH" | "month" => word(&MONTHS, month as usize - 1, 9),
        "Mon" | "MON" | "mon" => short(&MONTHS, month as usize - 1),
        "DD" | "dd" => number(day.into(), 2),
        "DDD" => number(doy + 1, 3),
        "D" => (weekday + 1).to_string(),
        "ID" => ((weekday + 6) % 7 + 1).to_string(),
        "Day" | "DAY" | "day" => word(&DAYS, weekday as usize, 9),
        "Dy" | "DY" | "dy" => short(&DAYS, weekday as usize),
        "HH24" | "hh24" => number(hour, 2),
        "HH12" | "HH" => number((hour + 11) % 12 + 1, 2),
        "MI" | "mi" => number(clock / 60_000_000 % 60, 2),
        "SS" | "ss" => number(clock / 1_000_000 % 60, 2),
        "MS" => number(clock / 1000 % 1000, 3),
        "US" => number(clock % 1_000_000, 6),
        "AM" | "PM" => if hour < 12 { "AM" } else { "PM" }.into(),
        "am" | "pm" => if hour < 12 { "am" } else { "pm" }.into(),
        "A.M." | "P.M." => if hour < 12 { "A.M." } else { "P.M." }.into(),
        "TZ" => "UTC".into(),
        "Q" => ((month - 1) / 3 + 1).to_string(),
        "WW" => number(doy / 7 + 1, 2),
        "J" => (days + 2_451_545).to_string(),
        other => return unsupported(format_args!("to_char pattern \"{other}\"")),
    })
}

fn to_char_moment(a: &[Value]) -> Result<Value> {
    let t = moment(&a[0]);
    let (mut out, mut rest) = (String::new(), a[1].as_str());
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        let bare = rest.strip_prefix("FM");
        if let Some(name) = field(bare.unwrap_or(rest)) {
            out.push_str(&show(name, t, bare.is_none())?);
            rest = &bare.unwrap_or(rest)[name.len()..];
        } else if c.is_ascii_alphabetic() && c != 'T' && c != 'Z' {
            return unsupported(format_args!("to_char pattern \"{rest}\""));
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(Value::text(out))
}

fn to_char_number(a: &[Value]) -> Result<Value> {
    let pattern = a[1].as_str();
    let (fill, body) = match pattern.strip_prefix("FM") {
        Some(rest) => (false, rest),
        None => (true, pattern),
    };
    if let Some(c) = body.chars().find(|c| !"90.,DG".contains(*c)) {
        return unsupported(format_args!("to_char pattern \"{c}\" of a number"));
    }
    let number = match Numeric::try_from_value(&a[0]) {
        Some(n) => n,
        None => Numeric::from_f64(a[0].as_f64(), 15)?,
    };
    let (whole, fraction) = body
        .split_once(['.', 'D'])
        .map_or((body, None), |(w, f)| (w, Some(f)));
    let digits_after = fraction.map_or(0, str::len);
    let text = number.round(digits_after as i32)?.to_string();
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text.as_str()), |t| (true, t));
    let (int, frac) = text.split_once('.').unwrap_or((text, ""));
    // A lone zero is shown only where nothing else would be.
    let int = if int == "0" && fraction.is_some() { "" } else { int };
    let places = whole.chars().filter(|c| matches!(c, '9' | '0')).count();
    let overflow = int.len() > places;
    let mut out = String::new();
    let (mut at, mut begun) = (0, false);
    let mut zeros = false;
    for c in whole.chars() {
        match c {
            '9' | '0' => {
                zeros |= c == '0';
                let from_left = (at + int.len()).checked_sub(places);
                let digit = match from_left {
                    _ if overflow => Some('#'),
                    Some(i) => int.chars().nth(i),
                    None if zeros => Some('0'),
                    None => None,
                };
                at += 1;
                begun |= digit.is_some();
                out.push(digit.unwrap_or(' '));
            }
            _ => out.push(if begun { ',' } else { ' ' }),
        }
    }
    // The sign stands right before the first digit.
    let first = out.find(|c| c != ' ').unwrap_or(out.len());
    out.insert(first, if negative { '-' } else { ' ' });
    if let Some(fraction) = fraction {
        out.push('.');
        for (i, c) in fraction.char_indices() {
            let digit = frac.chars().nth(i).unwrap_or('0');
            let rest_zero = frac.chars().skip(i).all(|d| d == '0');
            if !fill && c == '9' && rest_zero && !fraction[i..].contains('0') {
                break;
            }
            out.push(if overflow { '#' } else { digit });
        }
    }
    Ok(Value::text(if fill { out } else { out.trim_start().to_string() }))
}

fn to_number(a: &[Value]) -> Result<Value> {
    let digits: String = a[0]
        .as_str()
        .chars()
        .filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
        .collect();
    if !digits.contains(|c: char| c.is_ascii_digit()) {
        return fail(
            code::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type numeric: \" \"",
        );
    }
    Ok(Value::Numeric(Numeric::parse(&digits)?))
}

fn bad_value<T>(input: &str, name: &str) -> Result<T> {
    fail(
        code::INVALID_DATETIME_FORMAT,
        format!("invalid value \"{input}\" for \"{name}\""),
    )
}

/// Reads a moment by its pattern; what the pattern does not say is the start of year 1.
fn read(a: &[Value]) -> Result<i64> {
    let (mut input, mut rest) = (a[0].as_str().trim_start(), a[1].as_str());
    let (mut year, mut month, mut day) = (1, 1, 1);
    let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
    let mut afternoon = None;
    while let Some(c) = rest.chars().next() {
        let rest_after_fm = rest.strip_prefix("FM").unwrap_or(rest);
        let Some(name) = field(rest_after_fm) else {
            if c.is_ascii_alphabetic() && c != 'T' {
                return unsupported(format_args!("pattern \"{rest}\""));
            }
            rest = &rest[c.len_utf8()..];
            if let Some(other) = input.chars().next()
                && !other.is_ascii_digit()
            {
                input = &input[other.len_utf8()..];
            }
            continue;
        };
        rest = &rest_after_fm[name.len()..];
        match name {
            "Mon" | "MON" | "mon" | "Month" | "MONTH" | "month" => {
                let long = name.len() > 3;
                let found = MONTHS.iter().position(|m| {
                    let wanted = if long { *m } else { &m[..3] };
                    input.len() >= wanted.len()
                        && input.is_char_boundary(wanted.len())
                        && input[..wanted.len()].eq_ignore_ascii_case(wanted)
                });
                let Some(at) = found else {
                    return bad_value(input, name);
                };
                month = at as i64 + 1;
                input = &input[if long { MONTHS[at].len() } else { 3 }..];
                continue;
            }
            "AM" | "PM" | "am" | "pm" => {
                afternoon = Some(input.get(..2).is_some_and(|s| s.eq_ignore_ascii_case("pm")));
                input = input.get(2..).unwrap_or("");
                continue;
            }
            _ => {}
        }
        let width = match name {
            "YYYY" | "yyyy" => 4,
            "MS" => 3,
            "US" => 6,
            "YY" | "MM" | "mm" | "DD" | "dd" | "HH24" | "hh24" | "HH12" | "HH" | "MI" | "mi" | "SS"
            | "ss" => 2,
            other => return unsupported(format_args!("pattern \"{other}\" of an input")),
        };
        input = input.trim_start();
        let end = input.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let Ok(n) = input[..end].parse::<i64>() else {
            return bad_value(input, name);
        };
        input = &input[end..];
        match name {
            "YYYY" | "yyyy" => year = n,
            "YY" => year = if n < 70 { 2000 + n } else { 1900 + n },
            "MM" | "mm" => month = n,
            "DD" | "dd" => day = n,
            "MI" | "mi" => minute = n,
            "SS" | "ss" => second = n,
            "MS" => micros = n * 1000,
            "US" => micros = n,
            _ => hour = n,
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    moment_of(year, month, day)?
        .checked_add(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
        .filter(|_| (0..=24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second))
        .ok_or_else(|| {
            Error::new(
                code::DATETIME_FIELD_OVERFLOW,
                format!("date/time field value out of range: \"{}\"", a[0].as_str()),
            )
        })
}

/// Midnight of a day that exists, in microseconds since 2000.
pub(super) fn moment_of(year: i64, month: i64, day: i64) -> Result<i64> {
    let days = days_from_civil(year, month.clamp(1, 12) as u32, day.clamp(1, 31) as u32);
    let back = civil_from_days(days);
    let exists =
        i64::from(back.month) == month && i64::from(back.day) == day && back.year == year && year != 0;
    if !exists {
        return fail(
            code::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        );
    }
    Ok(days * USECS_PER_DAY)
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("to_char", &[Type::Timestamptz, T], T, |_, a| to_char_moment(a)),
    Builtin::new("to_char", &[Type::Timestamp, T], T, |_, a| to_char_moment(a)),
    Builtin::new("to_char", &[NUM, T], T, |_, a| to_char_number(a)),
    Builtin::new("to_char", &[Type::Int4, T], T, |_, a| to_char_number(a)),
    Builtin::new("to_char", &[Type::Int8, T], T, |_, a| to_char_number(a)),
    Builtin::new("to_char", &[Type::Float8, T], T, |_, a| to_char_number(a)),
    Builtin::new("to_number", &[T, T], NUM, |_, a| to_number(a)),
    Builtin::new("to_date", &[T, T], Type::Date, |_, a| {
        Ok(Value::Date(read(a)?.div_euclid(USECS_PER_DAY) as i32))
    }),
    Builtin::new("to_timestamp", &[T, T], Type::Timestamptz, |_, a| {
        Ok(Value::Timestamptz(read(a)?))
    }),
];
