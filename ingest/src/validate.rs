//! From what a client sent to events that can be stored: each gets its id, its hash and its time, and a repetition
//! within one request is found.

mod clock;

use std::borrow::Cow;

use decode::Incoming;
use schemas::event::{Event, EventFlags};
use schemas::frame::{encoded_len, is_within_limits};
use schemas::id::{EventHash, ProjectId};
use schemas::limit::EVENT_BYTES_MAX;
use schemas::time::Micros;
use uuid::Uuid;

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
        let spare_bytes = EVENT_BYTES_MAX.saturating_sub(self.bytes());
        clock::correct(&mut self.incoming, received_at, spare_bytes);
    }

    /// Bytes that it takes in a frame, under the id that it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        encoded_len(&self.event(Micros(0)))
    }

    /// Whether a frame takes it.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        is_within_limits(&self.event(Micros(0)))
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
    let mut places = repeated.iter();
    let (mut place, mut next) = (0, places.next());
    known.retain(|_| {
        let is_repeated = next == Some(&place);
        if is_repeated {
            next = places.next();
        }
        place += 1;
        !is_repeated
    });
    (known, u32::try_from(repeated.len()).unwrap_or(u32::MAX))
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
    use decode::room::Room;
    use decode::{NativeShape, native};

    use super::*;

    #[test]
    fn of_a_repeated_id_the_first_is_kept() {
        let body = br#"[{"id":"a","event":"1"},{"id":"b","event":"2"},{"id":"a","event":"3"},{"id":"a","event":"4"}]"#;
        let (known, repeated) =
            identify(ProjectId(1), native(body, NativeShape::Json, &mut Room::unlimited()).unwrap().events);
        assert_eq!(repeated, 2);
        assert_eq!(known.iter().map(Known::index).collect::<Vec<_>>(), [0, 1]);
    }

    /// `events` events; each second one repeats the one before it.
    fn pairs(events: usize) -> Vec<Incoming<'static>> {
        let event =
            native(br#"{"event":"e"}"#, NativeShape::Json, &mut Room::unlimited()).unwrap().events.remove(0);
        let nth = |n: usize| Incoming {
            index: u32::try_from(n).unwrap(),
            id: Some(format!("i{}", n / 2).into()),
            ..event.clone()
        };
        (0..events).map(nth).collect()
    }

    #[test]
    fn as_many_repetitions_as_a_request_can_hold_are_taken_out_in_one_pass() {
        let began = std::time::Instant::now();
        let (known, repeated) = identify(ProjectId(1), pairs(decode::EVENTS_MAX));
        println!("10,000 events, 5,000 repetitions: {:?}", began.elapsed());
        assert_eq!((known.len(), repeated), (5_000, 5_000));
        assert!(known.iter().map(Known::index).eq((0..10_000).step_by(2)));
    }

    #[test]
    fn an_event_of_the_largest_size_with_the_longest_id_stays_within_it_when_its_time_is_corrected() {
        let now = Micros(1_793_871_000_000_000);
        let body = |spare: usize| {
            let id = "i".repeat(schemas::limit::EVENT_ID_BYTES_MAX);
            let fill = "x".repeat(EVENT_BYTES_MAX - spare);
            format!(r#"{{"event":"e","id":"{id}","timestamp":"2299-01-01T00:00:00Z","x":"{fill}"}}"#)
        };
        let decoded = |spare| {
            native(body(spare).as_bytes(), NativeShape::Json, &mut Room::unlimited()).unwrap().events.len()
        };
        let least = (0..400).find(|spare| decoded(*spare) == 1).unwrap();
        // Where the client's own time is kept as well, and where there is no room for that.
        for spare in least..least + 150 {
            let body = body(spare);
            let (mut known, _) = identify(
                ProjectId(1),
                native(body.as_bytes(), NativeShape::Json, &mut Room::unlimited()).unwrap().events,
            );
            let known = &mut known[0];
            let before = known.bytes();
            assert_eq!(before, EVENT_BYTES_MAX - (spare - least));
            known.correct_time(now);
            assert!(known.is_within_limits(), "{before} became {}", known.bytes());
            assert_eq!(known.event(now).timestamp, now);
        }
    }

    #[test]
    fn events_without_an_id_are_never_repetitions() {
        let body = br#"[{"event":"1"},{"event":"1"}]"#;
        let (known, repeated) =
            identify(ProjectId(1), native(body, NativeShape::Json, &mut Room::unlimited()).unwrap().events);
        assert_eq!((known.len(), repeated), (2, 0));
        assert_ne!(known[0].id(), known[1].id());
        assert_eq!(known[0].id().len(), decode::SERVER_ID_BYTES);
    }
}
