//! What stands around a batch and holds for each of its events.

use std::borrow::Cow;
use std::collections::HashSet;

use schemas::event::EventFlags;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use super::scan::{Kind, Member, SyntaxError, each_member};
use super::{Incoming, SHARED_BYTES_MAX};
use crate::room::Room;

/// The members around a batch, except those that are the request's own.
///
/// They are merged into each event member by member, as Segment does with `context` and `integrations`: what an
/// event says itself wins. A member that an event has no field for goes to its `extra`.
#[derive(Debug, Default)]
pub(super) struct BatchMembers<'a> {
    pub(super) sent_at: Option<Micros>,
    pub(super) flags: EventFlags,
    pub(super) context: SharedObject<'a>,
    /// Members that are neither the context nor the request's own.
    pub(super) rest: SharedObject<'a>,
}

impl<'a> BatchMembers<'a> {
    pub(super) fn holds_for_events(&self) -> bool {
        self.sent_at.is_some() || !self.context.0.is_empty() || !self.rest.0.is_empty()
    }

    /// Gives each event its share. Events must be within their limit already: it bounds the work.
    ///
    /// # Errors
    /// `body_too_large` if the copies would take more than [`SHARED_BYTES_MAX`]: a small body must not become a
    /// large one here. What [`Room::derive`] says, before a copy is made.
    pub(super) fn share(&self, events: &mut [Incoming<'a>], room: &mut Room<'_>) -> Result<(), Problem> {
        let bytes = (self.context.0.len() + self.rest.0.len()).saturating_mul(events.len());
        if bytes > SHARED_BYTES_MAX {
            let detail = format!(
                "what stands around the batch, once for each event, takes more than {SHARED_BYTES_MAX} bytes"
            );
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        room.derive(bytes)?;
        for event in events {
            let merged = [(&self.context, &event.context), (&self.rest, &event.extra)];
            let copied = merged.into_iter().filter(|(shared, _)| !shared.0.is_empty());
            room.derive(copied.map(|(_, own)| own.len()).sum())?;
            event.sent_at = event.sent_at.or(self.sent_at);
            event.flags = event.flags.with(self.flags);
            self.context.add_to(&mut event.context, None)?;
            self.rest.add_to(&mut event.extra, Some("integrations"))?;
        }
        Ok(())
    }
}

/// An object that holds for every event, or empty.
#[derive(Debug, Default)]
pub(super) struct SharedObject<'a>(pub(super) Cow<'a, str>);

impl<'a> SharedObject<'a> {
    /// Adds the members to `own`; the one named `nested` is merged in turn where both have one.
    fn add_to(&self, own: &mut Cow<'a, str>, nested: Option<&str>) -> Result<(), SyntaxError> {
        if !self.0.is_empty() {
            *own = if own.is_empty() { self.0.clone() } else { Cow::Owned(merge(own, &self.0, nested)?) };
        }
        Ok(())
    }
}

/// An object of all members of `own`, and those of `shared` whose keys `own` doesn't have.
///
/// Neither's members are held; of `own`, which is within an event's limit, only the keys.
fn merge(own: &str, shared: &str, nested: Option<&str>) -> Result<String, SyntaxError> {
    let is_nested =
        |member: &Member<'_>| member.value.kind == Kind::Object && nested == Some(member.key.name().as_ref());
    // Of several the last counts, and is the only one to be merged.
    let (mut place, mut partner) = (None, None);
    if nested.is_some() {
        let mut index = 0_usize;
        each_member(own, |member| {
            if is_nested(&member) {
                place = Some(index);
            }
            index += 1;
        })?;
        each_member(shared, |member| partner = is_nested(&member).then_some(member.value.raw).or(partner))?;
    }
    let nested = place.zip(partner);
    let mut object = String::with_capacity(own.len() + shared.len());
    let mut push = |raw: &str| {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(raw);
    };
    let (mut keys, mut index, mut merged) = (HashSet::new(), 0_usize, Ok(()));
    each_member(own, |member| {
        match nested.filter(|(place, _)| *place == index) {
            None => push(member.raw),
            Some((_, partner)) => match merge(member.value.raw, partner, None) {
                Ok(value) => push(&format!("\"{}\":{value}", member.key.raw)),
                Err(error) => merged = Err(error),
            },
        }
        keys.insert(member.key.name());
        index += 1;
    })?;
    merged?;
    each_member(shared, |member| {
        if !keys.contains(&member.key.name()) {
            push(member.raw);
        }
    })?;
    object.push_str(if object.is_empty() { "{}" } else { "}" });
    Ok(object)
}
