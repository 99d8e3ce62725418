//! The socket below a connection: plain or TLS, noting what happens on it, and closed without a reset.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// For how long, and how much, a connection that is done is read on, so that the client gets to read its reply.
const LINGER: Duration = Duration::from_secs(8);
/// And for how long if nothing comes.
const LINGER_SILENT: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is not wanted is taken slowly, after a first megabyte at 1.6 MB a second: a refused client should not cost more
/// than a served one.
const LINGER_SOON_BYTES: usize = 1024 * 1024;
const LINGER_STEP_BYTES: usize = 16 * 1024;
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// A connection's socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn reading(&mut self) -> Pin<&mut (dyn AsyncRead + Send + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    fn writing(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

/// A socket that notes what happens on it.
pub(super) struct Watched {
    socket: Socket,
    activity: Arc<Activity>,
    linger: Linger,
}

/// How far the end of a connection has got.
enum Linger {
    NotYet,
    Reading { until: Instant, left: usize, resume_at: Instant, silent_at: Instant, alarm: Pin<Box<Sleep>> },
    Done,
}

impl Watched {
    pub(super) fn new(socket: Socket, activity: Arc<Activity>) -> Self {
        Self { socket, activity, linger: Linger::NotYet }
    }

    /// Whether the kernel has bytes that nobody was woken up for yet.
    fn report_silence(&self) {
        let mut byte = [MaybeUninit::uninit()];
        let seen = SockRef::from(self.socket.tcp()).peek(&mut byte);
        self.activity.report_silence(seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    }

    /// Reads and forgets until the client closes too, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Linger::Reading { until, left, resume_at, silent_at, alarm } = &mut self.linger else {
            return Poll::Ready(());
        };
        loop {
            let now = Instant::now();
            if now >= *until || *left == 0 {
                return Poll::Ready(());
            }
            if now < *resume_at {
                alarm.as_mut().reset(*resume_at);
                ready!(alarm.as_mut().poll(cx));
                continue;
            }
            let taken = match take(self.socket.reading(), cx) {
                Poll::Ready(0) => return Poll::Ready(()),
                Poll::Ready(taken) => taken,
                Poll::Pending => {
                    // Whichever comes first: bytes, or the end of the time.
                    alarm.as_mut().reset(*silent_at.min(until));
                    return alarm.as_mut().poll(cx);
                }
            };
            *left = left.saturating_sub(taken);
            *silent_at = now + LINGER_SILENT;
            if LINGER_BYTES_MAX - *left > LINGER_SOON_BYTES {
                *resume_at = now + LINGER_PAUSE;
            }
        }
    }
}

/// Reads and forgets what is there, up to [`LINGER_STEP_BYTES`]; 0 at the end.
fn take(mut socket: Pin<&mut (dyn AsyncRead + Send + Unpin)>, cx: &mut Context<'_>) -> Poll<usize> {
    let mut room = [MaybeUninit::uninit(); 8 * 1024];
    let mut taken = 0;
    while taken < LINGER_STEP_BYTES {
        let mut buffer = ReadBuf::uninit(&mut room);
        match socket.as_mut().poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => taken += buffer.filled().len(),
            Poll::Pending if taken == 0 => return Poll::Pending,
            Poll::Ready(_) | Poll::Pending => break,
        }
    }
    Poll::Ready(taken)
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.socket.reading().poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.activity.read(bytes);
        } else if read.is_pending() && self.activity.is_asked_for_silence() {
            self.report_silence();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.activity.writing();
        self.socket.writing().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.writing();
        self.socket.writing().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.writing().poll_flush(cx))?;
        self.activity.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.linger, Linger::NotYet) {
            ready!(self.socket.writing().poll_shutdown(cx))?;
            self.activity.written();
            let now = Instant::now();
            self.linger = Linger::Reading {
                until: now + LINGER,
                left: LINGER_BYTES_MAX,
                resume_at: now,
                silent_at: now + LINGER_SILENT,
                alarm: Box::pin(sleep_until(now)),
            };
        }
        ready!(self.poll_linger(cx));
        self.linger = Linger::Done;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.activity.is_given_up() {
            // Else the kernel would hold what was not read for minutes.
            let _closed_anyway = self.socket.tcp().set_zero_linger();
        }
    }
}
