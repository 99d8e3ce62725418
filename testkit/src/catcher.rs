//! A real SMTP server that catches every mail of a test (`dev/catcher.py`), and makes trouble where a recipient asks.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually;
use crate::stores::required;

/// How long a mail may take.
const WAIT: Duration = Duration::from_secs(30);

/// A server and the mails that it has caught. It ends with the test.
pub struct Catcher {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    _child: Child,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub struct Caught {
    /// All of it, soft line breaks and escapes of the transfer encoding taken back.
    pub text: String,
}

impl Catcher {
    /// One that does what recipients' addresses order.
    pub async fn start() -> Self {
        Self::start_with(&["--faults"]).await
    }

    /// One with these options.
    pub async fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/catcher.py");
        let mut child = Command::new(required("WEIR_TEST_MAIL_VENV"))
            .arg(program)
            .arg(folder.path().join("mail"))
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the catcher says where it listens");
        Self { port: port.parse().unwrap(), folder, _child: child }
    }

    /// For `WEIR_SMTP_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The Maildir that mails are caught in.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// All mails to that address, in no order.
    #[must_use]
    pub fn mails_to(&self, address: &str) -> Vec<Caught> {
        let head = format!("X-Caught-For: {address}\n");
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("mail/new")) else { return Vec::new() };
        let mails = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let readable = mails.map(|mail| mail.replace("\r\n", "\n").replace("=\n", "").replace("=3D", "="));
        readable.filter(|text| text.contains(&head)).map(|text| Caught { text }).collect()
    }

    /// How many mails there are.
    #[must_use]
    pub fn count(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("mail/new")).map_or(0, Iterator::count)
    }

    /// The token in the link of the one mail to that address with that subject, once it is there.
    pub async fn token(&self, address: &str, subject: &str) -> String {
        let line = format!("Subject: {subject}\n");
        let find = || self.mails_to(address).into_iter().find(|mail| mail.text.contains(&line));
        eventually(&format!("a mail to {address}: {subject}"), WAIT, async || find().is_some()).await;
        find().unwrap().token()
    }
}

impl Caught {
    /// What its link holds.
    #[must_use]
    pub fn token(&self) -> String {
        // Its header may have another one.
        let (_, body) = self.text.split_once("\n\n").expect("the mail has a body");
        let (_, rest) = body.split_once("?token=").expect("the mail has a link");
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
    }

    /// The value of a line of its header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (header, _) = self.text.split_once("\n\n")?;
        header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
