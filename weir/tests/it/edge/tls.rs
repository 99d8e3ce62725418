//! TLS on the listener itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw::End;
use super::{DEADLINE, Edge, SOON};
use crate::process::{ADDRESSES, Place};

/// Two files, and what a client must trust to believe them.
struct Pair {
    /// Deleted with the pair, if the pair has one of its own.
    _folder: Option<tempfile::TempDir>,
    certificate: PathBuf,
    key: PathBuf,
}

fn made() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

impl Pair {
    fn in_folder(folder: &Path) -> Self {
        Self { _folder: None, certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    /// Writes a new pair.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } = made();
        std::fs::write(&self.certificate, cert.pem()).unwrap();
        std::fs::write(&self.key, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }
}

async fn edge_with_tls() -> (Edge, Pair, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::in_folder(folder.path());
    pair._folder = Some(folder);
    let certificate = pair.renew();
    let (cert, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
    let edge = Edge::start_unasked(&[("WEIR_TLS_CERT", cert), ("WEIR_TLS_KEY", key)]).await;
    (edge, pair, certificate)
}

/// A connection on which the node has shown that certificate.
async fn connect(
    edge: &Edge,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(edge.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn is_served(edge: &Edge, trusted: &CertificateDer<'static>) -> bool {
    let Ok(mut stream) = connect(edge, trusted, "http/1.1").await else { return false };
    stream.write_all(edge.request("Connection: close\r\n").as_bytes()).await.unwrap();
    let mut reply = String::new();
    // Fails if it is cut, and not closed with a notice.
    stream.read_to_string(&mut reply).await.unwrap();
    reply.starts_with("HTTP/1.1 202 Accepted\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken_within_tls() {
    let (edge, _, certificate) = edge_with_tls().await;
    assert!(is_served(&edge, &certificate).await);
    let stream = connect(&edge, &certificate, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::post("https://localhost/v1/events").header("authorization", format!("Bearer {}", edge.key));
    let request = request.body(Full::<Bytes>::from(r#"{"event":"x"}"#)).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 202);
    let stranger = connect(&edge, &certificate, "spdy/3").await;
    assert!(stranger.is_err(), "no protocol in common");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_name_the_host_that_was_asked_in_both_versions_of_http() {
    let (edge, _, certificate) = edge_with_tls().await;
    let path = format!("/v1/projects/{}/settings", edge.key);
    let stream = connect(&edge, &certificate, "h2").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get(format!("https://localhost:8443{path}")).body(Full::<Bytes>::default()).unwrap();
    let reply = sender.send_request(request).await.unwrap();
    let document = reply.into_body().collect().await.unwrap().to_bytes();
    let over_http2: serde_json::Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(over_http2["integrations"]["Segment.io"]["apiHost"], "localhost:8443/v1", "{over_http2}");
    for (line, host, expected) in [
        (path.clone(), "weir:7400", "weir:7400/v1"),
        (format!("https://absolute{path}"), "weir", "absolute/v1"),
    ] {
        let mut stream = connect(&edge, &certificate, "http/1.1").await.unwrap();
        let request = format!("GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.contains(&format!("\"apiHost\":\"{expected}\"")), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_gets_a_reply_and_a_silent_one_holds_up_nobody() {
    let (edge, _, certificate) = edge_with_tls().await;
    let mut silent = edge.connect().await;
    let mut halfway = edge.connect().await;
    halfway.send([22, 3, 1, 2, 0, 1]).await;
    let mut plain = edge.connect().await;
    plain.send(edge.request("")).await;
    assert_eq!(plain.end(SOON).await.0, End::Closed);
    let reply = String::from_utf8(plain.rest().to_vec()).unwrap();
    assert!(reply.starts_with("HTTP/1.0 400 ") && reply.ends_with("use https.\n"), "{reply}");
    assert!(is_served(&edge, &certificate).await);
    for raw in [&mut silent, &mut halfway] {
        let (end, after) = raw.end(SOON).await;
        assert_ne!(end, End::Open);
        assert!(after < 3 * DEADLINE, "{after:?}");
    }
    // Counted once the connection is closed, of which the client may hear first.
    eventually("both are counted", SOON, async || {
        edge.metric("weir_http_connections_cut_total{listener=\"ingest\",why=\"handshake\"}").await >= 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_over_and_a_bad_one_is_not() {
    let (edge, pair, first) = edge_with_tls().await;
    let open = connect(&edge, &first, "http/1.1").await.unwrap();
    let second = pair.renew();
    eventually("the new certificate is shown", SOON, async || is_served(&edge, &second).await).await;
    assert!(!is_served(&edge, &first).await);
    drop(open);
    for (certificate, key) in [
        ("no certificate".to_owned(), made().signing_key.serialize_pem()),
        (made().cert.pem(), made().signing_key.serialize_pem()),
        (made().cert.pem(), "no key".to_owned()),
    ] {
        let failed = edge.metric("weir_tls_reloads_total{result=\"failed\"}").await;
        std::fs::write(&pair.certificate, certificate).unwrap();
        std::fs::write(&pair.key, key).unwrap();
        eventually("the bad pair is seen", SOON, async || {
            edge.metric("weir_tls_reloads_total{result=\"failed\"}").await > failed
        })
        .await;
        assert!(is_served(&edge, &second).await);
    }
    let third = pair.renew();
    eventually("a good one is shown again", SOON, async || is_served(&edge, &third).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_pair_and_a_bad_pair_are_refused_at_the_start() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let pair = Pair::in_folder(place.stores.folder.path());
    pair.renew();
    std::fs::write(&pair.key, made().signing_key.serialize_pem()).unwrap();
    for (listener, set, exit, said) in [
        ("WEIR", 1, 64, "WEIR_TLS_CERT and WEIR_TLS_KEY belong together"),
        ("WEIR_ADMIN", 1, 64, "WEIR_ADMIN_TLS_CERT and WEIR_ADMIN_TLS_KEY belong together"),
        ("WEIR", 2, 1, "certificate and key can't be used"),
        ("WEIR_ADMIN", 2, 1, "certificate and key can't be used"),
    ] {
        let files = [("TLS_CERT", &pair.certificate), ("TLS_KEY", &pair.key)];
        let mut command = place.command(&["standalone"]);
        command.envs(ADDRESSES.map(|name| (name, "127.0.0.1:0")));
        command.envs(files.iter().take(set).map(|(name, path)| (format!("{listener}_{name}"), *path)));
        let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await.unwrap().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{error}");
        assert!(error.contains(said), "{error}");
    }
}
