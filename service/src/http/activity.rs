//! What a connection is doing, noted where it happens and without a look at the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Response, Version};

/// How a connection of HTTP/2 begins, and no request of HTTP/1 (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the first byte; in HTTP/2 for the first request.
    Fresh,
    /// For the next request.
    Idle,
    /// For the rest of a header.
    Header,
    /// For the service, which may be reading a body.
    Answering,
    /// For the client to read.
    Writing,
}

/// Written by the socket and the service of a connection, read by the task that watches it. Nothing else hangs on
/// these marks, so they need no order among one another.
#[derive(Debug)]
pub(super) struct Activity {
    under_way: AtomicU32,
    /// Counts what makes a phase another one, though it has the same name.
    changes: AtomicU32,
    has_read: AtomicBool,
    has_asked: AtomicBool,
    is_http2: AtomicBool,
    in_header: AtomicBool,
    is_writing: AtomicBool,
    /// The socket is asked whether there is anything that was not read yet.
    is_asked: AtomicBool,
    is_silent: AtomicBool,
    /// The kernel is not to go on sending when the socket is closed.
    is_given_up: AtomicBool,
    draining: Arc<AtomicBool>,
}

impl Activity {
    pub(super) fn new(draining: Arc<AtomicBool>) -> Self {
        Self {
            under_way: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            has_read: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            in_header: AtomicBool::new(false),
            is_writing: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            draining,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        if get(&self.is_writing) {
            Phase::Writing
        } else if self.under_way.load(Ordering::Relaxed) > 0 {
            Phase::Answering
        } else if get(&self.in_header) && !get(&self.is_http2) {
            Phase::Header
        } else if get(&self.has_asked) {
            Phase::Idle
        } else {
            Phase::Fresh
        }
    }

    /// The phase, and a number that differs from an earlier phase of the same name.
    pub(super) fn now(&self) -> (Phase, u32) {
        (self.phase(), self.changes.load(Ordering::Relaxed))
    }

    pub(super) fn is_http2(&self) -> bool {
        get(&self.is_http2)
    }

    /// Whether the first request has come.
    pub(super) fn has_asked(&self) -> bool {
        get(&self.has_asked)
    }

    /// These bytes came. In HTTP/2 they may be of anything, such as the answer to a ping: they change nothing.
    pub(super) fn read(&self, bytes: &[u8]) {
        if !get(&self.has_read) {
            set(&self.has_read, true);
            set(&self.is_http2, bytes.starts_with(HTTP2_PREFACE));
        }
        let begins =
            !get(&self.is_http2) && !get(&self.in_header) && self.under_way.load(Ordering::Relaxed) == 0;
        if begins {
            set(&self.in_header, true);
            self.change();
        }
    }

    /// Bytes are to be sent.
    pub(super) fn writing(&self) {
        if !get(&self.is_writing) {
            set(&self.is_writing, true);
            self.change();
        }
    }

    /// All bytes are sent.
    pub(super) fn written(&self) {
        if get(&self.is_writing) {
            set(&self.is_writing, false);
        }
    }

    /// From now on the socket reports whether anything is there.
    pub(super) fn ask_for_silence(&self) {
        set(&self.is_asked, true);
        set(&self.is_silent, false);
    }

    pub(super) fn is_asked_for_silence(&self) -> bool {
        get(&self.is_asked)
    }

    pub(super) fn report_silence(&self, is_silent: bool) {
        set(&self.is_silent, is_silent);
    }

    pub(super) fn is_silent(&self) -> bool {
        get(&self.is_silent)
    }

    pub(super) fn give_up(&self) {
        set(&self.is_given_up, true);
    }

    pub(super) fn is_given_up(&self) -> bool {
        get(&self.is_given_up)
    }

    fn change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

fn get(mark: &AtomicBool) -> bool {
    mark.load(Ordering::Relaxed)
}

fn set(mark: &AtomicBool, value: bool) {
    mark.store(value, Ordering::Relaxed);
}

/// A request that the service works on. It may end without a reply, when the client has gone.
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    pub(super) fn begin(activity: &Arc<Activity>, version: Version) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        if !get(&activity.has_asked) {
            set(&activity.has_asked, true);
            set(&activity.is_http2, version == Version::HTTP_2);
        }
        set(&activity.in_header, false);
        activity.change();
        Self(Arc::clone(activity))
    }

    /// Says in the reply, for HTTP/1, if it is the connection's last.
    pub(super) fn end<B>(self, reply: &mut Response<B>) {
        if get(&self.0.draining) && !self.0.is_http2() {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.change();
    }
}
