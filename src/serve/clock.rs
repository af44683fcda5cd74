//! The time of day as logs and label tools write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now in UTC: `2026-07-01T12:00:00.000Z`.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    iso_8601(since)
}

/// Days are counted in years that begin in March, so that a leap day ends its year.
fn iso_8601(since_1970: Duration) -> String {
    let (seconds, millis) = (since_1970.as_secs(), since_1970.subsec_millis());
    let days = seconds / 86_400 + 719_468; // from 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (400 * era + year, month + 3),
        _ => (400 * era + year + 1, month - 9),
    };
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `date -u -d @SECONDS`.
    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00.005Z"),
            (951_782_400, "2000-02-29T00:00:00.005Z"),
            (1_709_251_199, "2024-02-29T23:59:59.005Z"),
            (4_107_542_400, "2100-03-01T00:00:00.005Z"),
        ] {
            assert_eq!(iso_8601(Duration::new(seconds, 5_000_000)), date);
        }
    }
}
