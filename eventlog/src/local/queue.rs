//! Requests on their way to the writers.
//!
//! One lock stands before all queues, so that a request for several partitions is taken as a whole or not at all;
//! it is held for as long as it takes to push or to take, never during I/O.
//!
//! A request of many bytes is written piece by piece, one a group, so that small ones that come after it wait for a
//! piece and not for all of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::record::RECORD_HEAD_LEN;
use crate::metrics::{PARTITIONS_REFUSING, QUEUE_BYTES};
use crate::{Append, AppendError};

/// Bytes of one group commit, unless a single request has more.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Bytes of a piece, unless a single record has more.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// How often a full disk is looked at.
const ROOM_LOOKED_FOR_EVERY: Duration = Duration::from_secs(1);

/// Why a partition takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusing {
    /// Until there is room.
    Full(String),
    /// Until the log is opened again.
    Failed(String),
}

impl Refusing {
    fn reason(&self) -> &str {
        match self {
            Self::Full(reason) | Self::Failed(reason) => reason,
        }
    }
}

/// The records of one request for one partition, or a piece of them.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) records: Vec<Append>,
    /// On disk, headers included.
    pub(super) bytes: usize,
    is_piece: bool,
    ticket: Arc<Ticket>,
}

impl Request {
    /// Gives the caller the outcome of these records.
    pub(super) fn settle(self, outcome: Result<(), AppendError>) {
        self.ticket.settle(outcome);
    }
}

/// What a writer does next.
#[derive(Debug)]
pub(super) enum WriterStep {
    /// Write these, as one group.
    Group(Vec<Request>),
    /// The disk was full: look again.
    LookForRoom,
    /// The log is closed and nothing waits.
    End,
}

/// The queues of all partitions.
#[derive(Debug)]
pub(super) struct Queues {
    bytes_max: usize,
    state: Mutex<State>,
    wake: Vec<Condvar>,
    /// Why a partition has failed, if one has.
    fatal: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct State {
    open: bool,
    /// Of all requests that are queued or being written.
    bytes: usize,
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Whole requests.
    small: VecDeque<Request>,
    /// Pieces, those of one request in their order.
    pieces: VecDeque<Request>,
    refusing: Option<Refusing>,
}

impl Queues {
    pub(super) fn new(partitions: usize, bytes_max: usize) -> Self {
        let lanes = (0..partitions).map(|_| Lane::default()).collect();
        let wake = (0..partitions).map(|_| Condvar::new()).collect();
        let state = Mutex::new(State { open: true, bytes: 0, lanes });
        Self { bytes_max, state, wake, fatal: watch::Sender::new(None) }
    }

    /// Queues all records or none; the receiver gets their outcome.
    pub(super) fn offer(
        &self,
        records: Vec<Append>,
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        let (reply, outcome) = oneshot::channel();
        let requests = requests(records, reply);
        let mut state = self.state.lock();
        state.admit(&requests, self.bytes_max).map_err(AppendError::Refused)?;
        for (partition, request) in requests {
            state.bytes += request.bytes;
            state.lanes[partition].push(request);
            self.wake[partition].notify_one();
        }
        gauge!(QUEUE_BYTES).set(state.bytes as f64);
        Ok(outcome)
    }

    /// Waits for what the writer of this partition is to do. Bytes taken count as queued until [`done`](Self::done).
    pub(super) fn take(&self, partition: usize) -> WriterStep {
        let mut state = self.state.lock();
        loop {
            let open = state.open;
            let lane = &mut state.lanes[partition];
            if !lane.is_empty() {
                return WriterStep::Group(lane.take_group());
            } else if !open {
                return WriterStep::End;
            } else if lane.refusing.is_none() {
                self.wake[partition].wait(&mut state);
            } else if self.wake[partition].wait_for(&mut state, ROOM_LOOKED_FOR_EVERY).timed_out() {
                return WriterStep::LookForRoom;
            }
        }
    }

    /// Gives back the room that these requests took in the queue.
    pub(super) fn done(&self, requests: &[Request]) {
        let mut state = self.state.lock();
        state.bytes -= requests.iter().map(|request| request.bytes).sum::<usize>();
        gauge!(QUEUE_BYTES).set(state.bytes as f64);
    }

    /// From now on this partition takes nothing; what waits for it is refused.
    pub(super) fn refuse(&self, partition: usize, refusing: &Refusing) {
        let waiting: Vec<_> = {
            let mut state = self.state.lock();
            let lane = &mut state.lanes[partition];
            lane.refusing = Some(refusing.clone());
            let waiting = lane.small.drain(..).chain(lane.pieces.drain(..)).collect();
            state.count_refusing();
            waiting
        };
        if let Refusing::Failed(reason) = refusing {
            self.fatal.send_replace(Some(reason.clone()));
        }
        self.done(&waiting);
        for request in waiting {
            request.settle(Err(AppendError::Refused(refusing.reason().to_owned())));
        }
    }

    pub(super) fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.fatal.subscribe()
    }

    /// There is room again.
    pub(super) fn resume(&self, partition: usize) {
        let mut state = self.state.lock();
        state.lanes[partition].refusing = None;
        state.count_refusing();
    }

    /// Takes nothing more; the writers end when nothing waits.
    pub(super) fn close(&self) {
        self.state.lock().open = false;
        for wake in &self.wake {
            wake.notify_all();
        }
    }
}

impl State {
    fn admit(&self, requests: &[(usize, Request)], bytes_max: usize) -> Result<(), String> {
        if !self.open {
            return Err("it is closed".to_owned());
        }
        for (partition, _) in requests {
            if let Some(refusing) = &self.lanes[*partition].refusing {
                return Err(refusing.reason().to_owned());
            }
        }
        let bytes: usize = requests.iter().map(|(_, request)| request.bytes).sum();
        if bytes > bytes_max.saturating_sub(self.bytes) {
            return Err(format!("{} bytes wait for the disk, of {bytes_max} that may", self.bytes));
        }
        Ok(())
    }

    fn count_refusing(&self) {
        let refusing = self.lanes.iter().filter(|lane| lane.refusing.is_some()).count();
        gauge!(PARTITIONS_REFUSING).set(refusing as f64);
    }
}

impl Lane {
    fn push(&mut self, request: Request) {
        let lane = if request.is_piece { &mut self.pieces } else { &mut self.small };
        lane.push_back(request);
    }

    fn is_empty(&self) -> bool {
        self.small.is_empty() && self.pieces.is_empty()
    }

    /// The small ones, and a piece: neither kind waits for all of the other.
    fn take_group(&mut self) -> Vec<Request> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(request) = self.small.front() {
            bytes += request.bytes;
            if bytes > GROUP_BYTES_MAX && !group.is_empty() {
                break;
            }
            group.extend(self.small.pop_front());
        }
        group.extend(self.pieces.pop_front());
        group
    }
}

/// Splits records by partition, and many bytes for one into pieces. The caller has checked the partitions.
fn requests(records: Vec<Append>, reply: Reply) -> Vec<(usize, Request)> {
    let mut lanes: Vec<(usize, Vec<Append>)> = Vec::new();
    for record in records {
        let partition = record.partition as usize;
        match lanes.iter_mut().find(|(lane, _)| *lane == partition) {
            Some((_, lane)) => lane.push(record),
            None => lanes.push((partition, vec![record])),
        }
    }
    let parts: Vec<_> = lanes
        .into_iter()
        .flat_map(|(partition, records)| {
            let pieces = pieces(records);
            let is_piece = pieces.len() > 1;
            pieces.into_iter().map(move |piece| (partition, is_piece, piece))
        })
        .collect();
    let tally =
        TicketState { waiting: parts.len(), stored: false, refused: None, unknown: None, reply: Some(reply) };
    let ticket = Arc::new(Ticket(Mutex::new(tally)));
    let request = |(partition, is_piece, records): (usize, bool, Vec<Append>)| {
        let bytes = records.iter().map(bytes_of).sum();
        (partition, Request { records, bytes, is_piece, ticket: Arc::clone(&ticket) })
    };
    parts.into_iter().map(request).collect()
}

/// On disk.
fn bytes_of(record: &Append) -> usize {
    record.payload.len() + RECORD_HEAD_LEN
}

fn pieces(records: Vec<Append>) -> Vec<Vec<Append>> {
    let (mut pieces, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    for record in records {
        bytes += bytes_of(&record);
        if bytes > PIECE_BYTES_MAX && !last.is_empty() {
            pieces.push(std::mem::take(&mut last));
            bytes = bytes_of(&record);
        }
        last.push(record);
    }
    pieces.push(last);
    pieces
}

type Reply = oneshot::Sender<Result<(), AppendError>>;

/// Adds up what the partitions of one request say.
#[derive(Debug)]
struct Ticket(Mutex<TicketState>);

#[derive(Debug)]
struct TicketState {
    waiting: usize,
    stored: bool,
    refused: Option<String>,
    unknown: Option<String>,
    reply: Option<Reply>,
}

impl Ticket {
    fn settle(&self, outcome: Result<(), AppendError>) {
        let mut tally = self.0.lock();
        tally.waiting -= 1;
        match outcome {
            Ok(()) => tally.stored = true,
            Err(AppendError::Refused(reason) | AppendError::Rejected(reason)) => tally.refused = Some(reason),
            Err(AppendError::Unknown(reason)) => tally.unknown = Some(reason),
        }
        if tally.waiting == 0
            && let Some(reply) = tally.reply.take()
        {
            // The caller may have given up.
            let _ = reply.send(tally.outcome());
        }
    }
}

impl TicketState {
    fn outcome(&mut self) -> Result<(), AppendError> {
        match (self.unknown.take(), self.refused.take()) {
            (Some(reason), _) => Err(AppendError::Unknown(reason)),
            (None, Some(reason)) if self.stored => Err(AppendError::Unknown(format!("in part: {reason}"))),
            (None, Some(reason)) => Err(AppendError::Refused(reason)),
            (None, None) => Ok(()),
        }
    }
}
