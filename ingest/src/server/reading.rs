//! A body is worked on: at once if it is small, else in its turn. If nothing of it is accepted, its sender pays for the
//! work: the tenant if the request's header names one, else the address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use decode::room::Room;
use schemas::problem::{Code, Problem};

use super::Node;
use crate::admission::{Admitted, SMALL_BYTES_MAX, Work};
use crate::rate::{Addresses, Rates};
use crate::reply::Refusal;
use crate::tenant::Tenant;

/// A body of a tenant of which nothing was accepted counts as one event for each so many plain bytes, if it did not
/// have more.
const EVENT_BYTES: usize = 1024;

/// One request's body under way: the turn that it holds, what it has cost, and who pays if nothing of it is accepted.
///
/// The work is charged when this is dropped. So a client that leaves before its reply pays as well.
#[derive(Debug)]
pub(super) struct BodyWork<'a> {
    pub(super) work: Work,
    payer: Payer<'a>,
    /// Events in it that the tenant has paid for.
    paid_events: u32,
    /// Bytes of the body that were worked on last: compressed, then plain.
    body_bytes: usize,
    /// Bytes that were made of it.
    made_bytes: usize,
    /// For which it was worked on in its turn.
    time: Duration,
}

#[derive(Debug)]
enum Payer<'a> {
    Nobody,
    Address(&'a Addresses, IpAddr),
    Tenant(&'a Rates, Arc<Tenant>),
}

/// Whose body it is.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) peer: IpAddr,
    /// `None`: not known yet.
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) deadline: tokio::time::Instant,
}

impl<'a> BodyWork<'a> {
    /// Of a sender who is not known yet.
    pub(super) fn of_address(addresses: &'a Addresses, peer: IpAddr) -> Self {
        let payer = Payer::Address(addresses, peer);
        Self { work: Work::Small, payer, paid_events: 0, body_bytes: 0, made_bytes: 0, time: Duration::ZERO }
    }

    /// The request's header has a tenant's key. A key in the body does not count here: it may stand on a web page.
    pub(super) fn belongs_to(&mut self, rates: &'a Rates, tenant: &Arc<Tenant>) {
        self.payer = Payer::Tenant(rates, Arc::clone(tenant));
    }

    /// The sender became known by what the body says.
    pub(super) fn has_key_in_body(&self) -> bool {
        matches!(self.payer, Payer::Address(..))
    }

    /// The tenant has paid for so many events in it, which count if nothing is accepted.
    pub(super) fn has_paid(&mut self, events: u32) {
        self.paid_events = events;
    }

    /// Something was accepted, or it was weir that failed.
    pub(super) fn is_free(&mut self) {
        self.payer = Payer::Nobody;
    }

    /// A part of the work is done: on so many bytes of the body, of which so many were made.
    fn worked(&mut self, body_bytes: usize, made_bytes: usize, time: Duration) {
        self.body_bytes = body_bytes;
        self.made_bytes = self.made_bytes.saturating_add(made_bytes);
        self.time += time;
    }
}

/// Before the turn ends: the sender owes for this body when its next one begins.
impl Drop for BodyWork<'_> {
    fn drop(&mut self) {
        match &self.payer {
            Payer::Address(addresses, peer) => addresses.charge_work(*peer, self.made_bytes, self.time),
            Payer::Tenant(rates, tenant) if self.body_bytes > 0 => {
                let events = 1 + self.body_bytes.max(self.made_bytes) / EVENT_BYTES;
                let unpaid = u32::try_from(events).unwrap_or(u32::MAX).saturating_sub(self.paid_events);
                // What a tenant in debt owes does not grow: its next request is refused by its header.
                let _in_debt = rates.charge(tenant, unpaid).is_err();
            }
            Payer::Tenant(..) | Payer::Nobody => {}
        }
    }
}

impl Node {
    /// Does a part of the work on a body of which there are `bytes` so far. What fits into a small room is done at
    /// once; what turns out to need more is done again, in its turn.
    ///
    /// # Errors
    /// What `job` says; 429 if the turn does not come, or the address of a sender who is not known owes too much:
    /// looked at as late as can be, since those who waited before it may have been charged meanwhile.
    pub(super) async fn work_on<T>(
        &self,
        reading: &mut BodyWork<'_>,
        by: By<'_>,
        admitted: &mut Admitted,
        bytes: usize,
        job: impl Fn(&mut Room<'_>) -> Result<T, Problem>,
    ) -> Result<T, Refusal> {
        if matches!(reading.work, Work::Small) {
            if bytes <= SMALL_BYTES_MAX {
                self.check_address(by)?;
                let bytes_max = self.config.inflated_bytes_max.min(SMALL_BYTES_MAX);
                let mut room = Room::bounded(bytes_max, 2 * SMALL_BYTES_MAX);
                let result = job(&mut room);
                reading.worked(bytes, room.taken_bytes(), Duration::ZERO);
                if result.as_ref().err().is_none_or(|problem| problem.code != Code::BodyTooLarge) {
                    let done = result?;
                    admitted.grow(room.taken_bytes())?;
                    return Ok(done);
                }
            }
            reading.work = self.turns.wait(by.tenant, by.deadline).await?;
            self.check_address(by)?;
        }
        let mut charge = |bytes| admitted.grow(bytes);
        let mut room = Room::charged(self.config.inflated_bytes_max, &mut charge);
        let timed = || {
            let started = Instant::now();
            (job(&mut room), started.elapsed())
        };
        let (result, time) = self.turns.run(&reading.work, timed).await;
        reading.worked(bytes, room.taken_bytes(), time);
        Ok(result?)
    }

    /// A sender with a key is held to its tenant's limits, and not to its address's.
    fn check_address(&self, by: By<'_>) -> Result<(), Refusal> {
        match by.tenant {
            Some(_) => Ok(()),
            None => self.addresses.check(by.peer).map_err(Refusal::too_often),
        }
    }

    /// The sender is known: the next large body of those who are not need not wait for this one any more.
    ///
    /// # Errors
    /// As [`Turns::wait`](crate::admission::Turns::wait).
    pub(super) async fn turn_of(&self, work: Work, by: By<'_>) -> Result<Work, Problem> {
        if matches!(work, Work::Small) {
            return Ok(Work::Small);
        }
        drop(work);
        self.turns.wait(by.tenant, by.deadline).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_request_that_is_given_up_is_paid_for_by_its_address_and_a_free_one_by_nobody() {
        let addresses = Addresses::new(1);
        let address = |number| IpAddr::from(Ipv4Addr::from_bits(number));
        for (number, is_free) in [(1, false), (2, true)] {
            let mut reading = BodyWork::of_address(&addresses, address(number));
            reading.made_bytes = 1 << 20;
            if is_free {
                reading.is_free();
            }
            assert_eq!(addresses.check(address(number)), Ok(()));
            drop(reading);
            assert_eq!(addresses.check(address(number)).is_ok(), is_free);
        }
    }
}
