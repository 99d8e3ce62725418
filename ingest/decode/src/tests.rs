//! One file a subject: shapes of bodies, each dialect, and what is kept.

mod cloudevents;
mod form;
mod json_test_suite;
mod kept;
mod native;
mod posthog;
mod segment;
mod shapes;
mod derived;

use serde_json::Value;

use super::*;
use crate::room::Room;

/// With all the room that there is.
fn native(body: &[u8], shape: NativeShape) -> Result<Batch<'_>, Problem> {
    super::native(body, shape, &mut Room::unlimited())
}

/// With all the room that there is.
fn segment(body: &[u8], kind: Option<EventKind>) -> Result<Batch<'_>, Problem> {
    super::segment(body, kind, &mut Room::unlimited())
}

/// With all the room that there is.
fn posthog(body: &[u8], received_at: Micros, sent_at: Option<Micros>) -> Result<Batch<'_>, Problem> {
    super::posthog(body, received_at, sent_at, &mut Room::unlimited())
}

/// With all the room that there is.
fn cloudevents(body: &[u8]) -> Result<Batch<'_>, Problem> {
    super::cloudevents(body, &mut Room::unlimited())
}

fn json(body: &str) -> Batch<'_> {
    native(body.as_bytes(), NativeShape::Json).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

fn json_problem(body: &str) -> Problem {
    native(body.as_bytes(), NativeShape::Json).unwrap_err()
}

/// The only event of a body that holds one good event.
fn only(batch: Batch<'_>) -> Incoming<'_> {
    let [event]: [_; 1] =
        batch.events.try_into().unwrap_or_else(|events| panic!("{events:?} {:?}", batch.rejected));
    event
}

/// Field and detail of the only event of a body, which is refused.
fn refusal(batch: Batch<'_>) -> (String, String) {
    assert_eq!(batch.events, []);
    let [rejection]: [_; 1] = batch.rejected.try_into().unwrap();
    (rejection.problem.field().unwrap_or_default().to_owned(), rejection.problem.detail.into_owned())
}

fn indexes(batch: &Batch<'_>) -> (Vec<u32>, Vec<u32>) {
    let events = batch.events.iter().map(|event| event.index);
    (events.collect(), batch.rejected.iter().map(|rejection| rejection.index).collect())
}

fn parsed(kept: &str) -> Value {
    serde_json::from_str(kept).unwrap_or_else(|error| panic!("{kept}: {error}"))
}
