//! The two date formats of the AWS wire. Both are whole seconds, UTC, in the proleptic Gregorian calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    weekday: usize,
    second_of_day: u64,
}

/// Times before 1970 read as 1970: no AWS service has one.
fn civil(at: SystemTime) -> Civil {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let days = seconds / 86_400;
    // Years are counted from 1 March 0000, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Civil {
        year: year_of_era + era * 400 + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
        weekday: (days % 7) as usize,
        second_of_day: seconds % 86_400,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the `Date` header.
pub fn imf_fixdate(at: SystemTime) -> String {
    let Civil {
        year,
        month,
        day,
        weekday,
        second_of_day: s,
    } = civil(at);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!(
        "{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        WEEKDAYS[weekday],
        MONTHS[month as usize - 1],
    )
}

/// `19941106T084937Z`, the `X-Amz-Date` header.
pub fn basic_iso8601(at: SystemTime) -> String {
    let Civil {
        year,
        month,
        day,
        second_of_day: s,
        ..
    } = civil(at);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// Reads what [`basic_iso8601`] writes; `None` for anything else.
pub fn parse_basic_iso8601(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = &bytes[from..to];
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year / 400;
    let year_of_era = shifted_year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn known_dates() {
        assert_eq!(imf_fixdate(at(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(imf_fixdate(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(basic_iso8601(at(951_782_400)), "20000229T000000Z");
        assert_eq!(parse_basic_iso8601("20000229T000000Z"), Some(at(951_782_400)));
    }

    #[test]
    fn every_day_of_a_century_round_trips() {
        for day in 0..36_525 {
            let instant = at(day * 86_400 + day % 86_400);
            assert_eq!(parse_basic_iso8601(&basic_iso8601(instant)), Some(instant));
        }
    }

    #[test]
    fn rubbish_is_refused() {
        for text in [
            "",
            "2000-02-29T00:00Z",
            "20001329T000000Z",
            "2000022xT000000Z",
            "20000229 000000Z",
        ] {
            assert_eq!(parse_basic_iso8601(text), None, "{text}");
        }
    }
}
