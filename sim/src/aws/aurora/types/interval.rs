//! `interval`: months, days and microseconds, as PostgreSQL keeps them.

use std::cmp::Ordering;
use std::fmt;

use super::USECS_PER_DAY;
use crate::aws::aurora::error::{Error, Result, code};

/// A span of time whose months and days have no fixed length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interval {
    /// Whole months.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// The rest.
    pub micros: i64,
}

impl Interval {
    /// Parses `1 day 02:03:04.5`, `90 seconds`, `-3 mons`, `P1DT2H`.
    pub(crate) fn parse(input: &str) -> Result<Interval> {
        let bad = || {
            Error::new(
                code::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type interval: \"{input}\""),
            )
        };
        let s = input.trim().to_ascii_lowercase();
        if let Some(iso) = s.strip_prefix('p') {
            return Interval::parse_iso(iso).ok_or_else(bad);
        }
        let mut out = Interval::default();
        let (s, ago) = match s.strip_suffix("ago") {
            Some(rest) => (rest.trim().to_string(), true),
            None => (s, false),
        };
        let mut spaced = String::with_capacity(s.len() + 8);
        let mut previous = ' ';
        for c in s.chars() {
            if c.is_ascii_alphabetic() && previous.is_ascii_digit() {
                spaced.push(' ');
            }
            spaced.push(c);
            previous = c;
        }
        let words: Vec<&str> = spaced.split_whitespace().filter(|w| *w != "@").collect();
        if words.is_empty() {
            return Err(bad());
        }
        let mut i = 0;
        while i < words.len() {
            let word = words[i];
            if word.contains(':') {
                out.micros += parse_clock(word).ok_or_else(bad)?;
                i += 1;
                continue;
            }
            let amount: f64 = word.parse().map_err(|_| bad())?;
            let unit = words.get(i + 1).copied().unwrap_or("seconds");
            out.add_unit(amount, unit).ok_or_else(bad)?;
            i += 2;
        }
        Ok(if ago { out.neg() } else { out })
    }

    fn parse_iso(s: &str) -> Option<Interval> {
        let mut out = Interval::default();
        let (mut time, mut number) = (false, String::new());
        for c in s.chars() {
            match c {
                't' => time = true,
                '0'..='9' | '.' | '-' | '+' => number.push(c),
                _ => {
                    let amount: f64 = number.parse().ok()?;
                    number.clear();
                    let unit = match (c, time) {
                        ('y', _) => "year",
                        ('m', false) => "month",
                        ('w', _) => "week",
                        ('d', _) => "day",
                        ('h', _) => "hour",
                        ('m', true) => "minute",
                        ('s', _) => "second",
                        _ => return None,
                    };
                    out.add_unit(amount, unit)?;
                }
            }
        }
        number.is_empty().then_some(out)
    }

    /// Adds `amount` of a unit, spilling fractions of months into days and of days into time.
    fn add_unit(&mut self, amount: f64, unit: &str) -> Option<()> {
        let months = |n: f64, out: &mut Interval| {
            out.months += n.trunc() as i32;
            let days = n.fract() * 30.0;
            out.days += days.trunc() as i32;
            out.micros += (days.fract() * USECS_PER_DAY as f64).round() as i64;
        };
        let days = |n: f64, out: &mut Interval| {
            out.days += n.trunc() as i32;
            out.micros += (n.fract() * USECS_PER_DAY as f64).round() as i64;
        };
        match unit.trim_end_matches(',') {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => self.micros += amount.round() as i64,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => {
                self.micros += (amount * 1e3).round() as i64;
            }
            "second" | "seconds" | "s" | "sec" | "secs" => self.micros += (amount * 1e6).round() as i64,
            "minute" | "minutes" | "m" | "min" | "mins" => self.micros += (amount * 6e7).round() as i64,
            "hour" | "hours" | "h" | "hr" | "hrs" => self.micros += (amount * 3.6e9).round() as i64,
            "day" | "days" | "d" => days(amount, self),
            "week" | "weeks" | "w" => days(amount * 7.0, self),
            "month" | "months" | "mon" | "mons" => months(amount, self),
            "year" | "years" | "y" | "yr" | "yrs" => months(amount * 12.0, self),
            "decade" | "decades" => months(amount * 120.0, self),
            "century" | "centuries" => months(amount * 1200.0, self),
            _ => return None,
        }
        Some(())
    }

    /// Negation.
    pub(crate) fn neg(self) -> Interval {
        Interval {
            months: self.months.wrapping_neg(),
            days: self.days.wrapping_neg(),
            micros: self.micros.wrapping_neg(),
        }
    }

    /// Sum.
    pub(crate) fn add(self, o: Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(o.months)?,
            days: self.days.checked_add(o.days)?,
            micros: self.micros.checked_add(o.micros)?,
        })
    }

    /// Product with a factor, spilling fractions downwards.
    pub(crate) fn mul(self, factor: f64) -> Interval {
        let mut out = Interval::default();
        let months = f64::from(self.months) * factor;
        out.months = months.trunc() as i32;
        let days = f64::from(self.days) * factor + months.fract() * 30.0;
        out.days = days.trunc() as i32;
        out.micros = (self.micros as f64 * factor + days.fract() * USECS_PER_DAY as f64).round() as i64;
        out
    }

    /// Microseconds with 30-day months and 24-hour days: the order of intervals.
    pub(crate) fn estimate(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(USECS_PER_DAY)
            + i128::from(self.micros)
    }
}

fn parse_clock(word: &str) -> Option<i64> {
    let (negative, word) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.trim_start_matches('+')),
    };
    let mut parts = word.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    if parts.next().is_some() {
        return None;
    }
    let micros = hours
        .checked_mul(3600)?
        .checked_add(minutes * 60)?
        .checked_mul(1_000_000)?;
    let micros = micros.checked_add((seconds * 1e6).round() as i64)?;
    Some(if negative { -micros } else { micros })
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Interval {}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Self) -> Ordering {
        self.estimate().cmp(&other.estimate())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut plural = |n: i32, one: &str, many: &str| {
            if n != 0 {
                parts.push(format!("{n} {}", if n == 1 { one } else { many }));
            }
        };
        plural(self.months / 12, "year", "years");
        plural(self.months % 12, "mon", "mons");
        plural(self.days, "day", "days");
        if self.micros != 0 || parts.is_empty() {
            let sign = if self.micros < 0 { "-" } else { "" };
            let (secs, rest) = (
                self.micros.unsigned_abs() / 1_000_000,
                self.micros.unsigned_abs() % 1_000_000,
            );
            let mut clock = format!("{sign}{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
            if rest != 0 {
                clock.push_str(format!(".{rest:06}").trim_end_matches('0'));
            }
            parts.push(clock);
        }
        f.write_str(&parts.join(" "))
    }
}
