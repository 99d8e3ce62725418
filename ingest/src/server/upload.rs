//! A request's body on the wire.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use schemas::problem::Problem;
use tokio::time::{Instant, timeout};

use crate::admission::Admission;

/// A refused body that is so small, and comes so soon, is read to its end, so that the connection can be used again:
/// that is cheaper than another one.
const REST_BYTES_MAX: usize = 16 * 1024;
const REST_DEADLINE: Duration = Duration::from_millis(100);

/// A body, and how much of it is still to come.
pub(super) struct Upload {
    body: Incoming,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Untouched,
    BrokenOff,
    Whole,
}

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        let state = if body.is_end_stream() { State::Whole } else { State::Untouched };
        Self { body, state }
    }

    /// # Errors
    /// As [`Admission::read`].
    pub(super) async fn read(&mut self, admission: &Admission, deadline: Instant) -> Result<Bytes, Problem> {
        self.state = State::BrokenOff;
        let body = admission.read(&mut self.body, deadline).await?;
        self.state = State::Whole;
        Ok(body)
    }

    /// Whether nothing is left that could be taken for the next request. A little is waited for; not from a client
    /// that waits itself, for a 100 before it sends anything.
    pub(super) async fn is_over(&mut self, headers: &HeaderMap) -> bool {
        if self.state == State::Untouched && is_little(headers) && !headers.contains_key(EXPECT) {
            let rest = async { while let Some(Ok(_)) = self.body.frame().await {} };
            return timeout(REST_DEADLINE, rest).await.is_ok();
        }
        self.state == State::Whole
    }
}

fn is_little(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= REST_BYTES_MAX)
}
