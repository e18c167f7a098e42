//! Sizes, durations, times and pairs, as people and scripts write them, and as documents have them.

use std::time::Duration;

use crate::domain::{Error, Keep};

/// Bytes, from `4G`, `512MiB`, `4Gi`, `100kB`, `12`. A bare letter, `Ki` and `KiB` are powers of 1024, `kB` and `MB` powers of 1000.
pub(crate) fn parse_size(text: &str) -> Result<u64, Error> {
    let bad = || Error::invalid(format!("size `{text}`: write it as 4G, 512MiB, 100MB or 12345"));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

/// A span, from `90s`, `2h`, `1h30m`, `500ms`; a bare number is seconds. At most about 10,000 years.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Error> {
    let bad = || Error::invalid(format!("duration `{text}`: write it as 90s, 2h or 1h30m"));
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            // Only alone: in `1h30` nobody can say what the 30 are.
            "" if number == text => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)).ok_or_else(bad)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(bad)?;
        rest = tail;
    }
    // The wire's `Duration` ends there.
    if text.is_empty() || total.as_secs() > 315_576_000_000 {
        return Err(bad());
    }
    Ok(total)
}

/// How long a job is kept, from `30d`, `12h` or `forever`.
pub(crate) fn parse_keep(text: &str) -> Result<Keep, Error> {
    if text == "forever" { Ok(Keep::Forever) } else { parse_duration(text).map(Keep::For) }
}

/// On the wire; forever has a field of its own.
pub(crate) fn wire_keep(keep: Keep) -> Option<prost_types::Duration> {
    match keep {
        Keep::For(span) => Some(wire_duration(span)),
        Keep::Forever => None,
    }
}

/// A name and a value, from `NAME=VALUE`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("`{text}`: write it as NAME=VALUE"))),
    }
}

/// On the wire.
pub(crate) fn wire_duration(span: Duration) -> prost_types::Duration {
    // Bounded by `parse_duration`.
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos: span.subsec_nanos().cast_signed() }
}

/// RFC 3339, UTC, with microseconds; none for a time that no calendar has.
pub(crate) fn rfc3339(time: Option<&prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|time| format!("{time:.6}"))
}

/// This machine's clock.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// An empty text is none.
pub(crate) fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("12", 12), ("4G", 4 << 30), ("512MiB", 512 << 20), ("4Gi", 4 << 30), ("100kB", 100_000), ("1t", 1 << 40), ("0", 0)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "G", "-1", "1.5G", "4 G", "99999999999999T", "1X"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("90s", 90_000), ("2h", 7_200_000), ("1h30m", 5_400_000), ("500ms", 500), ("7", 7000), ("1d", 86_400_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "s", "-1s", "1h30", "1.5h", "1 h", "18446744073709551615d", "1y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_has_microseconds_and_a_z() {
        let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000 };
        assert_eq!(rfc3339(Some(&time)).unwrap(), "2023-11-14T22:13:20.000005Z");
        assert_eq!(rfc3339(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: -1 })), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-zé=]{0,24}") {
            let _ = (parse_size(&text), parse_duration(&text), parse_pair(&text));
        }

        #[test]
        fn a_duration_survives_its_text(hours in 0u64..1000, minutes in 0u64..60, seconds in 0u64..60) {
            let span = parse_duration(&format!("{hours}h{minutes}m{seconds}s")).unwrap();
            prop_assert_eq!(span, Duration::from_secs(hours * 3600 + minutes * 60 + seconds));
        }
    }
}
