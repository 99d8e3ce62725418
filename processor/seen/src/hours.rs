//! When ids may be forgotten.
//!
//! The window counts in the log's own time: from an id's receipt to the newest receipt in its partition. So a processor
//! that is days behind forgets nothing that the events before it still need. Positions follow the time of receipt
//! except for requests in flight and for spools that are drained late, so ids are forgotten by position: an id is kept
//! for as long as any younger one stands before it.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::time::Micros;

/// A window has so many spans of receipt: ids leave the disk a span at a time.
const SPANS: u64 = 7;

/// The first position of each hour of receipt that has ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Hours {
    /// When the newest event was received; before the first, the beginning of time.
    pub(super) newest: Option<Micros>,
    /// What stands before this position is forgotten.
    pub(super) keep_from: u64,
    pub(super) first: BTreeMap<Micros, u64>,
    /// The hour that was noted last.
    latest: Option<Micros>,
}

impl Hours {
    /// As they were saved.
    pub(super) fn saved(newest: Option<Micros>, keep_from: u64, first: BTreeMap<Micros, u64>) -> Self {
        Self { newest, keep_from, first, latest: None }
    }

    /// An event was received, duplicate or not.
    pub(super) fn received(&mut self, at: Micros) {
        self.newest = self.newest.max(Some(at));
    }

    /// An id stands first at `position`.
    pub(super) fn note(&mut self, received_at: Micros, position: u64) {
        let hour = received_at.hour();
        if self.latest == Some(hour) && self.first.get(&hour).is_some_and(|first| *first <= position) {
            return;
        }
        let first = self.first.entry(hour).or_insert(position);
        *first = (*first).min(position);
        self.latest = Some(hour);
    }

    /// The hour in which ids were received that are as old as `window` at `now`, or when the newest event was
    /// received, if that was earlier. Older ones may be forgotten.
    pub(super) fn horizon(&self, now: Micros, window: Duration) -> Option<Micros> {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        self.newest.map(|newest| Micros(newest.min(now).0.saturating_sub(window)).hour())
    }

    /// Forgets hours beyond the window, where `end` is the end of all positions. Whether that lets any id go.
    pub(super) fn forget_before(&mut self, now: Micros, window: Duration, end: u64) -> bool {
        let Some(horizon) = self.horizon(now, window) else { return false };
        if self.first.first_key_value().is_none_or(|(hour, _)| *hour >= horizon) {
            return false;
        }
        self.first = self.first.split_off(&horizon);
        self.latest = None;
        let keep_from = self.first.values().min().copied().unwrap_or(end);
        let more = keep_from > self.keep_from;
        self.keep_from = self.keep_from.max(keep_from);
        more
    }
}

pub(crate) fn window_hours(window: Duration) -> u64 {
    window.as_secs().div_ceil(3600)
}

/// How long a span is.
pub(crate) fn span_micros(window: Duration) -> i64 {
    let hours = i64::try_from(window_hours(window).div_ceil(SPANS)).unwrap_or(i64::MAX);
    hours.max(1).saturating_mul(Micros::HOUR)
}

/// The times of receipt `[since, until)` that a store reads at once when it is filled up to `newest`. A gap is read as
/// a whole; everything by the spans by which the store will forget it, oldest first.
#[must_use]
pub fn spans(newest: Micros, window: Duration, is_gap: bool) -> Vec<(Micros, Option<Micros>)> {
    let window_micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    let since = Micros(newest.0.saturating_sub(window_micros)).hour();
    let span = span_micros(window);
    let mut spans = Vec::new();
    let mut begin = since;
    while !is_gap && begin.0.div_euclid(span) < newest.0.div_euclid(span) {
        let end = Micros((begin.0.div_euclid(span) + 1).saturating_mul(span));
        spans.push((begin, Some(end)));
        begin = end;
    }
    spans.push((begin, None));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * Micros::HOUR;

    #[test]
    fn everything_within_the_window_is_read_once_and_by_spans() {
        let newest = Micros(20 * DAY + 5);
        let week = Duration::from_hours(7 * 24);
        let spans_of_a_week = spans(newest, week, false);
        assert_eq!(spans_of_a_week.len(), 8);
        assert_eq!(spans_of_a_week[0], (Micros(13 * DAY), Some(Micros(14 * DAY))));
        assert!(spans_of_a_week.windows(2).all(|pair| pair[0].1 == Some(pair[1].0)));
        assert_eq!(spans_of_a_week[7], (Micros(20 * DAY), None));
        assert_eq!(spans(newest, week, true), [(Micros(13 * DAY), None)]);
    }
}
