//! One request to a provider at a time: a connection for each, since sign-ins are seldom.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::OpenIdError;
use crate::config::is_allowed;

/// From the look-up of the name to the last byte of the reply.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a reply at most. Keys of large providers have some 10 KiB.
const REPLY_BYTES_MAX: usize = 256 << 10;

/// Speaks to providers.
#[derive(Clone)]
pub(crate) struct Http {
    tls: TlsConnector,
}

/// What is sent besides the URL.
pub(crate) enum Send<'a> {
    Get { bearer: Option<&'a str> },
    Form { authorization: Option<String>, body: String },
}

fn away(error: impl Into<Box<dyn std::error::Error + std::marker::Send + Sync>>) -> OpenIdError {
    OpenIdError::Away(error.into())
}

impl Http {
    /// Trusts whom browsers trust.
    pub(crate) fn new() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)) }
    }

    /// Status and body of the reply.
    pub(crate) async fn send(&self, url: &str, send: Send<'_>) -> Result<(StatusCode, Bytes), OpenIdError> {
        timeout(DEADLINE, self.send_in_time(url, send)).await.map_err(away)?
    }

    async fn send_in_time(&self, url: &str, send: Send<'_>) -> Result<(StatusCode, Bytes), OpenIdError> {
        let bad = OpenIdError::Answer("an address is no HTTPS URL");
        let uri: Uri = url.parse().map_err(|_| OpenIdError::Answer("an address is no URL"))?;
        let Some(authority) = uri.authority().filter(|_| is_allowed(url)).cloned() else { return Err(bad) };
        let is_tls = uri.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let request = request(&uri, authority.as_str(), send)?;
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(away)?;
        if is_tls {
            let name = ServerName::try_from(host).map_err(|_| bad)?;
            exchange(self.tls.connect(name, stream).await.map_err(away)?, request).await
        } else {
            exchange(stream, request).await
        }
    }
}

fn request(uri: &Uri, authority: &str, send: Send<'_>) -> Result<Request<Full<Bytes>>, OpenIdError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().uri(path).header(HOST, authority).header(ACCEPT, "application/json");
    let mut request = request.header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")));
    let body = match send {
        Send::Get { bearer } => {
            if let Some(bearer) = bearer {
                request = request.header(AUTHORIZATION, secret(&format!("Bearer {bearer}"))?);
            }
            String::new()
        }
        Send::Form { authorization, body } => {
            request = request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(authorization) = authorization {
                request = request.header(AUTHORIZATION, secret(&authorization)?);
            }
            body
        }
    };
    request.body(Full::from(body)).map_err(away)
}

fn secret(value: &str) -> Result<HeaderValue, OpenIdError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| OpenIdError::Answer("a token is no text"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends the request and reads the whole reply. The connection ends with it.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), OpenIdError>
where
    S: AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
    let reply = async {
        let (head, body) = sender.send_request(request).await.map_err(away)?.into_parts();
        let body = Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(away)?;
        Ok((head.status, body.to_bytes()))
    };
    // The request that waits for a reply is given the error of a connection that breaks.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        reply = reply => reply,
        never = driven => never,
    }
}
