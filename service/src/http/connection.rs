//! The life of one connection.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, rt};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::activity::{Activity, Phase, UnderWay};
use super::stream::{Socket, Watched};
use super::{BoxError, HttpLimits, Shared};
use crate::metrics;
use crate::tls::{HANDSHAKE, Tls};

/// Bytes of a request's header, and the limit on the number of fields.
const HEADER_BYTES_MAX: usize = 32 * 1024;
const HEADER_FIELDS_MAX: usize = 100;
/// Requests that one HTTP/2 connection may have open at once.
const STREAMS_MAX: u32 = 256;
/// Streams that the client has reset before anybody looked at them, and streams that were reset for the client's
/// errors: beyond these the connection is ended ("rapid reset", CVE-2023-44487 and CVE-2025-8671).
const RESETS_PENDING_MAX: usize = 20;
const RESETS_FOR_ERRORS_MAX: usize = 128;
/// How often a live HTTP/2 connection is asked whether it still is.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long to wait for bytes that the kernel has and nobody was woken up for.
const ALMOST_THERE: Duration = Duration::from_millis(10);
/// The reply to a client of plain HTTP on a port that speaks TLS.
const SPEAK_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks TLS: use https.\n";

/// How HTTP is spoken.
pub(super) type Protocol = auto::Builder<Streams>;

/// Where the requests of HTTP/2 run: each of them, with its reply, only for so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    deadline: Duration,
}

impl<F> rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let deadline = self.deadline;
        // A stream that is dropped is reset.
        tokio::spawn(async move { timeout(deadline, stream).await.map(drop) });
    }
}

pub(super) fn protocol(limits: &HttpLimits) -> Protocol {
    let deadline = limits.header_deadline + limits.write_deadline;
    let mut builder = auto::Builder::new(Streams { deadline });
    // Deadlines are kept here, see `Watch`: hyper's own for the header counts the time in which nothing is asked.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_FOR_ERRORS_MAX)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Some(PING_EVERY));
    builder
}

/// Serves a connection to its end.
pub(super) async fn live<S, B>(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let socket = match &shared.tls {
        None => Socket::Plain(stream),
        Some(tls) => match timeout(shared.limits.header_deadline, shake_hands(tls, stream)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => return count_cut(&shared.limits, HANDSHAKE),
        },
    };
    let activity = Arc::new(Activity::new(Arc::clone(&shared.draining)));
    let noted = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let under_way = UnderWay::begin(&noted, request.version());
        let answer = service.call(request);
        async move {
            let mut reply = answer.await?;
            under_way.end(&mut reply);
            Ok::<_, S::Error>(reply)
        }
    });
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&activity)));
    let connection = pin!(shared.protocol.serve_connection(io, service));
    Watch::new(&shared, &activity).until_the_end(connection, peer).await;
}

/// TLS; a client of plain HTTP gets a reply in plain text.
async fn shake_hands(tls: &Tls, mut stream: TcpStream) -> io::Result<Socket> {
    /// The first byte of a TLS connection.
    const TLS_HANDSHAKE: u8 = 22;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
        stream.write_all(SPEAK_TLS).await?;
        stream.shutdown().await?;
        // Read, so that the close does not become a reset that overtakes the answer.
        let _best_effort =
            timeout(ALMOST_THERE * 10, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
        return Err(io::Error::other("the client speaks no TLS"));
    }
    Ok(Socket::Tls(Box::new(tls.acceptor().accept(stream).await?)))
}

fn count_cut(limits: &HttpLimits, why: &'static str) {
    ::metrics::counter!(metrics::CUT, "listener" => limits.name, "why" => why).increment(1);
}

/// How far a connection's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Replies are the last of their connections, until then.
    Grace(Instant),
    /// To be closed as soon as nothing is under way.
    Closing,
    /// hyper is ending it.
    Ending,
}

/// What happened to a connection.
enum Event {
    Ended(Result<(), BoxError>),
    Alarm,
    Drain,
    Cut,
}

/// Holds a connection to its deadlines. The clock is looked at when the alarm goes, and when a header or a reply
/// stops in the middle; a connection on which all goes well costs an alarm now and then.
struct Watch<'a> {
    shared: &'a Shared,
    activity: &'a Activity,
    stage: Stage,
    /// What it does, and since when at least.
    phase: (Phase, u32),
    since: Instant,
}

impl<'a> Watch<'a> {
    fn new(shared: &'a Shared, activity: &'a Activity) -> Self {
        Self { shared, activity, stage: Stage::Open, phase: activity.now(), since: Instant::now() }
    }

    async fn until_the_end<C>(mut self, mut connection: Pin<&mut C>, peer: SocketAddr)
    where
        C: hyper_util::server::graceful::GracefulConnection<Error = BoxError>,
    {
        let mut alarm = pin!(sleep(self.limit(Phase::Fresh).unwrap_or_default()));
        let mut ordered = pin!(self.shared.shutdown.ordered());
        let mut cut = pin!(self.shared.cut.ordered());
        loop {
            let event = std::future::poll_fn(|cx| {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                self.notice(alarm.as_mut());
                if alarm.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Alarm);
                }
                match self.stage {
                    Stage::Open => ordered.as_mut().poll(cx).map(|()| Event::Drain),
                    Stage::Grace(_) | Stage::Closing | Stage::Ending => {
                        cut.as_mut().poll(cx).map(|()| Event::Cut)
                    }
                }
            })
            .await;
            let go_on = match event {
                Event::Ended(Ok(())) => None,
                Event::Ended(Err(error)) => {
                    tracing::debug!(%peer, %error, "connection ended early");
                    None
                }
                Event::Cut => None,
                Event::Drain => Some(self.drain()),
                Event::Alarm => self.look(Instant::now()),
            };
            let Some(next) = go_on else { return };
            if self.stage == Stage::Closing && self.may_close() {
                connection.as_mut().graceful_shutdown();
                self.stage = Stage::Ending;
                self.since = Instant::now();
            }
            alarm.as_mut().reset(next);
        }
    }

    /// A header or a reply that stopped in the middle: the alarm may be set for much later.
    fn notice(&mut self, alarm: Pin<&mut Sleep>) {
        let phase = self.activity.now();
        if phase == self.phase || !matches!(phase.0, Phase::Header | Phase::Writing) {
            return;
        }
        self.enter(phase, Instant::now());
        let end = self.limit(phase.0).map_or(self.since, |limit| self.since + limit);
        if end < alarm.deadline() {
            alarm.reset(end);
        }
    }

    /// The time of a phase begins, except that of the first header: it began with the connection.
    fn enter(&mut self, phase: (Phase, u32), now: Instant) {
        self.phase = phase;
        if phase.0 != Phase::Header || self.activity.has_asked() {
            self.since = now;
        }
    }

    /// When to look again; `None` if the connection is to be cut.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let phase = self.activity.now();
        if phase != self.phase {
            self.enter(phase, now);
        }
        if let Stage::Grace(until) = self.stage
            && now >= until
        {
            return Some(self.begin_closing(now));
        }
        let is_stuck = matches!(phase.0, Phase::Header | Phase::Writing);
        if self.stage == Stage::Closing && !(is_stuck && self.is_over(now)) {
            return Some(now + ALMOST_THERE);
        }
        if !self.is_over(now) {
            let limit = self.limit(phase.0);
            // What it does may have begun right after the last look.
            let next = now + limit.unwrap_or(self.shared.limits.header_deadline) / 4 + ALMOST_THERE;
            let next = limit.map_or(next, |limit| next.min(self.since + limit));
            return Some(if let Stage::Grace(until) = self.stage { next.min(until) } else { next });
        }
        count_cut(&self.shared.limits, name(phase.0));
        match phase.0 {
            Phase::Fresh | Phase::Idle if self.is_open() => Some(self.begin_closing(now)),
            Phase::Writing => {
                self.activity.give_up();
                None
            }
            Phase::Fresh | Phase::Idle | Phase::Header | Phase::Answering => None,
        }
    }

    /// Whether what it does has lasted too long.
    fn is_over(&self, now: Instant) -> bool {
        self.limit(self.phase.0).is_some_and(|limit| now >= self.since + limit)
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Grace(_))
    }

    fn drain(&mut self) -> Instant {
        let now = Instant::now();
        if self.activity.is_http2() {
            // GOAWAY lets the client end what it has begun.
            self.activity.report_silence(true);
            return self.begin_closing(now);
        }
        let until = now + self.shared.limits.drain_grace;
        self.stage = Stage::Grace(until);
        until
    }

    fn begin_closing(&mut self, now: Instant) -> Instant {
        self.stage = Stage::Closing;
        self.activity.ask_for_silence();
        now
    }

    /// Whether a close loses nothing that the client has sent.
    fn may_close(&self) -> bool {
        match self.activity.phase() {
            _ if self.activity.is_http2() => true,
            // The reply under way is then the last.
            Phase::Answering | Phase::Writing => true,
            Phase::Fresh | Phase::Idle => self.activity.is_silent(),
            Phase::Header => false,
        }
    }

    /// How long it may last.
    fn limit(&self, phase: Phase) -> Option<Duration> {
        let limits = &self.shared.limits;
        match phase {
            Phase::Idle if self.is_open() => Some(limits.idle_deadline),
            Phase::Fresh | Phase::Header | Phase::Idle => Some(limits.header_deadline),
            Phase::Writing => Some(limits.write_deadline),
            Phase::Answering => None,
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Fresh | Phase::Header => "header",
        Phase::Idle => "idle",
        Phase::Writing => "write",
        Phase::Answering => "answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;

    const LIMITS: HttpLimits = HttpLimits {
        name: "test",
        connections_max: 1,
        header_deadline: Duration::from_secs(8),
        idle_deadline: Duration::from_secs(60),
        write_deadline: Duration::from_secs(30),
        drain_grace: Duration::from_secs(1),
        drain_deadline: Duration::from_secs(10),
    };

    fn shared() -> Shared {
        let (_, shutdown) = Shutdown::new();
        let (_, cut) = Shutdown::new();
        let protocol = protocol(&LIMITS);
        Shared { limits: LIMITS, protocol, tls: None, shutdown, draining: Arc::default(), cut }
    }

    /// After how many seconds of silence, with bytes at these seconds, a connection begins to be closed, or is cut.
    fn end(shared: &Shared, activity: &Activity, bytes_at: &[u64]) -> u64 {
        let mut watch = Watch::new(shared, activity);
        let start = watch.since;
        let mut bytes_at = bytes_at.iter().peekable();
        let mut next = start + LIMITS.header_deadline;
        loop {
            let now = next;
            while bytes_at.next_if(|at| start + Duration::from_secs(**at) <= now).is_some() {
                activity.read(b"x");
            }
            match watch.look(now) {
                Some(later) if watch.stage == Stage::Open => next = later,
                Some(_) | None => return (now - start).as_secs(),
            }
        }
    }

    #[test]
    fn a_first_header_has_its_time_from_the_connections_start_however_it_trickles() {
        let every_second: Vec<_> = (0..30).collect();
        for bytes_at in [&[][..], &[0], &[7], &every_second] {
            let (shared, activity) = (shared(), Activity::new(Arc::default()));
            assert_eq!(end(&shared, &activity, bytes_at), 8, "{bytes_at:?}");
        }
    }

    #[test]
    fn http2_is_idle_from_its_last_request_whatever_else_it_sends() {
        for bytes_at in [&[][..], &[20], &[1, 20, 40, 59]] {
            let (shared, activity) = (shared(), Arc::new(Activity::new(Arc::default())));
            activity.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            drop(UnderWay::begin(&activity, hyper::Version::HTTP_2));
            let ended = end(&shared, &activity, bytes_at);
            assert!((60..=75).contains(&ended), "{ended} {bytes_at:?}");
        }
    }
}
