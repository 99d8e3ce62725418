//! Which ids have been seen, and where first.
//!
//! The store is a cache of the log, filled from ClickHouse when a partition is taken. Its rule is safe when it runs
//! ahead of the cursor: an event is a duplicate if and only if its id stands at an *earlier position*, so reading the
//! same record again gives the same answer.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;

/// The project stands beside the hash, so that no crafted id can hide another tenant's event.
type Id = (ProjectId, EventHash);

/// The ids of one partition.
#[derive(Debug, Default)]
pub struct SeenIds {
    first: HashMap<Id, Position>,
    /// The first position of each hour that has any: what is older than the window goes by position.
    hours: BTreeMap<Micros, Position>,
}

impl SeenIds {
    /// Notes that `id` stands at `position`, received at `received_at`. Whether it is a duplicate: seen at an
    /// earlier position.
    pub fn see(
        &mut self,
        project: ProjectId,
        hash: EventHash,
        position: Position,
        received_at: Micros,
    ) -> bool {
        let first = self.first.entry((project, hash)).or_insert(position);
        if *first < position {
            return true;
        }
        *first = position;
        let from = self.hours.entry(received_at.hour()).or_insert(position);
        *from = (*from).min(position);
        false
    }

    /// Forgets ids first received more than `window`, rounded up to whole hours, before `now`. Positions of a
    /// partition follow the time of receipt but for the requests in flight, so an id is kept for as long as any
    /// younger one stands before it.
    pub fn forget_before(&mut self, now: Micros, window: Duration) {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        let horizon = Micros(now.0.saturating_sub(window)).hour();
        if self.hours.first_key_value().is_none_or(|(hour, _)| *hour >= horizon) {
            return;
        }
        self.hours = self.hours.split_off(&horizon);
        let keep_from = self.hours.values().min().copied();
        self.first.retain(|_, position| keep_from.is_some_and(|from| *position >= from));
    }

    /// How many ids are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: EventHash = EventHash(7);
    const NOON: Micros = Micros(12 * Micros::HOUR);

    fn at(offset: u64) -> Position {
        Position::first_of(offset)
    }

    #[test]
    fn an_id_is_a_duplicate_only_after_its_first_position() {
        let mut seen = SeenIds::default();
        assert!(!seen.see(ProjectId(1), HASH, at(5), NOON));
        assert!(seen.see(ProjectId(1), HASH, at(6), NOON));
        assert!(!seen.see(ProjectId(1), HASH, at(5), NOON), "reading the first again");
        assert!(seen.see(ProjectId(1), HASH, at(6), NOON), "reading the second again");
    }

    #[test]
    fn a_forced_collision_of_hashes_hides_nothing_of_another_project() {
        let mut seen = SeenIds::default();
        assert!(!seen.see(ProjectId(1), HASH, at(5), NOON));
        assert!(!seen.see(ProjectId(2), HASH, at(6), NOON));
    }

    #[test]
    fn ids_are_forgotten_by_the_hour_after_the_window_and_not_before() {
        let mut seen = SeenIds::default();
        let window = Duration::from_hours(2);
        assert!(!seen.see(ProjectId(1), EventHash(1), at(1), Micros(NOON.0 - 1)));
        assert!(!seen.see(ProjectId(1), EventHash(2), at(2), NOON));
        let two_hours_on = NOON.0 + 2 * Micros::HOUR;
        seen.forget_before(Micros(two_hours_on - 1), window);
        assert_eq!(seen.len(), 2);
        seen.forget_before(Micros(two_hours_on), window);
        assert_eq!(seen.len(), 1);
        assert!(seen.see(ProjectId(1), EventHash(2), at(3), Micros(two_hours_on)));
        assert!(!seen.see(ProjectId(1), EventHash(1), at(4), Micros(two_hours_on)));
    }
}
