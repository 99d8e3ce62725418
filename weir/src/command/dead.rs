//! `weir dead`: events that could not be read.

use std::io::Write;
use std::process::ExitCode;

use accounts::dead_letter::{self, Decision, Letter, Which};
use accounts::{PlatformScope, every};
use chrono::{DateTime, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use processor::dead::budget;
use schemas::letter::{LetterId, LetterState};
use serde_json::json;
use service::postgres::Role;

use super::output::{lines, now, platform, pool, print, say};
use crate::config;
use crate::life::stores;

/// Bytes of a frame that are shown.
const SHOWN_BYTES_MAX: usize = 512;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead letters
    List {
        #[command(flatten)]
        which: Filter,
        /// `dead`, `asked` (for its replay), `replayed` or `discarded`; all without it
        #[arg(long)]
        state: Option<LetterState>,
        /// How far back: a number and m, h or d
        #[arg(long, value_name = "TIME", value_parser = super::outcomes::micros)]
        since: Option<i64>,
    },
    /// Show one of them
    Show {
        /// `<partition>:<position>`, as `weir dead list` has it
        id: LetterId,
        /// Write its frame to the standard output, byte for byte, and nothing else
        #[arg(long)]
        raw: bool,
    },
    /// Have the processors append to the log again what this weir can read by now, to be stored if it is not yet
    Replay(Chosen),
    /// Give dead letters up: their bytes are deleted, their events stay counted as dead, and are not billed
    Discard(Chosen),
    /// Let all that is in the log now become dead letters, however many. What is received later counts again
    Resume,
}

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this tenant only: its name or id
    #[arg(long)]
    tenant: Option<String>,
    /// With these words in their reason only
    #[arg(long, value_name = "WORDS", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "chosen", required = true, multiple = true, args = ["id", "all", "tenant", "reason"])]
pub(crate) struct Chosen {
    /// `<partition>:<position>`, as `weir dead list` has it
    #[arg(conflicts_with_all = ["all", "tenant", "reason"])]
    id: Option<LetterId>,
    /// All that are dead
    #[arg(long, conflicts_with_all = ["tenant", "reason"])]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Why: the audit says it
    #[arg(long, default_value = "decided on the command line")]
    because: String,
}

impl Filter {
    fn which(self) -> Which {
        Which { tenant: self.tenant, reason: self.reason, ..Which::default() }
    }
}

impl DeadCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        match self {
            Self::List { which, state, since } => {
                let from = since.map(|micros| now() - chrono::TimeDelta::microseconds(micros));
                let which = Which { state, from, ..which.which() };
                let mut scope = platform(&pool).await?;
                let all = every(async |asked| dead_letter::list(&mut scope, &which, asked).await).await?;
                print(json, &all, lines(line))
            }
            Self::Show { id, raw } => show(&mut platform(&pool).await?, id, raw, json).await,
            Self::Replay(chosen) => {
                let asked = decide(platform(&pool).await?, Decision::Replay, chosen).await?;
                print(json, &json!({"asked": asked}), |_| {
                    format!(
                        "the processors are asked to replay {asked} dead letters: weir dead list shows what \
                         becomes of them"
                    )
                })
            }
            Self::Discard(chosen) => {
                let discarded = decide(platform(&pool).await?, Decision::Discard, chosen).await?;
                print(json, &json!({"discarded": discarded}), |_| {
                    format!("{discarded} dead letters are given up")
                })
            }
            Self::Resume => resume(json).await,
        }
    }
}

async fn resume(json: bool) -> anyhow::Result<ExitCode> {
    let log = stores::open_log_to_look(&config::stores()?).await?;
    let forgiven = budget::resume(&pool(Role::Processor)?, &*log).await?;
    print(json, &json!({"forgiven_below": forgiven}), |_| {
        "what is in the log now may become dead letters: weir partition resume for those that are halted"
            .to_owned()
    })
}

/// How many letters that was about.
async fn decide(mut scope: PlatformScope, decision: Decision, chosen: Chosen) -> anyhow::Result<u64> {
    let which = Which { id: chosen.id, ..chosen.filter.which() };
    let decided = dead_letter::decide(&mut scope, decision, &which, &chosen.because).await?;
    scope.commit().await?;
    Ok(decided)
}

fn or_unknown<T: std::fmt::Display>(known: Option<T>) -> String {
    known.map_or_else(|| "unknown".to_owned(), |known| known.to_string())
}

fn line(letter: &Letter) -> String {
    let Letter { id, state, tenant, events, reason, died_at, copies, .. } = letter;
    let became = match state {
        LetterState::Replayed => format!("replayed: {copies} events were appended again"),
        state @ (LetterState::Dead | LetterState::Asked | LetterState::Discarded) => {
            state.as_str().to_owned()
        }
    };
    format!(
        "letter {id}: {became}; {events} events of tenant {}, died {died_at}: {reason}",
        or_unknown(*tenant)
    )
}

async fn show(scope: &mut PlatformScope, id: LetterId, raw: bool, json: bool) -> anyhow::Result<ExitCode> {
    let letter = dead_letter::find(scope, id).await?;
    let bytes = dead_letter::raw(scope, id).await?;
    if raw {
        std::io::stdout().write_all(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    if json {
        return print(true, &letter, |_| String::new());
    }
    let time = |at: Option<DateTime<Utc>>| or_unknown(at);
    say(&format!(
        "{}\npartition  {}\noffset     {}\ntenant     {}\nproject    {}\nreceived   {}\nbytes      {}",
        line(&letter),
        id.partition,
        id.position.offset(),
        or_unknown(letter.tenant),
        or_unknown(letter.project),
        time(letter.received_at),
        letter.bytes
    ))?;
    say(preview(&bytes).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// The first bytes, 16 a line, as numbers and as letters.
fn preview(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
    let mut text = String::new();
    for (row, of_row) in shown.chunks(16).enumerate() {
        let numbers: String = of_row.iter().map(|byte| format!("{byte:02x} ")).collect();
        let letters: String = of_row.iter().copied().map(letter_or_dot).collect();
        text += &format!("{:06x}  {numbers:<48} {letters}\n", row * 16);
    }
    if shown.len() < bytes.len() {
        text += &format!("... and {} bytes more: --raw writes all\n", bytes.len() - shown.len());
    }
    text
}

fn letter_or_dot(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}
