//! Sizes, durations, times and pairs, as people write and read them.

pub(crate) use crate::domain::{short_size, short_span};
pub(crate) use crate::rpc::units::{parse_duration, parse_keep, parse_pair, parse_size, wire_duration, wire_keep};

/// For people: to the second, UTC.
pub(crate) fn short_time(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        assert_eq!([5.2, 200.0, 7500.0, 273_600.0, f64::NAN, -1.0].map(short_span), ["5s", "3m20s", "2h05m", "3d4h", "0s", "0s"]);
        assert_eq!([12, 1536, 3 << 30].map(short_size), ["12 B", "1.5 KiB", "3.0 GiB"]);
    }
}
