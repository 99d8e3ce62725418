//! A shell in which the commands of a page are run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::agree::{Names, Numbers};
use crate::process::{Place, Process};

const END: &str = "--the-command-has-ended--";
/// For one command.
const PATIENCE: Duration = Duration::from_secs(120);
/// Within this a reply that lags behind, such as usage, must be what is shown.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A shell in a folder with `.run/env` and `.run/weir`, as `make run` leaves them.
pub(super) struct Session {
    _shell: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(super) names: Names,
    /// What a page shows, and what it is here.
    places: Vec<(String, String)>,
    /// What commands have written to their standard error.
    errors: PathBuf,
}

impl Session {
    /// The demo tenant's key, and its owner's password.
    pub(super) async fn start(
        place: &Place,
        process: &Process,
        [key, password]: [&str; 2],
        names: Names,
    ) -> Self {
        let folder = place.stores.folder.path().join("shell");
        std::fs::create_dir_all(folder.join(".run")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weir"), folder.join(".run/weir")).unwrap();
        let admin = format!("http://{}", process.admin_address());
        let operator = format!("http://{}", process.operator_address());
        let mut settings = place.settings();
        for (name, value) in [
            ("WEIR_URL", process.url.as_str()),
            ("WEIR_ADMIN_URL", &admin),
            ("WEIR_OPERATOR_URL", &operator),
            ("WEIR_KEY", key),
            ("WEIR_DEMO_EMAIL", "demo@example.com"),
            ("WEIR_DEMO_PASSWORD", password),
        ] {
            settings.push((name.to_owned(), value.to_owned()));
        }
        let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        std::fs::write(folder.join(".run/env"), lines.concat()).unwrap();
        let clickhouse = &place.stores.clickhouse;
        let places = [
            (
                "http://127.0.0.1:7404/?database=weir",
                format!("{}/?database={}", clickhouse.url, clickhouse.database),
            ),
            ("http://127.0.0.1:7400", process.url.clone()),
            ("http://127.0.0.1:7401", admin),
            (r#""password":"...""#, format!(r#""password":"{password}""#)),
            ("wk_live_...", key.to_owned()),
        ];
        let places = places.into_iter().map(|(shown, here)| (shown.to_owned(), here)).collect();
        let (shell, input, output) = shell(&folder);
        let errors = folder.join("errors");
        let mut session = Self { _shell: shell, input, output, names, places, errors };
        session.run("exec 2> errors; set -a; . .run/env; set +a").await;
        session
    }

    /// What the commands print; the last must succeed.
    pub(super) async fn run(&mut self, commands: &str) -> String {
        let mut commands = self.names.put_into(commands);
        for (shown, here) in &self.places {
            commands = commands.replace(shown, here);
        }
        let script = format!("{{ {commands}\n}} < /dev/null\nprintf '\\n%s %s\\n' {END} $?\n");
        self.input.write_all(script.as_bytes()).await.unwrap();
        let mut printed = String::new();
        loop {
            let line = timeout(PATIENCE, self.output.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{commands}: no end, after {printed:?}")).unwrap();
            let line = line.unwrap_or_else(|| panic!("{commands}: the shell ended, after {printed:?}"));
            if let Some(status) = line.strip_prefix(END) {
                let errors = || std::fs::read_to_string(&self.errors).unwrap_or_default();
                assert_eq!(status.trim(), "0", "{commands}: {printed}\n{}", errors());
                return printed;
            }
            printed += &format!("{line}\n");
        }
    }

    /// Runs a command until it prints what is shown: at once, unless it only reads.
    pub(super) async fn check(&mut self, command: &str, shown: &str, numbers: Numbers) {
        let begun = Instant::now();
        let changes = [" -d ", " -X ", " create ", " set ", " revoke ", "load --events"];
        let only_reads = !changes.iter().any(|change| command.contains(change));
        loop {
            let printed = self.run(command).await;
            let Err(why) = self.compare(shown, &printed, numbers) else { return };
            let may_change = only_reads && begun.elapsed() < SETTLED_WITHIN;
            assert!(may_change, "{command}\n{why}\n--- shown:\n{shown}\n--- printed:\n{printed}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Of a reply that is shown with its header, each line of the header must be there, and all of its body.
    fn compare(&mut self, shown: &str, printed: &str, numbers: Numbers) -> Result<(), String> {
        let mut names = self.names.clone();
        let (shown, printed) = (shown.trim(), printed.replace('\r', ""));
        if shown.starts_with("HTTP/1.1 ") {
            let (head, body) = shown.split_once("\n\n").unwrap_or((shown, ""));
            let (printed_head, printed_body) =
                printed.split_once("\n\n").ok_or("there is no header".to_owned())?;
            for line in head.lines() {
                let is_there = printed_head.lines().any(|other| names.compare(line, other, numbers).is_ok());
                is_there.then_some(()).ok_or_else(|| format!("no line of the header is {line:?}"))?;
            }
            names.compare(body, printed_body, numbers)?;
        } else {
            names.compare(shown, &printed, numbers)?;
        }
        self.names = names;
        Ok(())
    }
}

fn shell(folder: &Path) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut shell = Command::new("bash");
    shell.args(["--noprofile", "--norc"]).current_dir(folder);
    shell.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut shell = shell.spawn().unwrap();
    let (input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    (shell, input, BufReader::new(output).lines())
}
