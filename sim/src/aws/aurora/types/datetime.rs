//! Dates and times: the proleptic Gregorian calendar, UTC only.
//!
//! Modelled: ISO 8601 input and PostgreSQL's ISO output, numeric offsets, `infinity`, `now`, `today`, `epoch`. Not
//! modelled: named time zones other than UTC, other date styles, BC years.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::aws::aurora::error::{Error, Result, code};

/// Microseconds in a day.
pub(crate) const USECS_PER_DAY: i64 = 86_400_000_000;
/// Seconds between the Unix epoch and PostgreSQL's, 2000-01-01.
const EPOCH_SHIFT_SECS: i64 = 946_684_800;
/// Days between the Unix epoch and PostgreSQL's.
const EPOCH_SHIFT_DAYS: i64 = 10_957;

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    /// Astronomical year.
    pub year: i64,
    /// 1..=12.
    pub month: u32,
    /// 1..=31.
    pub day: u32,
}

/// Days since 2000-01-01 of a date.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((month + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468 - EPOCH_SHIFT_DAYS
}

/// The date of a number of days since 2000-01-01.
pub(crate) fn civil_from_days(days: i64) -> Civil {
    let z = days + EPOCH_SHIFT_DAYS + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    Civil {
        year: yoe + era * 400 + i64::from(month <= 2),
        month,
        day,
    }
}

/// Microseconds since 2000-01-01 of an instant of the host's wall clock.
pub(crate) fn from_unix_micros(now: SystemTime) -> i64 {
    let unix = match now.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX / 2),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX / 2),
    };
    unix - EPOCH_SHIFT_SECS * 1_000_000
}

/// The instant that so many microseconds since 2000-01-01 are.
pub(crate) fn instant(micros: i64) -> SystemTime {
    let unix = micros + EPOCH_SHIFT_SECS * 1_000_000;
    let distance = Duration::from_micros(unix.unsigned_abs());
    if unix < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days in a month.
pub(super) fn month_len(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn invalid(kind: &str, input: &str) -> Box<Error> {
    Error::new(
        code::INVALID_DATETIME_FORMAT,
        format!("invalid input syntax for type {kind}: \"{input}\""),
    )
}

fn out_of_range(input: &str) -> Box<Error> {
    Error::new(
        code::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{input}\""),
    )
}

/// Parses a date, days since 2000-01-01; i32::MAX and i32::MIN are the infinities.
pub(crate) fn parse_date(input: &str, now: i64) -> Result<i32> {
    match input.trim().to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i32::MAX),
        "-infinity" => return Ok(i32::MIN),
        _ => {}
    }
    let micros = parse_timestamp(input, false, now, "date")?;
    Ok(micros.div_euclid(USECS_PER_DAY) as i32)
}

fn date_part(s: &str, input: &str, kind: &str) -> Result<i64> {
    let mut parts = s.splitn(3, '-');
    let mut next = || {
        parts
            .next()
            .filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let (Some(year), month, day) = (next(), next(), next()) else {
        return Err(invalid(kind, input));
    };
    let (year, month, day): (i64, u32, u32) = match (month, day) {
        (Some(m), Some(d)) => (
            year.parse().map_err(|_| invalid(kind, input))?,
            m.parse().map_err(|_| invalid(kind, input))?,
            d.parse().map_err(|_| invalid(kind, input))?,
        ),
        (None, None) if year.len() == 8 => (
            year[..4].parse().map_err(|_| invalid(kind, input))?,
            year[4..6].parse().map_err(|_| invalid(kind, input))?,
            year[6..].parse().map_err(|_| invalid(kind, input))?,
        ),
        _ => return Err(invalid(kind, input)),
    };
    if !(1..=12).contains(&month) || day < 1 || day > month_len(year, month) || !(1..=294_276).contains(&year)
    {
        return Err(out_of_range(input));
    }
    Ok(days_from_civil(year, month, day))
}

/// Parses `HH:MM[:SS[.ffffff]]` to microseconds.
pub(super) fn parse_clock(s: &str, input: &str, kind: &str) -> Result<i64> {
    let mut parts = s.split(':');
    let mut next = || parts.next().filter(|p| !p.is_empty());
    let (Some(h), Some(m)) = (next(), next()) else {
        return Err(invalid(kind, input));
    };
    let sec = next().unwrap_or("0");
    let (whole, fraction) = sec.split_once('.').unwrap_or((sec, ""));
    let number = |s: &str| -> Result<i64> {
        if s.len() > 2 || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid(kind, input));
        }
        s.parse().map_err(|_| invalid(kind, input))
    };
    let (h, m, whole) = (number(h)?, number(m)?, number(whole)?);
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(kind, input));
    }
    let mut micros: i64 = 0;
    for (i, b) in fraction.bytes().take(7).enumerate() {
        let digit = i64::from(b - b'0');
        match i {
            6 => micros += i64::from(digit >= 5),
            _ => micros += digit * 10i64.pow(5 - i as u32),
        }
    }
    if h > 24 || m > 59 || whole > 60 || (h == 24 && (m > 0 || whole > 0)) {
        return Err(out_of_range(input));
    }
    Ok((h * 3600 + m * 60 + whole) * 1_000_000 + micros)
}

/// Parses a timestamp. With `zoned`, an offset is applied; without, it is ignored as PostgreSQL does. `now` answers
/// the words `now` and `today`.
pub(crate) fn parse_timestamp(input: &str, zoned: bool, now: i64, kind: &str) -> Result<i64> {
    let s = input.trim();
    match s.to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i64::MAX),
        "-infinity" => return Ok(i64::MIN),
        "now" => return Ok(now),
        "epoch" => return Ok(-EPOCH_SHIFT_SECS * 1_000_000),
        "today" => return Ok(now - now.rem_euclid(USECS_PER_DAY)),
        "tomorrow" => return Ok(now - now.rem_euclid(USECS_PER_DAY) + USECS_PER_DAY),
        "yesterday" => return Ok(now - now.rem_euclid(USECS_PER_DAY) - USECS_PER_DAY),
        _ => {}
    }
    if !s.is_ascii() {
        return Err(invalid(kind, input));
    }
    let split = s.find(['T', 't', ' ']);
    let (date, rest) = match split {
        Some(at) => (&s[..at], s[at + 1..].trim()),
        None => (s, ""),
    };
    let days = date_part(date, input, kind)?;
    if rest.is_empty() {
        return Ok(days * USECS_PER_DAY);
    }
    let zone_at = rest
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(rest.len());
    let clock = parse_clock(&rest[..zone_at], input, kind)?;
    let offset = parse_offset(rest[zone_at..].trim(), input, kind)?;
    let local = days
        .checked_mul(USECS_PER_DAY)
        .and_then(|d| d.checked_add(clock))
        .ok_or_else(|| out_of_range(input))?;
    Ok(if zoned { local - offset * 1_000_000 } else { local })
}

/// Seconds east of UTC.
fn parse_offset(zone: &str, input: &str, kind: &str) -> Result<i64> {
    if zone.is_empty()
        || ["z", "utc", "gmt", "zulu"]
            .iter()
            .any(|n| zone.eq_ignore_ascii_case(n))
    {
        return Ok(0);
    }
    let (sign, digits) = match zone.as_bytes()[0] {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => {
            return Err(Error::new(
                code::FEATURE_NOT_SUPPORTED,
                format!("time zone \"{zone}\" in input for type {kind} is not supported"),
            ));
        }
    };
    let compact: String = digits.chars().filter(|c| *c != ':').collect();
    if compact.is_empty() || compact.len() > 6 || !compact.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(kind, input));
    }
    let padded = if compact.len() % 2 == 1 {
        format!("0{compact}")
    } else {
        compact
    };
    let pair = |at: usize| {
        padded
            .get(at..at + 2)
            .map_or(0, |p| p.parse::<i64>().unwrap_or(0))
    };
    if pair(0) > 15 || pair(2) > 59 {
        return Err(out_of_range(input));
    }
    Ok(sign * (pair(0) * 3600 + pair(2) * 60 + pair(4)))
}

fn clock_text(micros: i64) -> String {
    let (secs, rest) = (micros / 1_000_000, micros % 1_000_000);
    let mut out = format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    if rest != 0 {
        out.push_str(format!(".{rest:06}").trim_end_matches('0'));
    }
    out
}

/// A time of day as text.
pub(crate) fn time_text(micros: i64) -> String {
    clock_text(micros)
}

/// A date as text.
pub(crate) fn date_text(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        _ => {
            let c = civil_from_days(i64::from(days));
            format!("{:04}-{:02}-{:02}", c.year, c.month, c.day)
        }
    }
}

/// A timestamp as text, with `+00` when zoned.
pub(crate) fn timestamp_text(micros: i64, zoned: bool) -> String {
    match micros {
        i64::MAX => return "infinity".into(),
        i64::MIN => return "-infinity".into(),
        _ => {}
    }
    let c = civil_from_days(micros.div_euclid(USECS_PER_DAY));
    let clock = clock_text(micros.rem_euclid(USECS_PER_DAY));
    format!(
        "{:04}-{:02}-{:02} {clock}{}",
        c.year,
        c.month,
        c.day,
        if zoned { "+00" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip() {
        for s in [
            "2026-01-02 03:04:05.678901+00",
            "1999-12-31 23:59:59+00",
            "2024-02-29 00:00:00+00",
        ] {
            let v = parse_timestamp(s, true, 0, "timestamp with time zone").unwrap();
            assert_eq!(timestamp_text(v, true), s);
        }
        let v = parse_timestamp("2026-01-02T03:04:05+05:30", true, 0, "timestamp with time zone").unwrap();
        assert_eq!(timestamp_text(v, true), "2026-01-01 21:34:05+00");
    }

    #[test]
    fn impossible_dates_are_refused() {
        assert_eq!(parse_date("2023-02-29", 0).unwrap_err().code, "22008");
        assert_eq!(parse_date("nonsense", 0).unwrap_err().code, "22007");
    }
}
