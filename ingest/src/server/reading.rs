//! A body is worked on: at once where it is small, else in its turn; and whoever sent it without a key pays for it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use decode::room::Room;
use schemas::problem::{Code, Problem};

use super::Node;
use crate::admission::{Admitted, SMALL_BYTES_MAX, Work};
use crate::reply::Refusal;
use crate::tenant::Tenant;

/// One request's body under way: the turn that it holds, and what it has cost.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) work: Work,
    /// The sender became known by what it says.
    pub(super) key_in_body: bool,
    /// Bytes that were made of it.
    bytes: usize,
    /// For which it was worked on in its turn.
    time: Duration,
}

/// Whose body it is.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) peer: IpAddr,
    /// `None`: not known yet.
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) deadline: tokio::time::Instant,
}

impl Node {
    /// Does a part of the work on a body of which there are `bytes` so far. What fits into a small room is done at
    /// once; what turns out to need more is done again, in its turn.
    ///
    /// # Errors
    /// What `job` says; 429 if the turn does not come, or the address of a sender who is not known owes too much: looked
    /// at as late as can be, since those who waited before it may have been charged meanwhile.
    pub(super) async fn work_on<T>(
        &self,
        reading: &mut Reading,
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
                reading.bytes = reading.bytes.saturating_add(room.taken_bytes());
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
        reading.time += time;
        reading.bytes = reading.bytes.saturating_add(room.taken_bytes());
        Ok(result?)
    }

    /// Whoever has a key is held to his tenant's limits, and not to his address's.
    fn check_address(&self, by: By<'_>) -> Result<(), Refusal> {
        match by.tenant {
            Some(_) => Ok(()),
            None => self.addresses.check(by.peer).map_err(Refusal::too_often),
        }
    }

    /// Charges the work on a request whose sender did not become known, or only by its body. Where it holds its turn
    /// still, the address owes it before the next one begins.
    pub(super) fn charge_work(&self, reading: &Reading, peer: IpAddr) {
        self.addresses.charge_work(peer, reading.bytes, reading.time);
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
