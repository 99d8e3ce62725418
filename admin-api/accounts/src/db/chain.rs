//! The audit: who changed what, in an order that nobody can change afterwards unseen.
//!
//! Entries are written by [`Scope::commit`](crate::Scope::commit), in the transaction of the change itself. Each chain
//! has its own numbers, from 1 without a gap, and each entry's hash covers its fields and the hash of the entry before.
//! The database role of the admin API can add entries, but can neither change nor delete any.

mod entry;
mod anchor;
mod hash;
mod verify;
mod search;

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::public_id::PersonId;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::caller::Caller;

pub(crate) use anchor::anchor;
use entry::Head;
pub use entry::{Entry, Filter};
pub(crate) use entry::{Onward, head, page};
pub(crate) use search::search;
pub(crate) use verify::verify;
pub use verify::{Broken, Verified};

/// Chains for what belongs to no tenant: no lock is shared by all people.
const PLATFORM_CHAINS: u8 = 64;

/// Entries that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chain {
    /// A tenant's.
    Tenant(TenantId),
    /// One of the platform's, 0 to 63.
    Platform(u8),
}

impl Chain {
    /// The platform's first chain: for what operators do.
    pub(crate) const OPERATORS: Self = Self::Platform(0);

    /// The platform's chain for what a person does who is in no tenant at that moment.
    #[must_use]
    pub(crate) fn of_person(person: PersonId) -> Self {
        Self::Platform(person.uuid().as_bytes()[0] % PLATFORM_CHAINS)
    }

    /// The platform's chain for what concerns an address that may be nobody's.
    #[must_use]
    pub(crate) fn of_text(text: &str) -> Self {
        Self::Platform(Sha256::digest(text.as_bytes())[0] % PLATFORM_CHAINS)
    }

    /// As the database has it: the tenant's id, or a negative number.
    #[must_use]
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Tenant(tenant) => tenant.0,
            Self::Platform(chain) => -1 - i64::from(chain),
        }
    }

    /// As [`Chain::number`] has it. `None`: there is no such chain.
    fn numbered(number: i64) -> Option<Self> {
        match u8::try_from(-1 - number) {
            _ if number > 0 => Some(Self::Tenant(TenantId(number))),
            Ok(chain) if chain < PLATFORM_CHAINS => Some(Self::Platform(chain)),
            _ => None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub(crate) fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Platform(_) => None,
        }
    }
}

/// A change that is to be noted. It never holds a secret.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    action: &'static str,
    target: String,
    before: Option<String>,
    after: Option<String>,
}

impl Note {
    /// What was done, as in `key.create`, and to what, as in `key 0000000abc`.
    pub(crate) fn new(action: &'static str, target: impl ToString) -> Self {
        Self { action, target: target.to_string(), before: None, after: None }
    }

    /// What it was like.
    pub(crate) fn before(self, before: &impl Serialize) -> Self {
        Self { before: json(before), ..self }
    }

    /// What it is like now.
    pub(crate) fn after(self, after: &impl Serialize) -> Self {
        Self { after: json(after), ..self }
    }
}

/// Structs of texts and numbers always serialise.
fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// Some chains after that number, in the order of their numbers.
pub(crate) async fn after(connection: &mut PgConnection, number: i64) -> Result<Vec<Chain>, sqlx::Error> {
    // Those of entries, too: a head that is gone must be missed.
    let numbers: Vec<i64> = sqlx::query_scalar(
        "SELECT chain FROM audit_head WHERE chain > $1
         UNION SELECT chain FROM audit_entry WHERE chain > $1 AND seq = 1 ORDER BY chain LIMIT 100",
    )
    .bind(number)
    .fetch_all(connection)
    .await?;
    Ok(numbers.into_iter().filter_map(Chain::numbered).collect())
}

/// Writes entries at the ends of their chains, whose heads stay locked until the transaction ends.
pub(crate) async fn append(
    connection: &mut PgConnection,
    caller: &Caller,
    now: DateTime<Utc>,
    mut notes: Vec<(Chain, Note)>,
) -> Result<(), sqlx::Error> {
    // Two transactions that write to the same chains lock them in the same order. The sort keeps notes' order.
    notes.sort_by_key(|(chain, _)| chain.number());
    let mut notes = notes.into_iter().peekable();
    while let Some((chain, note)) = notes.next() {
        let mut head = entry::lock_head(connection, chain).await?;
        let mut next = Some(note);
        while let Some(note) = next {
            head = append_one(connection, caller, now, chain, note, &head).await?;
            next = notes.next_if(|(of, _)| *of == chain).map(|(_, note)| note);
        }
        entry::move_head(connection, chain, &head).await?;
    }
    Ok(())
}

async fn append_one(
    connection: &mut PgConnection,
    caller: &Caller,
    now: DateTime<Utc>,
    chain: Chain,
    note: Note,
    head: &Head,
) -> Result<Head, sqlx::Error> {
    let Note { action, target, before, after } = note;
    let mut entry = Entry {
        chain: chain.number(),
        seq: head.seq + 1,
        id: hash::id(chain.number(), head.seq + 1, &head.hash),
        at: now,
        actor: caller.actor.to_string(),
        action: action.to_owned(),
        target,
        before,
        after,
        address: caller.address.map(|address| address.to_string()),
        request_id: caller.request_id,
        hash: Vec::new(),
    };
    entry.hash = hash::of(&entry, &head.hash).to_vec();
    entry::insert(connection, chain, &entry).await?;
    Ok(Head { seq: entry.seq, hash: entry.hash })
}
