//! What clients' clocks say, as weir's clock would have said it.
//!
//! A client whose clock is wrong writes `timestamp` and `sent_at` by the same wrong clock: what they differ by is
//! right, and so is the receipt.

use decode::Incoming;
use schemas::event::EventFlags;
use schemas::time::Micros;

/// A clock that differs by less is taken for right: so long may a request be under way.
const SKEW_MIN: i64 = 60 * Micros::SECOND;
/// An event may lie so far ahead of its receipt.
const AHEAD_MAX: i64 = 24 * Micros::HOUR;

/// Corrects the event's time by how wrong the client's clock was when it sent the event, and brings a time far in the
/// future back to the receipt. Each is marked, and the client's own time is kept in `extra` as `client_timestamp`,
/// in microseconds since 1970, if `spare_bytes` suffice for that.
pub(super) fn correct(incoming: &mut Incoming<'_>, received_at: Micros, spare_bytes: usize) {
    let Some(said) = incoming.timestamp else { return };
    let (mut time, mut flags) = (said, EventFlags::default());
    let skew = incoming.sent_at.map_or(0, |sent_at| received_at.0.saturating_sub(sent_at.0));
    if skew.saturating_abs() >= SKEW_MIN {
        let corrected = Micros(said.0.saturating_add(skew));
        if (Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&corrected) {
            (time, flags) = (corrected, EventFlags::SKEW_CORRECTED);
        }
    }
    if time.0 > received_at.0.saturating_add(AHEAD_MAX) {
        (time, flags) = (received_at, flags.with(EventFlags::CLAMPED));
    }
    if flags != EventFlags::default() {
        incoming.timestamp = Some(time);
        incoming.flags = incoming.flags.with(flags);
        keep(incoming, said, spare_bytes);
    }
}

fn keep(incoming: &mut Incoming<'_>, said: Micros, spare_bytes: usize) {
    let member = format!(r#""client_timestamp":{}"#, said.0);
    // With a comma, or with braces.
    if member.len() + 2 > spare_bytes {
        return;
    }
    let others = incoming.extra.trim_end().strip_suffix('}').unwrap_or_default().trim_end();
    let comma = if others.is_empty() || others.ends_with('{') { "" } else { "," };
    let opening = if others.is_empty() { "{" } else { "" };
    incoming.extra = format!("{opening}{others}{comma}{member}}}").into();
}

#[cfg(test)]
mod tests {
    use decode::room::Room;
    use decode::{NativeShape, native};
    use proptest::prelude::*;
    use schemas::limit::EVENT_BYTES_MAX;

    use super::*;

    const NOW: Micros = Micros(1_793_871_000_000_000);

    /// Time, flags and `extra` of an event that happened, and was sent, so many seconds after the receipt.
    fn corrected(happened: i64, sent: Option<i64>) -> (i64, EventFlags, String) {
        let micros = |seconds: i64| NOW.0 + seconds * Micros::SECOND;
        let sent = sent.map(|sent| format!(r#","sent_at":{}"#, micros(sent))).unwrap_or_default();
        let body = format!(r#"{{"event":"e","id":"1","timestamp":{}{sent}}}"#, micros(happened));
        let mut event =
            native(body.as_bytes(), NativeShape::Json, &mut Room::unlimited()).unwrap().events.remove(0);
        correct(&mut event, NOW, EVENT_BYTES_MAX);
        let after = event.timestamp.unwrap().0 - NOW.0;
        assert!(event.extra.is_empty() || serde_json::from_str::<serde_json::Value>(&event.extra).is_ok());
        (after / Micros::SECOND, event.flags, event.extra.into_owned())
    }

    #[test]
    fn a_clock_that_is_wrong_by_a_minute_is_corrected_and_one_that_is_less_so_is_not() {
        let day = 86_400;
        let none = EventFlags::default();
        let skew = EventFlags::SKEW_CORRECTED;
        for (happened, sent, expected, flags) in [
            (-5, None, -5, none),
            (-5, Some(59), -5, none),
            (-5, Some(-59), -5, none),
            (55, Some(60), -5, skew),
            (-65, Some(-60), -5, skew),
            (-day - 5, Some(-day), -5, skew),
            (50 * day - 3, Some(50 * day), -3, skew),
            // An old event of a client whose clock is right.
            (-90 * day, Some(0), -90 * day, none),
            (day, None, day, none),
            (day + 1, None, 0, EventFlags::CLAMPED),
            (2 * day + 100, Some(100), 0, skew.with(EventFlags::CLAMPED)),
        ] {
            let (after, marked, _) = corrected(happened, sent);
            assert_eq!((after, marked), (expected, flags), "{happened} {sent:?}");
        }
    }

    #[test]
    fn the_clients_own_time_is_kept() {
        let said = NOW.0 + 2 * 86_400 * Micros::SECOND;
        let (.., extra) = corrected(2 * 86_400, None);
        assert_eq!(extra, format!(r#"{{"client_timestamp":{said}}}"#));
        let (.., extra) = corrected(2 * 86_400, Some(2 * 86_400));
        assert_eq!(extra, format!(r#"{{"sent_at":{said},"client_timestamp":{said}}}"#));
        assert_eq!(corrected(-5, Some(0)).2, format!(r#"{{"sent_at":{}}}"#, NOW.0));
    }

    #[test]
    fn an_event_at_its_limit_stays_within_it() {
        let spare = EVENT_BYTES_MAX - 200;
        for bytes in spare..EVENT_BYTES_MAX {
            let body = format!(
                r#"{{"event":"e","id":"1","timestamp":"2299-01-01T00:00:00Z","x":"{}"}}"#,
                "x".repeat(bytes)
            );
            let Some(mut event) =
                native(body.as_bytes(), NativeShape::Json, &mut Room::unlimited()).unwrap().events.pop()
            else {
                break;
            };
            let spare_bytes = EVENT_BYTES_MAX - event.bytes();
            correct(&mut event, NOW, spare_bytes);
            assert_eq!(event.timestamp, Some(NOW));
            assert!(event.bytes() <= EVENT_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn a_corrected_time_is_one_that_a_row_holds(
            happened: i64,
            sent: Option<i64>,
            now in 0..Micros::RECEIVED_END.0,
        ) {
            let range = Micros::CLIENT_MIN..=Micros::CLIENT_MAX;
            let (min, max) = (Micros::CLIENT_MIN.0, Micros::CLIENT_MAX.0);
            let within = |micros: i64| Micros(micros.rem_euclid(max - min) + min);
            let mut event = native(br#"{"event":"e"}"#, NativeShape::Json, &mut Room::unlimited()).unwrap().events.remove(0);
            (event.timestamp, event.sent_at) = (Some(within(happened)), sent.map(within));
            correct(&mut event, Micros(now), EVENT_BYTES_MAX);
            let time = event.timestamp.unwrap();
            prop_assert!(range.contains(&time) && time.0 <= now + AHEAD_MAX);
        }
    }
}
