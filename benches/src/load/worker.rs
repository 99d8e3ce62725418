//! One connection: batch after batch, one request at a time, as an SDK sends them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use tokio::time::{sleep, sleep_until, timeout};

use super::body::{Bodies, Body};
use super::id::Choices;
use super::journal::{Entry, IdRange};
use super::keys::KeyTurn;
use super::link::Link;
use super::pace::Schedule;
use super::reply::Answer;
use super::run::SharedRun;
use super::tally::SentRequest;

/// How long to wait before the next attempt, at least and at most, if the reply asks for no longer.
const BACKOFF_MS: std::ops::Range<u64> = 50..200;
/// The longest `Retry-After` that is honoured.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// How many acknowledged ranges are kept to choose re-sends from: recent ones, and ever fewer of older ones.
const REMEMBERED_MAX: usize = 256;

/// Events that travel together, the new ones first.
#[derive(Debug)]
struct Batch {
    ranges: Vec<IdRange>,
    events: u32,
    /// Of them, re-sends of acknowledged ones.
    resent: u32,
    body: Body,
}

/// One connection.
pub(crate) struct Worker {
    run: Arc<SharedRun>,
    connection: u16,
    bodies: Bodies,
    pace: Schedule,
    choices: Choices,
    /// Where most of its requests go.
    target: usize,
    turn: KeyTurn,
    /// One for each target, opened when needed.
    links: Vec<Option<Link>>,
    next_sequence: u32,
    events_max: u32,
    /// Re-sends that are due, in hundredths of an event.
    resend_credit: u64,
    acknowledged: Vec<IdRange>,
}

impl Worker {
    pub(crate) fn new(run: Arc<SharedRun>, connection: u16) -> anyhow::Result<Self> {
        let plan = &run.plan;
        let (target, turn) = plan.home(connection);
        Ok(Self {
            connection,
            target,
            turn,
            bodies: Bodies::new(plan, connection)?,
            pace: Schedule::new(run.started, plan.interval, connection, plan.connections),
            choices: Choices::new(plan.run_id, connection),
            links: plan.targets.iter().map(|_| None).collect(),
            next_sequence: 0,
            events_max: plan.events_of(connection),
            resend_credit: 0,
            acknowledged: Vec::new(),
            run,
        })
    }

    /// Sends until the events are sent, the time is over, or no server can be reached for too long.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        loop {
            if !self.wait_until_due().await || self.next_sequence >= self.events_max {
                return Ok(());
            }
            let batch = self.next_batch()?;
            let from = self.pace.begin(Instant::now());
            if !self.deliver(&batch, from).await? {
                return Ok(());
            }
        }
    }

    /// Whether another batch may begin; waits for its time in an open loop.
    async fn wait_until_due(&self) -> bool {
        let due = self.pace.due().unwrap_or(self.run.started);
        loop {
            let now = Instant::now();
            if due <= now || !self.run.may_begin(due) {
                return self.run.may_begin(due.max(now));
            }
            // In steps, so that a stop is noticed.
            sleep_until(due.min(now + Duration::from_millis(100)).into()).await;
        }
    }

    fn next_batch(&mut self) -> anyhow::Result<Batch> {
        let plan = &self.run.plan;
        self.resend_credit += u64::from(plan.batch) * u64::from(plan.retry_share);
        let wanted = u32::try_from(self.resend_credit / 100).unwrap_or(u32::MAX).min(plan.batch);
        let again = self.choose_acknowledged(wanted);
        let resent = again.map_or(0, |range| range.count);
        // What could not be re-sent is made up for later, but never by more than a batch.
        self.resend_credit -= u64::from(resent) * 100;
        self.resend_credit = self.resend_credit.min(u64::from(self.run.plan.batch) * 100);

        let fresh = (self.run.plan.batch - resent).min(self.events_max - self.next_sequence);
        let new = IdRange { first: self.next_sequence, count: fresh };
        self.next_sequence += fresh;
        let ranges: Vec<_> =
            [Some(new).filter(|range| range.count > 0), again].into_iter().flatten().collect();
        Ok(Batch { events: fresh + resent, resent, body: self.bodies.build(&ranges)?, ranges })
    }

    /// At most `count` neighbours among what was acknowledged.
    fn choose_acknowledged(&mut self, count: u32) -> Option<IdRange> {
        let slot = self.choices.below(self.acknowledged.len() as u64);
        let range = *self.acknowledged.get(usize::try_from(slot).ok()?)?;
        let count = count.min(range.count);
        let skip = u32::try_from(self.choices.below(u64::from(range.count - count) + 1)).unwrap_or_default();
        (count > 0).then_some(IdRange { first: range.first + skip, count })
    }

    fn remember(&mut self, range: IdRange) {
        if self.run.plan.retry_share == 0 {
            return;
        }
        if self.acknowledged.len() < REMEMBERED_MAX {
            self.acknowledged.push(range);
        } else if let Ok(slot) = usize::try_from(self.choices.below(REMEMBERED_MAX as u64)) {
            self.acknowledged[slot] = range;
        }
    }

    /// Sends a batch until there is nothing more to be done for it. `false` if the run should end here, because
    /// nobody can be reached.
    async fn deliver(&mut self, batch: &Batch, from: Instant) -> anyhow::Result<bool> {
        let run = Arc::clone(&self.run);
        let (targets, since) = (run.plan.targets.len(), Instant::now());
        // Of the batch: a second attempt with another key could store it a second time.
        let key = run.plan.keys.header(self.turn.next())?;
        let mut target = self.target;
        if batch.resent > 0 {
            // A duplicate may well arrive at another node than the original did.
            target = usize::try_from(self.choices.below(targets as u64)).unwrap_or_default();
        }
        let mut attempts = 0;
        loop {
            let mut wait = None;
            if self.connect(target).await {
                let answer = self.attempt(batch, target, &key, from, attempts).await?;
                attempts += 1;
                match answer {
                    Answer::Acknowledged(rejected) => {
                        if let (true, Some(range)) = (rejected.is_empty(), batch.ranges.first()) {
                            self.remember(*range);
                        }
                        return Ok(true);
                    }
                    Answer::Refused { status: 429, retry_after, .. } if run.plan.retry => wait = retry_after,
                    Answer::Refused { .. } => return Ok(true),
                    Answer::Unknown { retry_after, .. } if run.plan.retry => wait = retry_after,
                    Answer::Unknown { .. } => {
                        run.tally.left(batch.events);
                        return Ok(true);
                    }
                }
                if !run.may_retry(since, true, Instant::now()) {
                    run.tally.left(batch.events);
                    return Ok(true);
                }
            } else if !run.may_retry(since, attempts > 0, Instant::now()) {
                if attempts > 0 {
                    run.tally.left(batch.events);
                }
                return Ok(false);
            }
            self.back_off(wait).await;
            target = (target + 1) % targets;
        }
    }

    /// Whether the link to `target` is open now. Nothing is sent here, so a failure leaves nothing unknown.
    async fn connect(&mut self, target: usize) -> bool {
        if let Some(link) = &mut self.links[target]
            && link.is_ready().await
        {
            return true;
        }
        self.links[target] = None;
        let opening = async {
            let mut link = Link::open(&self.run.plan.targets[target]).await?;
            anyhow::ensure!(link.is_ready().await, "the connection was closed at once");
            Ok(link)
        };
        let opened = timeout(self.run.plan.deadline, opening).await;
        match opened.unwrap_or_else(|_| Err(anyhow::anyhow!("connecting took longer than the deadline"))) {
            Ok(link) => {
                self.run.tally.connected(Ok(()));
                self.links[target] = Some(link);
                true
            }
            Err(error) => {
                let address = self.run.plan.targets[target].address();
                self.run.tally.connected(Err(format!("{address}: {error:#}")));
                false
            }
        }
    }

    /// Sends the batch once over an open link, and notes how that ended.
    async fn attempt(
        &mut self,
        batch: &Batch,
        target: usize,
        key: &HeaderValue,
        from: Instant,
        attempts: u32,
    ) -> anyhow::Result<Answer> {
        let plan = &self.run.plan;
        self.run.note(self.connection, Entry::Sent(batch.ranges.clone()))?;
        // The first attempt is timed from when it was due, the others from when they began.
        let from = if attempts == 0 { from } else { Instant::now() };
        let mut answer = Answer::unknown("not-connected");
        if let Some(link) = &mut self.links[target] {
            let exchange = link.exchange(&plan.targets[target], key, &batch.body, plan.gzip);
            answer = match timeout(plan.deadline, exchange).await {
                Ok(Ok(reply)) => Answer::read(&reply, batch.events),
                Ok(Err(_)) => Answer::unknown("connection"),
                Err(_) => Answer::unknown("deadline"),
            };
        }
        let ended = Instant::now();
        self.run.note(self.connection, entry(&answer))?;
        self.run.tally.attempt(&SentRequest {
            events: batch.events,
            resent: batch.resent,
            is_retry: attempts > 0,
            body_bytes: batch.body.bytes.len(),
            plain_bytes: batch.body.plain_len,
            latency: ended.saturating_duration_since(from),
            ended,
            answer: &answer,
        });
        if matches!(&answer, Answer::Unknown { why, .. } if why == "connection" || why == "deadline") {
            self.links[target] = None;
        }
        Ok(answer)
    }

    /// Waits as long as the server asks for, and a random while at least.
    async fn back_off(&mut self, retry_after: Option<Duration>) {
        let jitter_ms = BACKOFF_MS.start + self.choices.below(BACKOFF_MS.end - BACKOFF_MS.start);
        let wait = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX).max(Duration::from_millis(jitter_ms));
        sleep(wait).await;
    }
}

/// What the journal says of an answer.
fn entry(answer: &Answer) -> Entry {
    match answer {
        Answer::Acknowledged(rejected) if rejected.is_empty() => Entry::Acknowledged,
        Answer::Acknowledged(rejected) => Entry::Partly(rejected.iter().map(|item| item.index).collect()),
        Answer::Refused { status, code, .. } => Entry::Refused { status: *status, code: code.clone() },
        Answer::Unknown { why, .. } => Entry::Unknown { why: why.clone() },
    }
}
