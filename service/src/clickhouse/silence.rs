//! Connections that are given up when nothing comes for too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tower_service::Service;

/// Connects, and limits silence.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: HttpConnector,
    silence: Duration,
}

impl Connector {
    pub(super) fn new(http: HttpConnector, silence: Duration) -> Self {
        Self { http, silence }
    }
}

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Connecting<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, silence) = (self.http.call(to), self.silence);
        Box::pin(async move { Ok(Stream { inner: connecting.await?, silence, until: None }) })
    }
}

/// A connection from which something must come now and then, while it is read.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    silence: Duration,
    /// Since the last byte, in either direction.
    until: Option<Pin<Box<Sleep>>>,
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.until = None;
            return Poll::Ready(read);
        }
        let silence = this.silence;
        ready!(
            this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence))).as_mut().poll(context)
        );
        let why = format!("nothing came for {} s", silence.as_secs_f64());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        self.goes_on();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, bytes));
        self.goes_on();
        Poll::Ready(written)
    }
}

impl Stream {
    /// A pending read waits as long as from now on.
    fn goes_on(&mut self) {
        let until = tokio::time::Instant::now() + self.silence;
        if let Some(sleep) = &mut self.until {
            sleep.as_mut().reset(until);
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}
