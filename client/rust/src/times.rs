//! Times as milliseconds since 1970.

const MILLIS: i64 = 1_000;
const NANOS_PER_MILLI: i32 = 1_000_000;

/// The message for a time.
pub(crate) fn timestamp_of(millis: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(MILLIS)).unwrap_or_default() * NANOS_PER_MILLI;
    prost_types::Timestamp { seconds: millis.div_euclid(MILLIS), nanos }
}

/// The time that a message holds, in milliseconds since 1970; 0 when it is absent.
#[must_use]
pub fn millis_of(timestamp: Option<&prost_types::Timestamp>) -> i64 {
    timestamp.map_or(0, |at| at.seconds * MILLIS + i64::from(at.nanos / NANOS_PER_MILLI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_come_back_as_they_were() {
        for millis in [0, 1, 999, 1_000, 1_764_460_800_123, -1, -1_001] {
            assert_eq!(millis_of(Some(&timestamp_of(millis))), millis);
        }
        assert_eq!(millis_of(None), 0);
    }
}
