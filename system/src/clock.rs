//! The time of day, as precisely as the database keeps it.

use time::OffsetDateTime;

/// Now, in whole microseconds.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let nanoseconds = now.nanosecond() / 1_000 * 1_000;
    now.replace_nanosecond(nanoseconds).unwrap_or(now)
}
