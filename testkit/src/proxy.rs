//! A TCP proxy that can be cut, for stores that all tests share.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections until it is cut.
pub struct Proxy {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy in front of `target`, `host:port`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, cuts) = watch::channel(false);
        tokio::spawn(serve(listener, target.to_owned(), cuts));
        Self { address, is_cut }
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
        self.is_cut.send_replace(true);
    }

    /// Forwards again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

/// Until the proxy is dropped.
async fn serve(listener: TcpListener, target: String, mut cuts: watch::Receiver<bool>) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            dropped = async { while cuts.changed().await.is_ok() {} } => return dropped,
        };
        let (Ok((mut client, _)), false) = (client, *cuts.borrow()) else { continue };
        let (target, mut cuts) = (target.clone(), cuts.clone());
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(&target).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = cuts.wait_for(|is_cut| *is_cut) => {}
            }
        });
    }
}
