//! What proofs and replays need to know of all dead letters: where they stand, and what they were counted as.

use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::PgConnection;

use super::unfold::{self, HourOf, bit};
use super::{LetterId, State, book};
use crate::batch::{Letters, Placed};

/// A letter as the books count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub id: LetterId,
    /// What has become of it.
    pub state: State,
    events_before: u16,
    /// By account, `None` under no tenant: accepted events.
    pub events: Vec<(Option<HourOf>, i64)>,
    /// The index of its second event, and how many there are from there on.
    more: Option<(u16, u16)>,
}

impl Head {
    /// Whether the position belongs to an event of this letter.
    #[must_use]
    pub fn has(&self, position: Position) -> bool {
        let more = self.more.is_some_and(|(from, events)| {
            let offset = self.id.position.offset();
            let first = Position::new(offset, from).number();
            (first..first + u64::from(events)).contains(&position.number())
        });
        more || position == self.id.position
    }
}

type Row =
    (i32, String, String, i32, i64, Option<i64>, Option<i64>, Option<i64>, Option<i32>, i32, Option<Vec<u8>>);

/// All letters, of one partition or of every one.
///
/// # Errors
/// If Postgres fails.
pub async fn read(tx: &mut PgConnection, partition: Option<u32>) -> Result<Vec<Head>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT partition, position::text, state, events_before, events, tenant_id, project_id,
                (extract(epoch FROM date_trunc('hour', received_at, 'UTC')) * 1000000)::bigint,
                more_at, more_events, CASE WHEN state = 'replayed' THEN raw END
         FROM dead_letter WHERE $1::int IS NULL OR partition = $1",
    )
    .bind(partition.map(|partition| i32::try_from(partition).unwrap_or(i32::MAX)))
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(head).collect())
}

fn head(
    (partition, position, state, before, events, tenant, project, hour, more_at, more_events, raw): Row,
) -> Head {
    let hour = tenant.zip(project).zip(hour).map(|((tenant, project), hour)| HourOf {
        tenant: TenantId(tenant),
        project: ProjectId(project),
        hour: Micros(hour),
    });
    let index = |index: i32| u16::try_from(index).unwrap_or_default();
    let events_before = index(before);
    let events = match raw {
        Some(raw) => unfold::accounts(&raw, events_before).into_iter().map(|(of, n)| (Some(of), n)).collect(),
        None => vec![(hour, events)],
    };
    Head {
        id: book::id(partition, &position),
        state: state.parse().unwrap_or(State::Dead),
        events_before,
        events,
        more: more_at.map(|from| (index(from), index(more_events))),
    }
}

/// Where they stand, for [`crate::batch::decode_as_judged`].
pub fn letters<'a>(heads: impl IntoIterator<Item = &'a Head>) -> Letters {
    heads.into_iter().map(|head| ((head.id.partition, head.id.position), head.events_before)).collect()
}

/// A replayed letter with its bytes.
#[derive(Debug)]
pub struct Replayed {
    id: LetterId,
    events_before: u16,
    more_at: u16,
    stored_events: Vec<u8>,
    raw: Vec<u8>,
}

impl Replayed {
    /// Its events that are rows, at their positions.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    pub fn stored(&self, partitions: u32) -> Result<Vec<Placed<'_>>, String> {
        let events = unfold::unfold(self.id, &self.raw, self.events_before, self.more_at, partitions)?;
        let stored = events.into_iter().enumerate().filter(|(place, _)| bit(&self.stored_events, *place));
        Ok(stored.map(|(_, placed)| placed).collect())
    }
}

/// The replayed letters of `partition` in `[lo, hi)`.
///
/// # Errors
/// If Postgres fails.
pub async fn replayed(
    tx: &mut PgConnection,
    partition: u32,
    (lo, hi): (u64, u64),
) -> Result<Vec<Replayed>, sqlx::Error> {
    type Row = (String, i32, Option<i32>, Vec<u8>, Vec<u8>);
    let number = i32::try_from(partition).unwrap_or(i32::MAX);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position::text, events_before, more_at, stored_events, raw FROM dead_letter
         WHERE state = 'replayed' AND partition = $1
           AND position >= $2::text::numeric AND position < $3::text::numeric
         ORDER BY dead_letter.position",
    )
    .bind(number)
    .bind(Position::first_of(lo).number().to_string())
    .bind(Position::first_of(hi).number().to_string())
    .fetch_all(tx)
    .await?;
    let index = |index: i32| u16::try_from(index).unwrap_or_default();
    let replayed = rows.into_iter().map(|(position, before, more_at, stored_events, raw)| Replayed {
        id: book::id(number, &position),
        events_before: index(before),
        more_at: more_at.map_or(unfold::MORE_FIRST, index),
        stored_events,
        raw,
    });
    Ok(replayed.collect())
}
