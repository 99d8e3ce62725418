//! A TCP proxy that can be cut, frozen, or made to lose replies, for stores that all tests share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with connections, those that are there and those that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Forwards,
    /// They stay open, and nothing goes through, as with a server that was stopped by a signal.
    Frozen,
    /// What clients send goes through, and what they are answered does not.
    Mute,
    Cut,
}

/// Forwards connections, until it is made to do harm.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    trap: Trap,
}

/// What clients must send for all replies to be lost from then on.
#[derive(Debug, Clone, Default)]
struct Trap(Arc<Mutex<Trapped>>);

#[derive(Debug, Default)]
enum Trapped {
    #[default]
    Open,
    Set(&'static str),
    Sprung,
}

impl Trap {
    fn set(&self, to: Trapped) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    fn sees(&self, piece: &[u8]) {
        let mut trapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Trapped::Set(text) = *trapped
            && piece.windows(text.len()).any(|window| window == text.as_bytes())
        {
            *trapped = Trapped::Sprung;
        }
    }

    fn is_sprung(&self) -> bool {
        matches!(*self.0.lock().unwrap_or_else(PoisonError::into_inner), Trapped::Sprung)
    }
}

impl Proxy {
    /// A proxy in front of `target`, `host:port`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, states) = watch::channel(State::Forwards);
        let trap = Trap::default();
        tokio::spawn(serve(listener, target.to_owned(), states, trap.clone()));
        Self { address, state, trap }
    }

    /// A proxy in front of the Postgres of `url`, and the URL through it.
    pub async fn to_postgres(url: &str) -> (Self, String) {
        let (user, rest) = url.split_once('@').expect("a URL with a user");
        let (server, database) = rest.split_once('/').expect("a URL with a database");
        let proxy = Self::to(server).await;
        let url = format!("{user}@{}/{database}", proxy.address);
        (proxy, url)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and those that are made from now on at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Loses all replies, and ends nothing.
    pub fn mute(&self) {
        self.state.send_replace(State::Mute);
    }

    /// Loses all replies from the moment when a client sends this text, as the reply to a `COMMIT`.
    pub fn mute_at(&self, text: &'static str) {
        self.trap.set(Trapped::Set(text));
    }

    /// Whether [`Self::mute_at`] has seen its text.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        self.trap.is_sprung()
    }

    /// Lets nothing through, and ends nothing.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Forwards again.
    pub fn mend(&self) {
        self.trap.set(Trapped::Open);
        self.state.send_replace(State::Forwards);
    }
}

/// Until the proxy is dropped.
async fn serve(listener: TcpListener, target: String, mut states: watch::Receiver<State>, trap: Trap) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            dropped = async { while states.changed().await.is_ok() {} } => return dropped,
        };
        let Ok((client, _)) = client else { continue };
        if *states.borrow() == State::Cut {
            continue;
        }
        let (target, mut states, trap) = (target.clone(), states.clone(), trap.clone());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(&target).await else { return };
            let ((client_reads, client_writes), (server_reads, server_writes)) =
                (client.into_split(), server.into_split());
            let there = forward(client_reads, server_writes, states.clone(), |_, piece| {
                trap.sees(piece);
                true
            });
            let is_heard = |state, _: &[u8]| state != State::Mute && !trap.is_sprung();
            let back = forward(server_reads, client_writes, states.clone(), is_heard);
            tokio::select! {
                _ = async { tokio::join!(there, back) } => {}
                _ = states.wait_for(|state| *state == State::Cut) => {}
            }
        });
    }
}

/// One direction of a connection, until its end. Pieces for which `passes` says no are lost.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut states: watch::Receiver<State>,
    passes: impl Fn(State, &[u8]) -> bool,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let Ok(state) = states.wait_for(|state| *state != State::Frozen).await.map(|state| *state) else {
            break;
        };
        if passes(state, &piece[..len]) && to.write_all(&piece[..len]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
