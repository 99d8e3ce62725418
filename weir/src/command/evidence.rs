//! `weir evidence`: sealed hours, handed out, and proved without any store.

mod line;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use evidence::{
    Contents, Expected, Found, Hash, Proof, Proven, PublicKey, Receipt, Refused, Report, SignedReceipt,
    Sought, Why,
};
use schemas::id::{EventHash, ProjectId, TenantId};
use serde::Serialize;

use proof::export::{self, Wanted};
use schemas::time::Micros;
use service::postgres::Role;

use super::output::{find, pool, print, say};
use crate::config;

/// When a file can't be read: neither proved nor disproved.
const EXIT_UNPROVED: u8 = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Write a pack: what is sealed of a tenant's hours, and the events that it is of
    Export(EvidenceExport),
    /// List the public keys that hours were sealed with
    Keys,
    /// Verify a pack or proofs, with no store and no network; exit code 1 if something is wrong, 2 if the file can't be
    /// read
    Verify(EvidenceVerify),
    /// Verify a signed receipt, and that it is of these events, in the order of their request; exit code 1 if not
    Receipt(EvidenceReceipt),
    /// Print the proof that an event is in a pack, one JSON document for each seal that has it; or else that it is not,
    /// one for each seal of the pack
    Prove(EvidenceProve),
    /// Show what a tenant's usage of a period stands on: positions in the log, sums, hashes, sealed roots; exit code 1
    /// if usage says otherwise
    Line(line::EvidenceLine),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceExport {
    /// The tenant's name or id
    tenant: String,
    /// Start of the first hour, as in 2027-01-31T00:00:00Z
    from: DateTime<Utc>,
    /// End of the last
    to: DateTime<Utc>,
    /// The file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Hashes alone, and not what is in the events
    #[arg(long)]
    hashes: bool,
}

#[derive(Debug, Args)]
struct Known {
    /// An operator's public key, 64 hexadecimal digits; may be named several times. Without it, any key is taken
    #[arg(long = "key", value_name = "PUBLIC")]
    keys: Vec<PublicKey>,
    /// The id of the tenant that it is to be of
    #[arg(long)]
    tenant: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceVerify {
    /// A pack, or proofs
    file: PathBuf,
    #[command(flatten)]
    known: Known,
    /// Of a pack: the hash of the seal that its first one is to continue, as the verification before printed it
    #[arg(long, value_name = "HASH")]
    after: Option<Hash>,
    /// Of a pack: the hash of its last seal, as the operator published it
    #[arg(long, value_name = "HASH")]
    head: Option<Hash>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceProve {
    /// A pack
    file: PathBuf,
    /// The id of the event's project, a number
    #[arg(long)]
    project: i64,
    /// The event's id
    #[arg(long)]
    event_id: String,
    #[command(flatten)]
    known: Known,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceReceipt {
    /// What stood in the reply's header Weir-Receipt
    receipt: String,
    /// An operator's public key, 64 hexadecimal digits
    #[arg(long, value_name = "PUBLIC")]
    key: PublicKey,
    /// The ids of the accepted events, in the order of the request
    #[arg(long = "event-id", value_name = "ID", required = true)]
    event_ids: Vec<String>,
}

impl Known {
    fn expected(self) -> Expected {
        Expected { keys: self.keys, tenant: self.tenant.map(TenantId), ..Expected::default() }
    }
}

impl EvidenceCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Export(asked) => return asked.carry_out(json).await,
            Self::Keys => return keys(json).await,
            Self::Line(asked) => return asked.carry_out(json).await,
            Self::Verify(asked) => asked.carry_out(json),
            Self::Receipt(asked) => return asked.carry_out(),
            Self::Prove(asked) => asked.carry_out(),
        };
        done.or_else(|error| {
            eprintln!("weir: nothing was proved either way: {error:#}");
            Ok(ExitCode::from(EXIT_UNPROVED))
        })
    }
}

impl EvidenceExport {
    async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let (config, _) = config::processor()?;
        let micros = |at: DateTime<Utc>| Micros(at.timestamp_micros());
        let tenant = find(&pool(Role::Api)?, &self.tenant).await?.tenant();
        let contents = if self.hashes { Contents::Hashes } else { Contents::Rows };
        let wanted = Wanted { tenant, from: micros(self.from), to: micros(self.to), contents };
        let file =
            File::create_new(&self.out).with_context(|| format!("{} can't be made", self.out.display()))?;
        let (pool, clickhouse) = (pool(Role::Processor)?, service::clickhouse::client(&config.clickhouse));
        let exported = match export::export(&pool, &clickhouse, &wanted, BufWriter::new(file)).await {
            Ok(exported) => exported,
            Err(error) => {
                // What was written is no pack.
                std::fs::remove_file(&self.out)
                    .with_context(|| format!("{} is no pack", self.out.display()))?;
                return Err(error.into());
            }
        };
        print(json, &exported, |exported| {
            format!("{} events under {} seals", exported.events, exported.seals)
        })
    }
}

async fn keys(json: bool) -> anyhow::Result<ExitCode> {
    let keys = export::keys(&pool(Role::Processor)?).await?;
    print(json, &keys, |keys| {
        let lines: Vec<String> = keys.iter().map(|key| format!("{} {}", key.id, key.public)).collect();
        lines.join("\n")
    })
}

impl EvidenceVerify {
    fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let expected = Expected { after: self.after, head: self.head, ..self.known.expected() };
        let mut input = open(&self.file)?;
        // A proof names its version where a pack does, in its first bytes; whatever is neither is refused as a pack.
        let is_proof = input.fill_buf().context("the file can't be read")?.starts_with(br#"{"weir_proof""#);
        if !is_proof {
            return match evidence::verify(input, &expected) {
                Ok(report) => show(json, &report, report_text),
                Err(refused) => refuse(json, refused),
            };
        }
        anyhow::ensure!(
            expected.after.is_none() && expected.head.is_none(),
            "a proof is of one seal: --after and --head are for packs"
        );
        verify_proofs(input, &expected, json)
    }
}

impl EvidenceReceipt {
    fn carry_out(self) -> anyhow::Result<ExitCode> {
        let signed: SignedReceipt = match self.receipt.parse() {
            Ok(signed) => signed,
            Err(error) => return refused_receipt(&format!("{error}")),
        };
        let Receipt { tenant, project, received_at, events, digest, .. } = signed.receipt;
        if !signed.is_by(&self.key) {
            return refused_receipt("another key signed it, or it was changed");
        }
        let of = Receipt::digest_of(self.event_ids.iter().map(|id| EventHash::of(project, id)));
        if of != digest || u64::try_from(self.event_ids.len())? != events {
            let why =
                format!("it is of {events} events of project {project}, and not of these in this order");
            return refused_receipt(&why);
        }
        let at = time(received_at.seconds());
        say(&format!("{events} events of project {project} of tenant {tenant} were accepted at {at}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn refused_receipt(why: &str) -> anyhow::Result<ExitCode> {
    say(&format!("REFUSED: {why}"))?;
    Ok(ExitCode::FAILURE)
}

impl EvidenceProve {
    /// Goes through the pack twice, since only its end says whether the event is in none of its hours.
    fn carry_out(self) -> anyhow::Result<ExitCode> {
        let sought = Sought::of(ProjectId(self.project), &self.event_id);
        let expected = self.known.expected();
        let mut is_present = false;
        let looked = evidence::prove(open(&self.file)?, &expected, &sought, |proof| {
            is_present |= matches!(proof.found, Found::Present(_));
        });
        if let Err(refused) = looked {
            return refuse(false, refused);
        }
        let mut said = Ok(());
        let shown = evidence::prove(open(&self.file)?, &expected, &sought, |proof| {
            if said.is_ok() && matches!(proof.found, Found::Present(_)) == is_present {
                said = say_json(&proof);
            }
        });
        said?;
        match shown {
            Ok(_) => Ok(ExitCode::SUCCESS),
            Err(refused) => refuse(false, refused),
        }
    }
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} can't be opened", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn say_json(proof: &Proof) -> anyhow::Result<()> {
    Ok(say(&serde_json::to_string(proof)?)?)
}

fn verify_proofs(mut input: impl BufRead, expected: &Expected, json: bool) -> anyhow::Result<ExitCode> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let most = u64::try_from(evidence::LINE_BYTES_MAX)?.saturating_add(1);
        if io::Read::take(&mut input, most).read_until(b'\n', &mut line)? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        match evidence::verify_proof(&line, expected) {
            Ok(proven) => show(json, &proven, proven_text)?,
            Err(why) => return refuse(json, Refused { line: number, seal: None, why }),
        };
    }
}

fn show<T: Serialize>(json: bool, proved: &T, text: fn(&T) -> String) -> anyhow::Result<ExitCode> {
    super::output::print(json, proved, text)
}

fn refuse(json: bool, refused: Refused) -> anyhow::Result<ExitCode> {
    if matches!(refused.why, Why::Read(_)) {
        return Err(refused.into());
    }
    let Refused { line, seal, why } = &refused;
    if json {
        let refused = serde_json::json!({"refused": why.to_string(), "line": line, "seal": seal});
        say(&refused.to_string())?;
    } else {
        say(&format!("REFUSED: {refused}"))?;
    }
    Ok(ExitCode::FAILURE)
}

fn time(seconds: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0);
    time.map_or_else(|| format!("second {seconds}"), |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

fn signer_text(id: impl std::fmt::Display, public: &PublicKey, is_expected: bool) -> String {
    match is_expected {
        true => format!("signed with key {id}, as expected\n"),
        false => format!(
            "signed with key {id}, of which nothing here says whose it is: compare it with your operator's, or use \
             --key\n    {public}\n"
        ),
    }
}

fn report_text(report: &Report) -> String {
    let mut text = format!(
        "tenant {}: seals {} to {}, of which {} are of late events and {} of hours outside\n",
        report.tenant, report.first, report.last, report.late, report.outside
    );
    if let Some(hours) = report.hours {
        text += &format!("hours from {} to {}\n", time(hours.from), time(hours.to));
    }
    text += &format!(
        "{} events with quantity {}; {} were erased, the contents of {} are not known by a hash\n",
        report.events, report.quantity, report.erased, report.unhashed
    );
    for period in &report.periods {
        text += &format!(
            "period from {}: {} events with quantity {}\n",
            time(period.start),
            period.events,
            period.quantity
        );
    }
    for signer in &report.keys {
        text += &signer_text(signer.id, &signer.public, report.expected_key);
    }
    if report.previous != Hash::NONE {
        text += &format!("it continues {}\n", report.previous);
    }
    text += &format!("its last seal is {}\n", report.head);
    text + "everything agrees"
}

fn proven_text(proven: &Proven) -> String {
    // The text is that of who wrote the proof: it must not write on a terminal.
    let event = proven.event_id.as_ref().unwrap_or(&proven.event).escape_debug();
    let what = match proven.quantity {
        Some(quantity) => format!("is one of the {} events, and counts {quantity}", proven.events),
        None => format!("is none of the {} events", proven.events),
    };
    format!(
        "event {event} of project {} {what}\nseal {} of tenant {}: hour of {}, period from {}\nit is {}\n{}",
        proven.project,
        proven.number,
        proven.tenant,
        time(proven.hour),
        time(proven.period),
        proven.seal,
        signer_text(proven.key, &proven.public, proven.expected_key)
    )
}
