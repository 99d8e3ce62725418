//! A pack of evidence: seals of a tenant's hours with the events that they are of, for those who prove them without
//! weir ([`evidence`]).

use std::collections::BTreeMap;
use std::io::Write;

use clickhouse::Client;
use evidence::{Body, Contents, Header, KeyId, NotWritten, PublicKey, Signed, Writer};
use schemas::content::ContentHash;
use schemas::id::TenantId;
use schemas::time::Micros;
use serde::Serialize;
use service::store::StoreError;
use sqlx::PgPool;

use crate::db::hour_seal::{self, Kept};
use crate::db::{evidence_key, leaves};

/// Seals that are read at once.
const SEALS_MAX: i64 = 200;

/// What a pack is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whose events.
    pub tenant: TenantId,
    /// Start of the first hour.
    pub from: Micros,
    /// End of the last.
    pub to: Micros,
    /// Rows, or hashes alone.
    pub contents: Contents,
}

/// A key that hours were sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Published {
    /// What seals name it by.
    pub id: KeyId,
    /// What verifies their signatures.
    pub public: PublicKey,
}

/// The keys that hours were sealed with, the oldest first. Publish them where weir's database can't change them.
///
/// # Errors
/// [`StoreError`].
pub async fn keys(pool: &PgPool) -> Result<Vec<Published>, StoreError> {
    let keys = evidence_key::all(pool).await?;
    Ok(keys.into_iter().map(|public| Published { id: public.id(), public }).collect())
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Seals, with those outside the hours.
    pub seals: u64,
    /// Events.
    pub events: u64,
}

/// Why there is no pack. What was written of it has no end, and is refused.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A pack is of whole hours.
    #[error("FROM and TO are starts of hours, as in 2027-01-31T14:00:00Z, and TO is later")]
    Hours,
    /// Nothing is sealed there.
    #[error(
        "no hour of it is sealed: hours are sealed some minutes after they have ended, where WEIR_EVIDENCE_KEY is set"
    )]
    NoSeal,
    /// The rows are not those that were sealed.
    #[error(
        "seal {number} can't be shown to be right, since its rows are not there as they were sealed: {source}. They \
         were erased for their age, or changed; weir verify says which"
    )]
    Rows {
        /// Of the seal.
        number: u64,
        /// What does not fit.
        source: NotWritten,
    },
    /// The pack can't be written.
    #[error(transparent)]
    NotWritten(NotWritten),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ExportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<clickhouse::error::Error> for ExportError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Writes the pack. Seals of other hours that stand between are in it without their events, for the chain.
///
/// # Errors
/// [`ExportError`].
pub async fn export(
    pool: &PgPool,
    clickhouse: &Client,
    wanted: &Wanted,
    out: impl Write,
) -> Result<Exported, ExportError> {
    if wanted.from.hour() != wanted.from || wanted.to.hour() != wanted.to || wanted.from >= wanted.to {
        return Err(ExportError::Hours);
    }
    let numbers = hour_seal::numbers(pool, wanted.tenant, (wanted.from, wanted.to)).await?;
    let (first, last) = numbers.ok_or(ExportError::NoSeal)?;
    let header = Header {
        tenant: wanted.tenant,
        from: wanted.from.seconds(),
        to: wanted.to.seconds(),
        contents: wanted.contents,
        keys: evidence_key::all(pool).await?,
    };
    let mut exported = Exported { seals: 0, events: 0 };
    let mut writer = Writer::new(out, header).map_err(ExportError::NotWritten)?;
    let mut sealed: BTreeMap<(i64, i64), Vec<u64>> = BTreeMap::new();
    let mut after = first.saturating_sub(1);
    while after < last {
        let kept = hour_seal::after(pool, wanted.tenant, after, SEALS_MAX).await?;
        if kept.is_empty() {
            break;
        }
        for Kept { signed, .. } in kept.into_iter().filter(|kept| kept.signed.seal.number <= last) {
            let number = signed.seal.number;
            after = number;
            writer.seal(&signed).map_err(|source| in_rows(number.saturating_sub(1), source))?;
            exported.seals += 1;
            if (wanted.from.seconds()..wanted.to.seconds()).contains(&signed.seal.hour) {
                let span = (signed.seal.hour, signed.seal.period);
                let since = sealed.insert(span, signed.seal.offsets.clone()).unwrap_or_default();
                exported.events += leaves_of(clickhouse, wanted, &signed, &since, &mut writer).await?;
            }
        }
    }
    writer.finish().map_err(|source| in_rows(last, source))?;
    Ok(exported)
}

/// Writes the events of a seal: those at or behind `since`.
async fn leaves_of<W: Write>(
    clickhouse: &Client,
    wanted: &Wanted,
    Signed { seal, .. }: &Signed,
    since: &[u64],
    writer: &mut Writer<W>,
) -> Result<u64, ExportError> {
    let hour = Micros(seal.hour.saturating_mul(Micros::SECOND));
    let with_bytes = wanted.contents == Contents::Rows;
    let mut events = 0;
    let mut leaves = leaves::of_hour(clickhouse, hour, &[seal.tenant.0], &seal.offsets, with_bytes)?;
    while let Some(placed) = leaves.next().await? {
        let is_before =
            since.get(placed.partition as usize).is_some_and(|since| placed.position.offset() < *since);
        if is_before || placed.span.period.seconds() != seal.period {
            continue;
        }
        let body = match wanted.contents {
            Contents::Hashes => Body::None,
            Contents::Rows if placed.is_erased => Body::Erased,
            Contents::Rows if placed.leaf.contents == ContentHash::NONE => Body::None,
            Contents::Rows => Body::Row(&placed.bytes),
        };
        writer.leaf(&placed.leaf, body).map_err(|source| in_rows(seal.number, source))?;
        events += 1;
    }
    Ok(events)
}

fn in_rows(number: u64, source: NotWritten) -> ExportError {
    match source {
        NotWritten::Leaf(_) | NotWritten::Row | NotWritten::Root(_) => ExportError::Rows { number, source },
        NotWritten::Hours
        | NotWritten::Tenant(_)
        | NotWritten::Key(..)
        | NotWritten::Chain(_)
        | NotWritten::Outside
        | NotWritten::Io(_) => ExportError::NotWritten(source),
    }
}
