//! Connections to the relay: plain, within TLS, or within TLS after STARTTLS; and what is said on them (RFC 5321).

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use service::config::Secret;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{ANSWER_PATIENCE, Relay, Tls};

/// Bytes of a line that a server says, and lines of an answer.
const LINE_BYTES_MAX: u64 = 2_000;
const LINES_MAX: usize = 64;

/// What the relay said, or why it said nothing.
#[derive(Debug)]
pub struct Said {
    /// Which command it was about.
    pub at: &'static str,
    /// Its answer.
    pub text: String,
    /// The three digits that it begins with.
    pub(crate) code: Option<u16>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.at)
    }
}

/// The relay can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The file of certificates can't be read, or holds none.
    #[error("WEIR_SMTP_CA_FILE={0} can't be used")]
    Certificates(String, #[source] rustls::pki_types::pem::Error),
    /// A certificate in it can't be trusted.
    #[error("TLS to the mail relay can't be set up")]
    Tls(#[from] rustls::Error),
    /// TLS needs a name.
    #[error("the mail relay's name can't stand in a certificate")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
}

/// TLS to one host.
#[derive(Clone)]
pub(crate) struct Secured {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Secured {
    /// Trusts the public authorities, and those whose certificates the file holds.
    pub(crate) fn new(host: &str, ca_file: Option<&str>) -> Result<Self, RelayError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = ca_file {
            let unusable = |error| RelayError::Certificates(path.to_owned(), error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(unusable)? {
                roots.add(certificate.map_err(unusable)?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    async fn wrap(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Said> {
        let wrapped = answer("TLS", self.connector.connect(self.name.clone(), stream)).await?;
        Ok(Box::new(wrapped))
    }
}

/// Bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection on which a server has been greeted.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// What the server said that it can do.
    offered: Vec<String>,
}

impl Connection {
    /// Connects, says hello as `name`, and logs in.
    pub(crate) async fn open(relay: &Relay, secured: Option<&Secured>, name: &str) -> Result<Self, Said> {
        let stream = answer("connect", TcpStream::connect((relay.host.as_str(), relay.port))).await?;
        let _faster_if_it_works = stream.set_nodelay(true);
        let unsecured = || unasked("TLS", "it was not set up".to_owned());
        let mut connection = match relay.tls {
            Tls::Implicit => {
                let stream = secured.ok_or_else(unsecured)?.wrap(Box::new(stream)).await?;
                Self::greeted(stream, name).await?
            }
            Tls::Required => {
                let plain = Self::greeted(Box::new(stream), name).await?;
                plain.secure(secured.ok_or_else(unsecured)?, name).await?
            }
            Tls::None => Self::greeted(Box::new(stream), name).await?,
        };
        if let Some((user, password)) = &relay.login {
            connection.log_in(user, password).await?;
        }
        Ok(connection)
    }

    async fn greeted(stream: Box<dyn Stream>, name: &str) -> Result<Self, Said> {
        let mut connection = Self { stream: BufReader::new(stream), offered: Vec::new() };
        connection.hear("connect").await?;
        connection.hello(name).await?;
        Ok(connection)
    }

    async fn hello(&mut self, name: &str) -> Result<(), Said> {
        self.offered = self.say("EHLO", &format!("EHLO {name}")).await?;
        Ok(())
    }

    /// Asks for TLS, and says hello again within it: what was said before counts for nothing.
    async fn secure(mut self, secured: &Secured, name: &str) -> Result<Self, Said> {
        if !self.offers("STARTTLS") {
            return Err(unasked("STARTTLS", "the relay does not offer it".to_owned()));
        }
        self.say("STARTTLS", "STARTTLS").await?;
        // Somebody between could put answers there, which would count as said within TLS.
        if !self.stream.buffer().is_empty() {
            return Err(unasked("STARTTLS", "the relay said more before TLS had begun".to_owned()));
        }
        let stream = secured.wrap(self.stream.into_inner()).await?;
        let mut connection = Self { stream: BufReader::new(stream), offered: Vec::new() };
        connection.hello(name).await?;
        Ok(connection)
    }

    async fn log_in(&mut self, user: &str, password: &Secret) -> Result<(), Said> {
        let ways = self
            .offered
            .iter()
            .find_map(|line| line.to_ascii_uppercase().strip_prefix("AUTH ").map(str::to_owned));
        let ways = ways.unwrap_or_default();
        let offers = |way: &str| ways.split_ascii_whitespace().any(|offered| offered == way);
        if offers("PLAIN") {
            let both = STANDARD.encode(format!("\0{user}\0{}", password.expose()));
            self.say("AUTH", &format!("AUTH PLAIN {both}")).await?;
        } else if offers("LOGIN") {
            self.say("AUTH", "AUTH LOGIN").await?;
            self.say("AUTH", &STANDARD.encode(user)).await?;
            self.say("AUTH", &STANDARD.encode(password.expose())).await?;
        } else {
            return Err(unasked("AUTH", "the relay offers neither PLAIN nor LOGIN".to_owned()));
        }
        Ok(())
    }

    /// Whether the server can do that.
    pub(crate) fn offers(&self, what: &str) -> bool {
        let first =
            |line: &String| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(what));
        self.offered.iter().any(first)
    }

    /// Says a line. What the server answers, without its codes, if it says yes or "go on".
    pub(crate) async fn say(&mut self, at: &'static str, line: &str) -> Result<Vec<String>, Said> {
        let said = async {
            self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            self.stream.flush().await
        };
        answer(at, said).await?;
        self.hear(at).await
    }

    /// Sends a mail's bytes, whose lines end with CRLF, and hears whether it was taken.
    pub(crate) async fn hand_over(&mut self, mail: &[u8]) -> Result<(), Said> {
        const AT: &str = "end of DATA";
        let bytes = stuffed(mail);
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        answer(AT, sent).await?;
        self.hear(AT).await.map(drop)
    }

    async fn hear(&mut self, at: &'static str) -> Result<Vec<String>, Said> {
        let heard = tokio::time::timeout(ANSWER_PATIENCE, self.lines(at)).await;
        heard.unwrap_or_else(|_| Err(unasked(at, format!("no answer in {} s", ANSWER_PATIENCE.as_secs()))))
    }

    async fn lines(&mut self, at: &'static str) -> Result<Vec<String>, Said> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
            read.map_err(|error| unasked(at, error.to_string()))?;
            if line.last() != Some(&b'\n') {
                return Err(unasked(at, "the connection ended".to_owned()));
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = text.get(..3).and_then(|code| code.parse().ok());
            if !matches!(code, Some(200..400)) {
                return Err(Said { at, text, code });
            }
            let is_last = text.as_bytes().get(3) != Some(&b'-');
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if is_last {
                return Ok(lines);
            }
        }
        Err(unasked(at, "the answer does not end".to_owned()))
    }
}

/// A mail as it is sent: a dot that begins a line is doubled, and one alone is the end.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(mail.len() + 64);
    let mut begins = true;
    for byte in mail {
        if begins && *byte == b'.' {
            bytes.push(b'.');
        }
        bytes.push(*byte);
        begins = *byte == b'\n';
    }
    if !bytes.ends_with(b"\r\n") {
        bytes.extend(b"\r\n");
    }
    bytes.extend(b".\r\n");
    bytes
}

/// What is done with a connection has its time.
async fn answer<T>(at: &'static str, asked: impl Future<Output = io::Result<T>>) -> Result<T, Said> {
    match tokio::time::timeout(ANSWER_PATIENCE, asked).await {
        Ok(answered) => answered.map_err(|error| unasked(at, error.to_string())),
        Err(_) => Err(unasked(at, format!("no answer in {} s", ANSWER_PATIENCE.as_secs()))),
    }
}

fn unasked(at: &'static str, text: String) -> Said {
    Said { at, text, code: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_that_begins_a_line_is_doubled_and_the_end_is_a_dot_alone() {
        for (mail, sent) in [
            (&b"a\r\n"[..], &b"a\r\n.\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b".\r\n.a\r\nb.\r\n", b"..\r\n..a\r\nb.\r\n.\r\n"),
            (b"", b"\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(mail), sent);
        }
    }
}
