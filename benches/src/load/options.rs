//! The options of a run, checked as a whole before anything is sent.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemas::time::Micros;

use super::id::RunId;
use super::keys::{KeyList, KeyTurn};
use super::target::Target;

/// How long a run lasts if neither `--events` nor `--duration` says.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// An API key to send with. Never printed by `Debug`, never written to a journal or a report.
#[derive(Clone, PartialEq, Eq)]
pub struct LoadKey(String);

impl fmt::Debug for LoadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoadKey(..)")
    }
}

impl FromStr for LoadKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// What `weir load` sends, where to, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LoadOptions {
    /// Base URLs of ingest, with commas or repeated; connections are spread over them
    #[arg(long = "url", value_name = "URL", env = "WEIR_URL", value_delimiter = ',')]
    pub urls: Vec<String>,
    /// API keys, with commas or repeated; connections are spread over them
    #[arg(long = "key", value_name = "KEY", env = "WEIR_KEY", hide_env_values = true, value_delimiter = ',')]
    pub keys: Vec<LoadKey>,
    /// Instead of --key, the keys of this file, one a line, 2000000 at most: each request takes the next, each
    /// connection from a place of its own in the list
    #[arg(long, value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Stop beginning new batches after this time, such as 500ms, 90s, 10m [default: 10s, if --events is not given]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Events per second, sent on schedule however slowly replies come (open loop); without it, each connection sends
    /// its next batch once it has the reply to the last
    #[arg(long, value_name = "N")]
    pub rate: Option<u64>,
    /// Events in one request
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub batch: u32,
    /// Keep-alive connections, with one request at a time on each
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub connections: u16,
    /// About how many bytes of JSON an event has
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub event_bytes: usize,
    /// Compress bodies with gzip
    #[arg(long)]
    pub gzip: bool,
    /// Percent of all events sent that are deliberate re-sends of acknowledged ones
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    pub retry_share: u8,
    /// Send again, with the same ids, what got no answer, 5xx or 429, as an SDK does, until it is acknowledged
    #[arg(long)]
    pub retry: bool,
    /// How long, after the time is over, batches that were begun are still sent again; without a --duration, how long
    /// any one batch is
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub grace: Duration,
    /// How long to wait for a reply before its outcome counts as unknown
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub deadline: Duration,
    /// Write each request's intent and outcome to this new file, for a check of what was promised
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Event ids are derived from it: the same seed sends the same ids again [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The timestamp of the events, which differ by milliseconds; without it they carry none.
    #[arg(skip)]
    pub timestamp: Option<Micros>,
}

impl LoadOptions {
    /// The defaults of the command line, for one server and key.
    #[must_use]
    pub fn to(url: impl Into<String>, key: &str) -> Self {
        Self {
            urls: vec![url.into()],
            keys: vec![LoadKey(key.to_owned())],
            keys_file: None,
            events: None,
            duration: None,
            rate: None,
            batch: 100,
            connections: 8,
            event_bytes: 300,
            gzip: false,
            retry_share: 0,
            retry: false,
            grace: Duration::from_secs(10),
            deadline: Duration::from_secs(10),
            journal: None,
            seed: None,
            timestamp: None,
        }
    }
}

/// Options that were found to be sound.
#[derive(Debug)]
pub(crate) struct LoadPlan {
    pub(crate) targets: Vec<Target>,
    pub(crate) keys: KeyList,
    pub(crate) run_id: RunId,
    pub(crate) connections: u16,
    pub(crate) batch: u32,
    pub(crate) events: Option<u64>,
    pub(crate) duration: Option<Duration>,
    /// Between two batches of one connection, if the loop is open.
    pub(crate) interval: Option<Duration>,
    pub(crate) event_bytes: usize,
    pub(crate) gzip: bool,
    pub(crate) retry_share: u8,
    pub(crate) retry: bool,
    pub(crate) grace: Duration,
    pub(crate) deadline: Duration,
    pub(crate) timestamp: Option<Micros>,
}

impl LoadPlan {
    /// Names every option that is wrong at once.
    pub(crate) fn new(options: &LoadOptions) -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, text: &str| {
            if !holds {
                wrong.push(text.to_owned());
            }
        };
        require(!options.urls.is_empty(), "--url is missing (or WEIR_URL)");
        require(
            options.keys_file.is_none() || options.retry_share == 0,
            "--retry-share needs --key, not --keys-file: another key may be another project's, where the same id is \
             another event",
        );
        require(options.connections > 0, "--connections must be at least 1");
        require((1..=100_000).contains(&options.batch), "--batch must be 1 to 100000");
        require(options.event_bytes <= schemas::limit::EVENT_BYTES_MAX, "--event-bytes is over weir's limit");
        require(options.retry_share <= 90, "--retry-share must be 0 to 90 percent");
        require(options.rate != Some(0), "--rate must be at least 1");
        require(options.events != Some(0), "--events must be at least 1");
        require(!options.deadline.is_zero(), "--deadline must not be zero");

        let mut targets = Vec::new();
        for url in &options.urls {
            match Target::parse(url) {
                Ok(target) => targets.push(target),
                Err(error) => wrong.push(format!("--url {url}: {error}")),
            }
        }
        let keys = match &options.keys_file {
            Some(path) => KeyList::of_file(path),
            None => KeyList::shared(options.keys.iter().map(|key| key.0.as_str())),
        };
        let keys = keys.unwrap_or_else(|error| {
            wrong.push(format!("{error:#}"));
            KeyList::default()
        });
        if options.keys_file.is_none() && options.keys.is_empty() {
            wrong.push("--key is missing (or WEIR_KEY), or --keys-file".to_owned());
        }
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(Self {
            targets,
            keys,
            run_id: RunId(options.seed.unwrap_or_else(rand::random)),
            connections: options.connections,
            batch: options.batch,
            events: options.events,
            duration: options.duration.or(options.events.is_none().then_some(DURATION_DEFAULT)),
            interval: options.rate.map(|rate| interval(rate, options.batch, options.connections)),
            event_bytes: options.event_bytes,
            gzip: options.gzip,
            retry_share: options.retry_share,
            retry: options.retry,
            grace: options.grace,
            deadline: options.deadline,
            timestamp: options.timestamp,
        })
    }

    /// How many different events `connection` may send: its share of `--events`, or all that its ids can name.
    pub(crate) fn events_of(&self, connection: u16) -> u32 {
        let Some(events) = self.events else { return u32::MAX };
        let connections = u64::from(self.connections);
        let share = events / connections + u64::from(u64::from(connection) < events % connections);
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Which target a connection uses, and with which keys: every pair of both occurs once there are enough
    /// connections.
    pub(crate) fn home(&self, connection: u16) -> (usize, KeyTurn) {
        let targets = self.targets.len();
        let turn = self.keys.turn(self.run_id, connection, self.connections, targets);
        (usize::from(connection) % targets, turn)
    }
}

/// Between two batches of one of `connections`, so that together they send `rate` events a second.
fn interval(rate: u64, batch: u32, connections: u16) -> Duration {
    let nanos = u128::from(batch) * u128::from(connections) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A time such as `500ms`, `90s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a whole number with a unit: 500ms, 90s, 10m, 1h".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a whole number"))?;
    count.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| "the time is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadOptions,
    }

    #[test]
    fn the_command_line_and_the_constructor_have_the_same_defaults() {
        let cli = Cli::try_parse_from(["load", "--url", "http://a:1", "--key", "k"]).unwrap();
        assert_eq!(cli.load, LoadOptions::to("http://a:1", "k"));
    }

    #[test]
    fn every_wrong_option_is_named_at_once() {
        let mut options = LoadOptions::to("https://a", "bad\nkey");
        (options.batch, options.connections) = (0, 0);
        let error = LoadPlan::new(&options).unwrap_err().to_string();
        for name in ["--batch", "--connections", "--url https://a", "--key"] {
            assert!(error.contains(name), "{name} in {error}");
        }
    }

    #[test]
    fn a_run_needs_a_key() {
        let options = LoadOptions { keys: Vec::new(), ..LoadOptions::to("http://a", "k") };
        assert!(LoadPlan::new(&options).unwrap_err().to_string().contains("--key is missing"));
    }

    #[test]
    fn a_file_of_keys_goes_with_everything_but_deliberate_resends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "k\n").unwrap();
        let keys_file = Some(file.path().to_owned());
        let options = LoadOptions { keys: Vec::new(), keys_file, ..LoadOptions::to("http://a", "k") };
        assert!(LoadPlan::new(&options).is_ok());
        let error = LoadPlan::new(&LoadOptions { retry_share: 1, ..options }).unwrap_err().to_string();
        assert!(error.contains("--retry-share"), "{error}");
    }

    #[test]
    fn options_do_not_print_their_keys() {
        assert!(!format!("{:?}", LoadOptions::to("http://a", "wk_live_secret")).contains("secret"));
    }

    #[test]
    fn shares_of_the_events_add_up() {
        let options = LoadOptions { events: Some(1_003), connections: 4, ..LoadOptions::to("http://a", "k") };
        let plan = LoadPlan::new(&options).unwrap();
        assert_eq!((0..4).map(|c| plan.events_of(c)).collect::<Vec<_>>(), [251, 251, 251, 250]);
    }

    #[test]
    fn connections_meet_every_pair_of_target_and_key() {
        let mut options = LoadOptions::to("http://a", "k");
        options.urls.push("http://b".to_owned());
        options.keys.push(LoadKey("l".to_owned()));
        let plan = LoadPlan::new(&options).unwrap();
        let home = |connection| {
            let (target, mut turn) = plan.home(connection);
            (target, turn.next())
        };
        assert_eq!((0..4).map(home).collect::<Vec<_>>(), [(0, 0), (1, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn the_interval_makes_the_rate() {
        assert_eq!(interval(1_000, 100, 8), Duration::from_millis(800));
        assert_eq!(interval(3, 1, 1), Duration::from_nanos(333_333_333));
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "9999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
