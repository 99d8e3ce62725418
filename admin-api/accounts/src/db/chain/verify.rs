use serde::Serialize;
use sqlx::PgConnection;

use super::entry::{self, Head};
use super::{Chain, anchor, hash};

/// Entries that are read at once.
const PAGE_ROWS: i64 = 1_000;

/// What was found in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = VerifiedAudit)]
pub struct Verified {
    /// Entries that follow each other as they were written.
    pub entries: i64,
    /// Where that ends too early; `None`: nowhere.
    pub broken: Option<Broken>,
}

/// Why a chain does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "why")]
#[schema(as = BrokenAudit)]
pub enum Broken {
    /// The entry of this number is missing.
    Missing {
        /// Its number.
        seq: i64,
    },
    /// The entry of this number is not what was written, or does not follow the one before.
    Changed {
        /// Its number.
        seq: i64,
    },
    /// The last entries are missing: the chain's head names a later one.
    CutOff {
        /// What the head names.
        seq: i64,
    },
}

/// Reads the chain from its beginning and computes every hash again.
pub(crate) async fn verify(connection: &mut PgConnection, chain: Chain) -> Result<Verified, sqlx::Error> {
    // First the head: entries that are added meanwhile lie beyond it.
    let head = entry::head(connection, chain).await?;
    let anchored = anchor::last(connection, chain).await?;
    let mut last = Head::default();
    if anchored > head.seq {
        return Ok(broken(&last, Broken::CutOff { seq: anchored }));
    }
    while last.seq < head.seq {
        let page = entry::oldest(connection, chain, last.seq, PAGE_ROWS.min(head.seq - last.seq)).await?;
        if page.is_empty() {
            return Ok(broken(&last, Broken::CutOff { seq: head.seq }));
        }
        let up_to = page.last().map_or(last.seq, |entry| entry.seq);
        let mut anchors = anchor::within(connection, chain, last.seq, up_to).await?.into_iter().peekable();
        for entry in page {
            let seq = last.seq + 1;
            if entry.seq != seq {
                return Ok(broken(&last, Broken::Missing { seq }));
            }
            if hash::of(&entry, &last.hash).as_slice() != entry.hash {
                return Ok(broken(&last, Broken::Changed { seq }));
            }
            // All of it may have been written again, with hashes that agree with each other.
            if anchors.next_if(|(at, _)| *at == seq).is_some_and(|(_, hash)| hash != entry.hash) {
                return Ok(broken(&last, Broken::Changed { seq }));
            }
            last = Head { seq, hash: entry.hash };
        }
    }
    if last.hash != head.hash {
        return Ok(broken(&last, Broken::Changed { seq: last.seq }));
    }
    // Entries beyond the head were added meanwhile, which has moved the head, or nobody added them.
    let beyond = entry::oldest(connection, chain, last.seq, 1).await?;
    if !beyond.is_empty() && entry::head(connection, chain).await? == head {
        return Ok(broken(&last, Broken::Changed { seq: last.seq + 1 }));
    }
    Ok(Verified { entries: last.seq, broken: None })
}

fn broken(last: &Head, why: Broken) -> Verified {
    Verified { entries: last.seq, broken: Some(why) }
}
