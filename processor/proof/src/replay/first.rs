//! The first positions of ids, as the rows before a range and the ranges judged so far have them.

use std::collections::HashMap;

use clickhouse::Client;
use processor::rows::Identity;
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;

use crate::db::known_ids::{self, Known};

/// First positions of one partition's ids, of what was received within the window.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    ids: HashMap<(ProjectId, EventHash), (Position, Micros)>,
    /// Positions before it are in.
    filled_to: u64,
    /// How many ids there may be before those too old are looked for.
    tidy_at: usize,
}

/// Ids that are kept before it is worth looking for old ones.
const TIDY_AT_LEAST: usize = 1 << 20;

impl Firsts {
    /// Fills in the rows between what was judged last and offset `lo`, received at `since` or after.
    pub(super) async fn fill_to(
        &mut self,
        client: &Client,
        partition: u32,
        lo: u64,
        since: Micros,
    ) -> Result<(), clickhouse::error::Error> {
        self.tidy(since);
        if self.filled_to < lo {
            let mut ids = known_ids::within(client, partition, (self.filled_to, lo), since)?;
            while let Some(Known { id, position, received_at }) = ids.next().await? {
                let at = (position, received_at.hour());
                self.ids.entry(id).and_modify(|first| *first = (*first).min(at)).or_insert(at);
            }
            self.filled_to = lo;
        }
        Ok(())
    }

    /// What was judged up to offset `hi` is in.
    pub(super) fn judged_to(&mut self, hi: u64) {
        self.filled_to = self.filled_to.max(hi);
    }

    /// Notes the event at `position`. Whether it is the first of its id, within `window` microseconds. Asking again
    /// gives the same answer.
    pub(super) fn is_first(&mut self, identity: &Identity, position: Position, window: i64) -> bool {
        let at = (position, identity.received_at.hour());
        let first = self.ids.entry((identity.project, identity.hash)).or_insert(at);
        let forgotten = at.1.0.saturating_sub(first.1.0) > window;
        if first.0 < position && !forgotten {
            return false;
        }
        *first = at;
        true
    }

    fn tidy(&mut self, since: Micros) {
        if self.ids.len() > self.tidy_at.max(TIDY_AT_LEAST) {
            self.ids.retain(|_, (_, hour)| *hour >= since.hour());
            self.tidy_at = 2 * self.ids.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::TenantId;

    use super::*;

    #[test]
    fn an_id_is_first_once_within_the_window_and_again_after_it() {
        let at = |hour| Identity {
            tenant: TenantId(1),
            project: ProjectId(1),
            hash: EventHash(7),
            received_at: Micros(hour * Micros::HOUR),
        };
        let (mut firsts, window) = (Firsts::default(), 2 * Micros::HOUR);
        for _ in 0..2 {
            assert!(firsts.is_first(&at(0), Position::first_of(5), window));
            assert!(!firsts.is_first(&at(2), Position::first_of(6), window), "in its last hour");
        }
        assert!(firsts.is_first(&at(3), Position::first_of(7), window), "after it");
        assert!(!firsts.is_first(&at(3), Position::first_of(8), window), "counted from the second");
        let other = Identity { project: ProjectId(2), ..at(3) };
        assert!(firsts.is_first(&other, Position::first_of(9), window));
    }
}
