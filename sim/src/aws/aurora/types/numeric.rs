//! `numeric`: exact decimals with PostgreSQL's display scales.
//!
//! Modelled: 38 significant digits, which is what a ledger's amounts and rates need; a result beyond them is refused
//! with 0A000 rather than rounded. NaN and the infinities are there. Not modelled: scales above 38.

use std::cmp::Ordering;
use std::fmt;

use super::Value;
use crate::aws::aurora::error::{Error, Result, code, fail};

/// A decimal: `mantissa / 10^scale`. Two words instead of an `i128` keep a [`Value`] at 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numeric {
    high: i64,
    low: u64,
    scale: u16,
}

const MAX_SCALE: u16 = 38;
/// The scale that marks NaN (mantissa 0) and the infinities (1 and -1).
const SPECIAL: u16 = u16::MAX;
/// Fewest significant digits of a quotient.
const MIN_QUOTIENT_DIGITS: i32 = 16;

fn overflow() -> Box<Error> {
    Error::new(
        code::FEATURE_NOT_SUPPORTED,
        "a numeric value of more than 38 digits is not supported",
    )
}

fn pow10(n: u32) -> Option<i128> {
    10i128.checked_pow(n)
}

impl Numeric {
    /// Zero.
    pub(crate) const ZERO: Numeric = Numeric {
        high: 0,
        low: 0,
        scale: 0,
    };

    /// `mantissa / 10^scale`.
    pub(crate) fn new(mantissa: i128, scale: u16) -> Numeric {
        Numeric {
            high: (mantissa >> 64) as i64,
            low: mantissa as u64,
            scale,
        }
    }

    /// The digits without the point.
    pub(crate) fn mantissa(self) -> i128 {
        (i128::from(self.high) << 64) | i128::from(self.low)
    }

    /// Digits after the point.
    pub(crate) fn scale(self) -> u16 {
        if self.special().is_some() { 0 } else { self.scale }
    }

    /// NaN or an infinity, as a double.
    pub(crate) fn special(self) -> Option<f64> {
        (self.scale == SPECIAL).then(|| match self.mantissa() {
            0 => f64::NAN,
            m if m > 0 => f64::INFINITY,
            _ => f64::NEG_INFINITY,
        })
    }

    fn from_special(v: f64) -> Numeric {
        let sign = if v.is_nan() { 0 } else { v.signum() as i128 };
        Numeric::new(sign, SPECIAL)
    }

    /// The result when NaN or an infinity takes part: as IEEE 754 has it, finite numbers counting by their sign.
    fn with_special(self, other: Numeric, op: impl Fn(f64, f64) -> f64) -> Option<Numeric> {
        if self.special().is_none() && other.special().is_none() {
            return None;
        }
        let plain = |n: Numeric| n.special().unwrap_or(f64::from(n.signum()));
        let out = op(plain(self), plain(other));
        Some(if out.is_finite() {
            Numeric::ZERO
        } else {
            Numeric::from_special(out)
        })
    }

    /// From an integer.
    pub(crate) fn from_i64(v: i64) -> Numeric {
        Numeric::new(i128::from(v), 0)
    }

    /// From a value of an exact number type.
    pub(crate) fn try_from_value(v: &Value) -> Option<Numeric> {
        match v {
            Value::Numeric(n) => Some(*n),
            Value::Int2(_) | Value::Int4(_) | Value::Int8(_) | Value::Oid(_) => {
                Some(Numeric::from_i64(v.as_i64()))
            }
            _ => None,
        }
    }

    /// From a double, with the digits that a double can hold.
    pub(crate) fn from_f64(v: f64, digits: usize) -> Result<Numeric> {
        if !v.is_finite() {
            return Ok(Numeric::from_special(v));
        }
        Numeric::parse(&format!("{:.*e}", digits.saturating_sub(1), v)).map(Numeric::trim)
    }

    /// Without trailing zeros after the point.
    pub(crate) fn trim(self) -> Numeric {
        if self.special().is_some() {
            return self;
        }
        let (mut m, mut s) = (self.mantissa(), self.scale);
        while s > 0 && m % 10 == 0 {
            m /= 10;
            s -= 1;
        }
        Numeric::new(m, s)
    }

    /// Nearest double.
    pub(crate) fn to_f64(self) -> f64 {
        if let Some(special) = self.special() {
            return special;
        }
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Parses PostgreSQL's input syntax.
    pub(crate) fn parse(input: &str) -> Result<Numeric> {
        let bad = || {
            Error::new(
                code::INVALID_TEXT_REPRESENTATION,
                format!("invalid input syntax for type numeric: \"{input}\""),
            )
        };
        let s = input.trim();
        let lower = s.to_ascii_lowercase();
        match lower.as_str() {
            "nan" => return Ok(Numeric::from_special(f64::NAN)),
            "inf" | "infinity" | "+inf" | "+infinity" => return Ok(Numeric::from_special(f64::INFINITY)),
            "-inf" | "-infinity" => return Ok(Numeric::from_special(f64::NEG_INFINITY)),
            _ => {}
        }
        let (negative, s) = match s.as_bytes().first() {
            Some(b'-') => (true, &s[1..]),
            Some(b'+') => (false, &s[1..]),
            _ => (false, s),
        };
        let (digits, exponent) = match s.find(['e', 'E']) {
            Some(at) => (&s[..at], s[at + 1..].parse::<i32>().map_err(|_| bad())?),
            None => (s, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(bad());
        }
        let mut mantissa: i128 = 0;
        for b in whole.bytes().chain(fraction.bytes()) {
            if !b.is_ascii_digit() {
                return Err(bad());
            }
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i128::from(b - b'0')))
                .ok_or_else(overflow)?;
        }
        let scale = i64::try_from(fraction.len()).map_err(|_| bad())? - i64::from(exponent);
        let mut value = if scale < 0 {
            let factor = u32::try_from(-scale).ok().and_then(pow10).ok_or_else(overflow)?;
            Numeric::new(mantissa.checked_mul(factor).ok_or_else(overflow)?, 0)
        } else if scale > i64::from(MAX_SCALE) {
            return Err(overflow());
        } else {
            Numeric::new(mantissa, scale as u16)
        };
        if negative {
            value = value.neg();
        }
        Ok(value)
    }

    fn rescale(self, scale: u16) -> Option<i128> {
        self.mantissa().checked_mul(pow10(u32::from(scale - self.scale))?)
    }

    fn aligned(self, other: Numeric) -> Result<(i128, i128, u16)> {
        let scale = self.scale.max(other.scale);
        match (self.rescale(scale), other.rescale(scale)) {
            (Some(a), Some(b)) => Ok((a, b, scale)),
            _ => Err(overflow()),
        }
    }

    /// Sum.
    pub(crate) fn add(self, other: Numeric) -> Result<Numeric> {
        if let Some(special) = self.with_special(other, |a, b| a + b) {
            return Ok(special);
        }
        let (a, b, scale) = self.aligned(other)?;
        Ok(Numeric::new(a.checked_add(b).ok_or_else(overflow)?, scale))
    }

    /// Difference.
    pub(crate) fn sub(self, other: Numeric) -> Result<Numeric> {
        self.add(other.neg())
    }

    /// Negation.
    pub(crate) fn neg(self) -> Numeric {
        Numeric::new(self.mantissa().wrapping_neg(), self.scale)
    }

    /// Product; its scale is the sum of the scales.
    pub(crate) fn mul(self, other: Numeric) -> Result<Numeric> {
        if let Some(special) = self.with_special(other, |a, b| a * b) {
            return Ok(special);
        }
        let scale = self.scale + other.scale;
        match self.mantissa().checked_mul(other.mantissa()) {
            Some(m) if scale <= MAX_SCALE => Ok(Numeric::new(m, scale)),
            _ => {
                let (a, b) = (self.trim(), other.trim());
                let m = a.mantissa().checked_mul(b.mantissa()).ok_or_else(overflow)?;
                Ok(Numeric::new(m, a.scale + b.scale).round(i32::from(scale.min(MAX_SCALE)))?)
            }
        }
    }

    /// Weight and value of the first base-10,000 digit, the unit in which PostgreSQL picks a quotient's scale.
    fn leading(self) -> (i32, i32) {
        let digits = self.mantissa().unsigned_abs().to_string();
        if self.mantissa() == 0 {
            return (0, 0);
        }
        let point = digits.len() as i32 - i32::from(self.scale);
        let weight = (point - 1).div_euclid(4);
        let take = (point - weight * 4) as usize;
        let first: i32 = format!("{digits:0<4}")[..take.min(4)].parse().unwrap_or(0);
        (weight, first)
    }

    /// Quotient, with the scale PostgreSQL would show.
    pub(crate) fn div(self, other: Numeric) -> Result<Numeric> {
        if other.special().is_none() && other.mantissa() == 0 && self.special().is_none_or(|s| !s.is_nan()) {
            return fail(code::DIVISION_BY_ZERO, "division by zero");
        }
        if let Some(special) = self.with_special(other, |a, b| a / b) {
            return Ok(special);
        }
        let (weight1, first1) = self.leading();
        let (weight2, first2) = other.leading();
        let quotient_weight = weight1 - weight2 - i32::from(first1 <= first2);
        let scale = (MIN_QUOTIENT_DIGITS - quotient_weight * 4)
            .max(i32::from(self.scale))
            .max(i32::from(other.scale))
            .max(0);
        let wanted = u16::try_from(scale).unwrap_or(MAX_SCALE).min(MAX_SCALE);
        let shift = i32::from(wanted) + i32::from(other.scale) - i32::from(self.scale);
        let negative = (self.mantissa() < 0) != (other.mantissa() < 0);
        let (mut n, mut d) = (self.mantissa().unsigned_abs(), other.mantissa().unsigned_abs());
        let ten = |n: i32| pow10(n as u32).map(i128::unsigned_abs).ok_or_else(overflow);
        if shift < 0 {
            d = d.checked_mul(ten(-shift)?).ok_or_else(overflow)?;
        }
        // Digit by digit: remainder * 10 stays far inside 128 bits for every divisor of up to 37 digits.
        let mut quotient = n / d;
        n %= d;
        for _ in 0..shift.max(0) {
            n = n.checked_mul(10).ok_or_else(overflow)?;
            quotient = quotient
                .checked_mul(10)
                .and_then(|q| q.checked_add(n / d))
                .ok_or_else(overflow)?;
            n %= d;
        }
        if n >= d - n {
            quotient += 1;
        }
        let quotient = i128::try_from(quotient).map_err(|_| overflow())?;
        Ok(Numeric::new(if negative { -quotient } else { quotient }, wanted))
    }

    /// Square root with the digits PostgreSQL would show: sixteen significant ones, or the argument's scale.
    pub(crate) fn sqrt(self) -> Result<Numeric> {
        if self.special().is_some() || self.mantissa() == 0 {
            return Ok(self);
        }
        let (weight, _) = self.leading();
        let shown = (MIN_QUOTIENT_DIGITS - ((weight + 1) * 2 - 1))
            .max(i32::from(self.scale))
            .max(0);
        self.sqrt_to(u16::try_from(shown).unwrap_or(MAX_SCALE))
    }

    /// Square root to so many digits after the point.
    pub(crate) fn sqrt_to(self, scale: u16) -> Result<Numeric> {
        let shift = u32::from(scale) * 2;
        let from = u32::from(self.scale);
        let wide = if shift >= from {
            pow10(shift - from).and_then(|p| self.mantissa().checked_mul(p))
        } else {
            pow10(from - shift).map(|p| self.mantissa() / p)
        };
        let wide = wide.and_then(|w| u128::try_from(w).ok()).ok_or_else(overflow)?;
        let root = wide.isqrt();
        let up = u128::from(wide - root * root > root);
        Ok(Numeric::new((root + up) as i128, scale))
    }

    /// Remainder with the sign of the dividend.
    pub(crate) fn rem(self, other: Numeric) -> Result<Numeric> {
        if other.special().is_none() && other.mantissa() == 0 && self.special().is_none_or(|s| !s.is_nan()) {
            return fail(code::DIVISION_BY_ZERO, "division by zero");
        }
        if self.special().is_none() && other.special().is_some_and(f64::is_infinite) {
            return Ok(self);
        }
        if let Some(special) = self.with_special(other, |_, _| f64::NAN) {
            return Ok(special);
        }
        let (a, b, scale) = self.aligned(other)?;
        Ok(Numeric::new(a % b, scale))
    }

    /// Rounds half away from zero to `scale` digits after the point (before it, when negative).
    pub(crate) fn round(self, scale: i32) -> Result<Numeric> {
        if self.special().is_some() {
            return Ok(self);
        }
        let wanted = scale.clamp(0, i32::from(MAX_SCALE));
        let drop = i32::from(self.scale) - scale;
        if drop <= 0 {
            let m = self.rescale(wanted as u16).ok_or_else(overflow)?;
            return Ok(Numeric::new(m, wanted as u16));
        }
        let Some(unit) = pow10(drop as u32) else {
            return Ok(Numeric::new(0, wanted as u16));
        };
        let (mut quotient, remainder) = (self.mantissa() / unit, self.mantissa() % unit);
        if remainder.unsigned_abs() >= unit.unsigned_abs() - remainder.unsigned_abs() {
            quotient += if self.mantissa() < 0 { -1 } else { 1 };
        }
        if scale < 0 {
            let back = pow10(scale.unsigned_abs()).ok_or_else(overflow)?;
            return Ok(Numeric::new(quotient.checked_mul(back).ok_or_else(overflow)?, 0));
        }
        Ok(Numeric::new(quotient, wanted as u16))
    }

    /// Drops digits after `scale`.
    pub(crate) fn trunc(self, scale: i32) -> Result<Numeric> {
        if self.special().is_some() {
            return Ok(self);
        }
        let wanted = scale.clamp(0, i32::from(MAX_SCALE));
        let drop = i32::from(self.scale) - scale;
        if drop <= 0 {
            return self.round(scale);
        }
        let Some(unit) = pow10(drop as u32) else {
            return Ok(Numeric::new(0, wanted as u16));
        };
        let quotient = self.mantissa() / unit;
        let back = if scale < 0 {
            pow10(scale.unsigned_abs()).ok_or_else(overflow)?
        } else {
            1
        };
        Ok(Numeric::new(
            quotient.checked_mul(back).ok_or_else(overflow)?,
            wanted as u16,
        ))
    }

    /// Largest whole number not above.
    pub(crate) fn floor(self) -> Numeric {
        if self.special().is_some() {
            return self;
        }
        let unit = pow10(u32::from(self.scale)).unwrap_or(i128::MAX);
        Numeric::new(self.mantissa().div_euclid(unit), 0)
    }

    /// Smallest whole number not below.
    pub(crate) fn ceil(self) -> Numeric {
        self.neg().floor().neg()
    }

    /// The whole number nearest, half away from zero.
    pub(crate) fn to_i128(self) -> i128 {
        self.round(0).map_or(0, Numeric::mantissa)
    }

    /// -1, 0 or 1.
    pub(crate) fn signum(self) -> i32 {
        self.mantissa().signum() as i32
    }

    /// Applies `numeric(precision, scale)`.
    pub(crate) fn constrain(self, precision: u32, scale: i32) -> Result<Numeric> {
        if self.special().is_some_and(f64::is_nan) {
            return Ok(self);
        }
        if self.special().is_some() {
            return Err(
                Error::new(code::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
                    .detail("A field with a precision cannot hold an infinite value."),
            );
        }
        let rounded = self.round(scale)?;
        let limit = pow10(precision).unwrap_or(i128::MAX);
        if rounded.mantissa().unsigned_abs() >= limit.unsigned_abs() {
            return Err(Error::new(code::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than \
                 {}{}.",
                if precision as i32 > scale { "10^" } else { "" },
                if precision as i32 > scale { (precision as i32 - scale).to_string() } else { "1".into() },
            )));
        }
        Ok(rounded)
    }

    /// The wire format's sign field of NaN or an infinity.
    pub(crate) fn special_sign(self) -> Option<u16> {
        self.special().map(|s| match s {
            s if s.is_nan() => 0xc000,
            s if s > 0.0 => 0xd000,
            _ => 0xf000,
        })
    }

    /// The inverse of [`Numeric::special_sign`].
    pub(crate) fn from_special_sign(sign: u16) -> Option<Numeric> {
        Some(Numeric::from_special(match sign {
            0xc000 => f64::NAN,
            0xd000 => f64::INFINITY,
            0xf000 => f64::NEG_INFINITY,
            _ => return None,
        }))
    }

    /// Base-10,000 digits, weight of the first, negative: the binary wire format.
    pub(crate) fn to_wire(self) -> (Vec<i16>, i16, bool) {
        let negative = self.mantissa() < 0;
        let mut fraction_digits = usize::from(self.scale);
        let mut digits = self.mantissa().unsigned_abs().to_string();
        while !fraction_digits.is_multiple_of(4) {
            digits.push('0');
            fraction_digits += 1;
        }
        while digits.len() < fraction_digits || !digits.len().is_multiple_of(4) {
            digits.insert(0, '0');
        }
        let mut groups: Vec<i16> = digits
            .as_bytes()
            .chunks(4)
            .map(|c| c.iter().fold(0, |n, b| n * 10 + i16::from(b - b'0')))
            .collect();
        let mut weight = (digits.len() / 4) as i16 - (fraction_digits / 4) as i16 - 1;
        let zeros = groups.iter().take_while(|g| **g == 0).count();
        groups.drain(..zeros);
        weight -= zeros as i16;
        while groups.last() == Some(&0) {
            groups.pop();
        }
        if groups.is_empty() {
            weight = 0;
        }
        (groups, weight, negative)
    }

    /// The inverse of [`Numeric::to_wire`].
    pub(crate) fn from_wire(groups: &[i16], weight: i16, negative: bool, scale: u16) -> Result<Numeric> {
        if scale > MAX_SCALE {
            return Err(overflow());
        }
        let mut mantissa: i128 = 0;
        for g in groups {
            if !(0..10_000).contains(g) {
                return fail(
                    code::INVALID_BINARY_REPRESENTATION,
                    "invalid digit in external \"numeric\" value",
                );
            }
            mantissa = mantissa
                .checked_mul(10_000)
                .and_then(|m| m.checked_add(i128::from(*g)))
                .ok_or_else(overflow)?;
        }
        let have = (groups.len() as i32 - 1 - i32::from(weight)) * 4;
        let shift = i32::from(scale) - have;
        mantissa = if groups.is_empty() {
            0
        } else if shift >= 0 {
            let factor = pow10(shift as u32).ok_or_else(overflow)?;
            mantissa.checked_mul(factor).ok_or_else(overflow)?
        } else {
            mantissa / pow10(shift.unsigned_abs()).ok_or_else(overflow)?
        };
        Ok(Numeric::new(if negative { -mantissa } else { mantissa }, scale))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        // NaN equals itself and is greater than everything else.
        let place = |n: &Numeric| match n.special() {
            Some(s) if s.is_nan() => 2,
            Some(s) => s.signum() as i32,
            None => 0,
        };
        if self.special().is_some() || other.special().is_some() {
            return place(self).cmp(&place(other));
        }
        if let Ok((a, b, _)) = self.aligned(*other) {
            return a.cmp(&b);
        }
        // Aligning overflowed, so the magnitudes differ by far more than the fractions: whole parts decide.
        self.floor().mantissa().cmp(&other.floor().mantissa())
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.special() {
            Some(s) if s.is_nan() => return f.write_str("NaN"),
            Some(s) if s > 0.0 => return f.write_str("Infinity"),
            Some(_) => return f.write_str("-Infinity"),
            None => {}
        }
        let m = self.mantissa();
        let sign = if m < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", m.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(s: &str) -> Numeric {
        Numeric::parse(s).unwrap()
    }

    #[test]
    fn quotients_have_postgres_scales() {
        assert_eq!(n("1").div(n("3")).unwrap().to_string(), "0.33333333333333333333");
        assert_eq!(n("10").div(n("4")).unwrap().to_string(), "2.5000000000000000");
        assert_eq!(n("100").div(n("3")).unwrap().to_string(), "33.3333333333333333");
        assert_eq!(n("2").div(n("3")).unwrap().to_string(), "0.66666666666666666667");
        assert_eq!(
            n("12345.678").div(n("0.01")).unwrap().to_string(),
            "1234567.800000000000"
        );
    }

    #[test]
    fn wire_digits_round_trip() {
        for s in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "12345.678",
            "0.0001",
            "-99999999.99",
            "0.1",
            "1e20",
        ] {
            let v = n(s);
            let (groups, weight, negative) = v.to_wire();
            let back = Numeric::from_wire(&groups, weight, negative, v.scale()).unwrap();
            assert_eq!(back.to_string(), v.to_string());
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(n("2.5").round(0).unwrap().to_string(), "3");
        assert_eq!(n("-2.5").round(0).unwrap().to_string(), "-3");
        assert_eq!(n("1234").round(-2).unwrap().to_string(), "1200");
        assert_eq!(n("-0.5").floor().to_string(), "-1");
    }
}
