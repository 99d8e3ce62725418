use schemas::intake::Intake;
use schemas::problem::Code;
use schemas::time::Micros;

use super::counts::Outcomes;
use super::tally::EventCounts;
use crate::tenant::Holder;

/// One request on its way, counted when it is dropped: a request can end wherever it waits, because its client goes
/// away, and is counted then too.
#[derive(Debug)]
pub struct Attempt<'a> {
    outcomes: &'a Outcomes,
    /// Who sends it, and when that was known.
    holder: Option<(Holder, Micros)>,
    open: Open,
    tally: EventCounts,
}

/// What is not counted yet.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// The request: its events have not been read.
    Request,
    /// So many events of it.
    Events(u32),
    Nothing,
}

impl<'a> Attempt<'a> {
    /// A request that nobody is known to have sent.
    #[must_use]
    pub fn new(outcomes: &'a Outcomes) -> Self {
        let tally = EventCounts { events: [0; Intake::COUNT], met: 0, request: None };
        Self { outcomes, holder: None, open: Open::Request, tally }
    }

    /// Notes who sends it, received `at`.
    pub fn comes_from(&mut self, holder: Holder, at: Micros) {
        self.holder = Some((holder, at));
    }

    /// Its body was read and holds so many events that are not counted yet.
    pub fn holds(&mut self, events: u32) {
        self.open = Open::Events(events);
    }

    /// Counts events. A warning is of events that are counted as accepted too.
    pub fn count(&mut self, outcome: Intake, events: u32) {
        if events == 0 {
            return;
        }
        let place = outcome.place();
        self.tally.events[place] = self.tally.events[place].saturating_add(events);
        self.tally.met |= 1 << place;
    }

    /// Every event of it has been counted.
    pub fn settle(&mut self) {
        self.open = Open::Nothing;
    }

    /// The request was refused. Its events were counted, unless that was before they were read.
    pub fn refused(&mut self, code: Code) {
        if matches!(self.open, Open::Request) {
            self.tally.request = Some(Intake::Refused(code));
        }
        self.open = Open::Nothing;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some((holder, at)) = self.holder else { return };
        match self.open {
            Open::Request => self.tally.request = Some(Intake::NoReply),
            Open::Events(events) => self.count(Intake::NoReply, events),
            Open::Nothing => {}
        }
        self.outcomes.add(holder, at, &self.tally);
    }
}
