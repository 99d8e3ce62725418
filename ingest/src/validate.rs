//! From what a client sent to events that can be stored: each gets its id, its hash and its time, and a repetition
//! within one request is found.

mod clock;

use std::borrow::Cow;

use schemas::event::{Event, EventFlags};
use schemas::id::{EventHash, ProjectId};
use schemas::time::Micros;
use uuid::Uuid;

use crate::decode::Incoming;

/// An event with its identity.
#[derive(Debug)]
pub struct Known<'a> {
    incoming: Incoming<'a>,
    id: Cow<'a, str>,
    hash: EventHash,
}

impl Known<'_> {
    /// Its place in the request.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.incoming.index
    }

    /// Its id: the client's, or the one that was made for it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> EventHash {
        self.hash
    }

    /// What was noticed about it.
    #[must_use]
    pub fn flags(&self) -> EventFlags {
        self.incoming.flags
    }

    /// Notes something about it.
    pub fn flag(&mut self, flag: EventFlags) {
        self.incoming.flags = self.incoming.flags.with(flag);
    }

    /// Corrects its time where the client's clock was wrong, for a request received at `received_at`.
    pub fn correct_time(&mut self, received_at: Micros) {
        clock::correct(&mut self.incoming, received_at);
    }

    /// The event as it is stored, for a request received at `received_at`.
    #[must_use]
    pub fn event(&self, received_at: Micros) -> Event<'_> {
        self.incoming.event(self.hash, &self.id, self.incoming.timestamp.unwrap_or(received_at))
    }
}

/// Identifies the events of one request for `project`. The second number is how many repeated an id of this very
/// request; of those, the first is kept.
#[must_use]
pub fn identify(project: ProjectId, incoming: Vec<Incoming<'_>>) -> (Vec<Known<'_>>, u32) {
    let mut known: Vec<Known<'_>> = incoming.into_iter().map(|incoming| know(project, incoming)).collect();
    let repeated = repetitions(&known);
    let count = u32::try_from(repeated.len()).unwrap_or(u32::MAX);
    // From the end, so that the places before stay valid.
    for place in repeated.into_iter().rev() {
        known.remove(place);
    }
    (known, count)
}

fn know(project: ProjectId, mut incoming: Incoming<'_>) -> Known<'_> {
    // The flag that says so was set when the body was read.
    let id = incoming.id.take().unwrap_or_else(|| Cow::Owned(Uuid::now_v7().to_string()));
    let hash = EventHash::of(project, &id);
    Known { incoming, id, hash }
}

/// Places, in order, of events whose id stands at an earlier place.
fn repetitions(known: &[Known<'_>]) -> Vec<usize> {
    if known.len() < 2 {
        return Vec::new();
    }
    let mut places: Vec<(EventHash, usize)> = known.iter().enumerate().map(|(i, k)| (k.hash, i)).collect();
    places.sort_unstable();
    let mut repeated: Vec<usize> =
        places.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).collect();
    repeated.sort_unstable();
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{NativeShape, native};

    #[test]
    fn of_a_repeated_id_the_first_is_kept() {
        let body = br#"[{"id":"a","event":"1"},{"id":"b","event":"2"},{"id":"a","event":"3"},{"id":"a","event":"4"}]"#;
        let (known, repeated) = identify(ProjectId(1), native(body, NativeShape::Json).unwrap().events);
        assert_eq!(repeated, 2);
        assert_eq!(known.iter().map(Known::index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn events_without_an_id_are_never_repetitions() {
        let body = br#"[{"event":"1"},{"event":"1"}]"#;
        let (known, repeated) = identify(ProjectId(1), native(body, NativeShape::Json).unwrap().events);
        assert_eq!((known.len(), repeated), (2, 0));
        assert_ne!(known[0].id(), known[1].id());
        assert_eq!(known[0].id().len(), crate::decode::SERVER_ID_BYTES);
    }
}
