//! Wall times and spans, as `google.protobuf.Timestamp` and `google.protobuf.Duration` define them.

use std::time::Duration;

use super::check::between;
use crate::domain::{Error, WallTime};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;
const NANOS_MAX: i32 = 999_999_999;
/// 0001-01-01T00:00:00Z, the earliest that `timestamp.proto` allows.
const TIMESTAMP_SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the latest that `timestamp.proto` allows.
const TIMESTAMP_SECONDS_MAX: i64 = 253_402_300_799;
/// 10,000 years, the longest that `duration.proto` allows.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;

/// To a timestamp; a clock that stands outside the years 1 to 9999 is taken as their nearest end.
pub fn time_to_pb(time: WallTime) -> prost_types::Timestamp {
    let seconds = time.0.div_euclid(MICROS_PER_SECOND);
    let micros = time.0.rem_euclid(MICROS_PER_SECOND) as i32;
    if seconds < TIMESTAMP_SECONDS_MIN {
        return prost_types::Timestamp { seconds: TIMESTAMP_SECONDS_MIN, nanos: 0 };
    }
    if seconds > TIMESTAMP_SECONDS_MAX {
        return prost_types::Timestamp { seconds: TIMESTAMP_SECONDS_MAX, nanos: NANOS_MAX };
    }
    prost_types::Timestamp { seconds, nanos: micros * NANOS_PER_MICRO }
}

/// From a timestamp; parts of a microsecond are dropped, towards the past.
///
/// # Errors
/// `Invalid` outside the years 1 to 9999, or with nanoseconds that are not part of a second.
pub fn time_from_pb(time: prost_types::Timestamp) -> Result<WallTime, Error> {
    let seconds = between("seconds", time.seconds, TIMESTAMP_SECONDS_MIN..=TIMESTAMP_SECONDS_MAX)?;
    let nanos = between("nanos", time.nanos, 0..=NANOS_MAX)?;
    Ok(WallTime(seconds * MICROS_PER_SECOND + i64::from(nanos / NANOS_PER_MICRO)))
}

/// To a protobuf duration; more than 10,000 years become 10,000 years.
pub fn duration_to_pb(span: Duration) -> prost_types::Duration {
    match i64::try_from(span.as_secs()) {
        Ok(seconds) if seconds < DURATION_SECONDS_MAX => prost_types::Duration { seconds, nanos: span.subsec_nanos() as i32 },
        _ => prost_types::Duration { seconds: DURATION_SECONDS_MAX, nanos: 0 },
    }
}

/// From a protobuf duration.
///
/// # Errors
/// `Invalid` when it is negative, longer than 10,000 years, or has nanoseconds that are not part of a second.
pub fn duration_from_pb(span: prost_types::Duration) -> Result<Duration, Error> {
    let seconds = between("seconds", span.seconds, 0..=DURATION_SECONDS_MAX)?;
    let nanos = between("nanos", span.nanos, 0..=NANOS_MAX)?;
    Ok(Duration::new(seconds.unsigned_abs(), nanos.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wall_time_comes_back_to_the_microsecond(micros in -62_135_596_800_000_000i64..=253_402_300_799_999_999) {
            prop_assert_eq!(time_from_pb(time_to_pb(WallTime(micros))), Ok(WallTime(micros)));
        }

        #[test]
        fn every_time_and_span_can_be_sent_and_is_taken(micros: i64, seconds: u64, nanos in 0u32..1_000_000_000) {
            prop_assert!(time_from_pb(time_to_pb(WallTime(micros))).is_ok());
            prop_assert!(duration_from_pb(duration_to_pb(Duration::new(seconds, nanos))).is_ok());
        }

        #[test]
        fn a_span_comes_back_to_the_nanosecond(seconds in 0u64..315_576_000_000, nanos in 0u32..1_000_000_000) {
            let span = Duration::new(seconds, nanos);
            prop_assert_eq!(duration_from_pb(duration_to_pb(span)), Ok(span));
        }

        #[test]
        fn nothing_from_the_network_makes_it_panic(seconds: i64, nanos: i32) {
            let _ = time_from_pb(prost_types::Timestamp { seconds, nanos });
            let _ = duration_from_pb(prost_types::Duration { seconds, nanos });
        }
    }

    #[test]
    fn a_time_before_1970_counts_its_nanoseconds_forwards() {
        assert_eq!(time_to_pb(WallTime(-1)), prost_types::Timestamp { seconds: -1, nanos: 999_999_000 });
        assert_eq!(time_from_pb(prost_types::Timestamp { seconds: -1, nanos: 999_999_999 }), Ok(WallTime(-1)));
        assert_eq!(time_to_pb(WallTime(-1_000_000)), prost_types::Timestamp { seconds: -1, nanos: 0 });
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        let time = |seconds, nanos| time_from_pb(prost_types::Timestamp { seconds, nanos }).unwrap_err().message;
        assert_eq!(time(0, -1), "nanos: -1 is not allowed: from 0 to 999999999");
        assert_eq!(time(i64::MAX, 0), "seconds: 9223372036854775807 is not allowed: from -62135596800 to 253402300799");
        let span = |seconds, nanos| duration_from_pb(prost_types::Duration { seconds, nanos }).unwrap_err().message;
        assert_eq!(span(-1, 0), "seconds: -1 is not allowed: from 0 to 315576000000");
        assert_eq!(span(0, 1_000_000_000), "nanos: 1000000000 is not allowed: from 0 to 999999999");
    }
}
