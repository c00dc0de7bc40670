//! Timestamps: units, dates in and out; no clock and no time zones but the written ones.

use std::fmt::Write as _;

use super::lines::quoted;

/// Days from 1970-01-01 to a date of the Gregorian calendar (H. Hinnant, "chrono-compatible
/// low-level date algorithms", `days_from_civil`).
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of the `days`-th day after 1970-01-01 (the same author's
/// `civil_from_days`).
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Seconds since 1970 as `2000-12-31T22:12:40Z`.
pub(crate) fn iso(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates at absurd years")]
    let whole = seconds.floor().clamp(-1e15, 1e15) as i64;
    let (year, month, day) = civil_from_days(whole.div_euclid(86_400));
    let second = whole.rem_euclid(86_400);
    let mut text = String::new();
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    text
}

/// Reads a time: a finite number as it stands, or an ISO 8601 date with or without time of day
/// and zone (UTC where there is none) as seconds since 1970.
///
/// # Errors
/// What was found and what was expected.
pub(crate) fn parse(column: &str, text: &str) -> Result<f64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return if number.is_finite() {
            Ok(number)
        } else {
            Err(format!("{column} is {}, expected a finite time", quoted(text)))
        };
    }
    parse_iso(text).ok_or_else(|| {
        let found = quoted(text);
        format!("{column} is {found}, expected a number or a date such as 2016-08-08 00:50:22")
    })
}

/// An ISO 8601 date in seconds since 1970.
fn parse_iso(text: &str) -> Option<f64> {
    let digits = |text: &str, n: usize| -> Option<i64> {
        (text.len() == n && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None; // such as 31 February
    }
    let midnight = days * 86_400;
    if rest.is_empty() {
        return Some(midnight as f64);
    }
    let (clock, zone) = split_zone(rest.strip_prefix(['T', ' '])?);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = match parts.next() {
        None => 0.0,
        Some(second) if second.starts_with(|c: char| c.is_ascii_digit()) => {
            second.parse::<f64>().ok()?
        }
        Some(_) => return None,
    };
    if hour > 23 || minute > 59 || !(0.0..61.0).contains(&second) {
        return None;
    }
    Some((midnight + hour * 3600 + minute * 60 - zone?) as f64 + second)
}

/// Cuts `Z`, `+02:00` or ` UTC` off a time of day; the zone is in seconds, `None` if it is not one.
fn split_zone(text: &str) -> (&str, Option<i64>) {
    let text = text.trim_end();
    if let Some(clock) = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")) {
        return (clock, Some(0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return (text, Some(0)) };
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    let zone: String = text[at + 1..].chars().filter(|&c| c != ':').collect();
    let offset = match zone.len() {
        2 | 4 if zone.bytes().all(|byte| byte.is_ascii_digit()) => zone.parse::<i64>().ok(),
        _ => None,
    };
    let minutes = offset.map(|n| if zone.len() == 2 { n * 60 } else { n / 100 * 60 + n % 100 });
    (text[..at].trim_end(), minutes.map(|minutes| sign * minutes * 60))
}

/// What one unit of a time column is, as a fraction of a second and in words.
///
/// The median decides: 1e11 seconds are the year 5138, but 1e11 milliseconds are 1973.
pub(crate) fn unit(times: &[f64]) -> (f64, &'static str) {
    let mut sizes: Vec<f64> = times.iter().map(|time| time.abs()).collect();
    if sizes.is_empty() {
        return (1.0, "seconds");
    }
    let middle = sizes.len() / 2;
    let (_, median, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    match *median {
        ..1e11 => (1.0, "seconds"),
        1e11..1e14 => (1e3, "milliseconds"),
        1e14..1e17 => (1e6, "microseconds"),
        _ => (1e9, "nanoseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d 2000-12-31T22:12:40 +%s`
        assert_eq!(parse("time", "2000-12-31T22:12:40Z"), Ok(978_300_760.0));
        assert_eq!(parse("time", "2000-12-31 22:12:40"), Ok(978_300_760.0));
        assert_eq!(parse("time", "2001-01-01T00:12:40+02:00"), Ok(978_300_760.0));
        assert_eq!(parse("time", "1970-01-02"), Ok(86_400.0));
        assert_eq!(parse("time", "978300760"), Ok(978_300_760.0));
        assert_eq!(iso(978_300_760.0), "2000-12-31T22:12:40Z");
        assert_eq!(iso(-1.0), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in
            ["", "yesterday", "2000-02-30", "2000-13-01", "2000-01-01T25:00:00", "NaN", "inf"]
        {
            assert!(parse("time", text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for days in -146_097..146_097 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn units_are_told_by_size() {
        assert_eq!(unit(&[881_250_949.0, 0.0, 891_717_742.0]).1, "seconds");
        assert_eq!(unit(&[1_588_687_728_923.0]).1, "milliseconds");
        assert_eq!(unit(&[1_588_687_728_923_000.0]).1, "microseconds");
    }
}
