//! TLS of a listener: a pair of files, read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::config::Settings;
use crate::metrics;

/// How the metrics call a handshake that did not end in time.
pub(crate) const HANDSHAKE: &str = "handshake";
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// In the order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that vouch for it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads the two settings: both or none.
    pub fn read(settings: &mut Settings, certificate: &'static str, key: &'static str) -> Option<Self> {
        let given = (
            settings.optional(
                certificate,
                "PEM file of the certificate and those that vouch for it; if it is not set, the listener \
                 speaks plain HTTP",
            ),
            settings.optional(key, "PEM file of that certificate's private key"),
        );
        match given {
            (Some(certificate), Some(key)) => Some(Self { certificate: certificate.into(), key: key.into() }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                settings.refuse(format!("{certificate} and {key} belong together: set both or none"));
                None
            }
        }
    }
}

/// Why a pair of files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{} can't be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A file does not hold what it should.
    #[error("{} holds no {} in PEM", .0.display(), .1)]
    Pem(PathBuf, &'static str, #[source] pem::Error),
    /// The two do not belong together, or are of a kind that nobody uses.
    #[error("certificate and key can't be used: {0}")]
    Pair(#[source] rustls::Error),
}

/// TLS of a listener, with the newest pair that was good.
#[derive(Clone)]
pub struct Tls(watch::Receiver<TlsAcceptor>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// The two files as they are.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files, and from then on every two seconds whether they have changed, as long as anybody has the
    /// result. A new pair that is no good is logged, and the old one stays.
    ///
    /// # Errors
    /// If the pair can't be used now.
    pub async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let mut known = read(&files).await?;
        let (acceptor, current) = watch::channel(acceptor(&files, &known)?);
        tokio::spawn(async move {
            let mut was_read = true;
            while !acceptor.is_closed() {
                sleep(LOOK_EVERY).await;
                let changed = match read(&files).await {
                    Ok(pair) if pair == known && was_read => continue,
                    Ok(pair) => {
                        known = pair;
                        was_read = true;
                        self::acceptor(&files, &known)
                    }
                    // One file of a pair may be away for a moment while it is replaced; this is logged once.
                    Err(_) if !was_read => continue,
                    Err(error) => {
                        was_read = false;
                        Err(error)
                    }
                };
                replace(changed, &acceptor);
            }
        });
        Ok(Self(current))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.borrow().clone()
    }
}

fn replace(changed: Result<TlsAcceptor, TlsError>, acceptor: &watch::Sender<TlsAcceptor>) {
    let result = match changed {
        Ok(new) => {
            tracing::info!("a new certificate is in use");
            acceptor.send_replace(new);
            "ok"
        }
        Err(error) => {
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, why, "the new certificate can't be used: the old one stays");
            "failed"
        }
    };
    ::metrics::counter!(metrics::TLS_RELOADS, "result" => result).increment(1);
}

async fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
    let read = async |path: &Path| {
        tokio::fs::read(path).await.map_err(|error| TlsError::Read(path.to_owned(), error))
    };
    Ok(Pair { certificate: read(&files.certificate).await?, key: read(&files.key).await? })
}

fn acceptor(files: &TlsFiles, pair: &Pair) -> Result<TlsAcceptor, TlsError> {
    let no_certificate = |error| TlsError::Pem(files.certificate.clone(), "certificate", error);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pair.certificate)
        .collect::<Result<_, _>>()
        .map_err(no_certificate)?;
    if chain.is_empty() {
        return Err(no_certificate(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&pair.key)
        .map_err(|error| TlsError::Pem(files.key.clone(), "private key", error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    let mut config = config;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
