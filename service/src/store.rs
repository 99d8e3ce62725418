//! What fails when a store does: Postgres, ClickHouse, the log.
//!
//! A caller wants to know one thing of a failed store: what to do now. So there is one error for all of them, and its
//! variants answer that. What exactly went wrong stands in its source, for the line that [`crate::error::Chain`]
//! prints.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use sqlx::postgres::PgQueryResult;

/// What [`StoreError`] calls Postgres.
pub const POSTGRES: &str = "Postgres";
/// What [`StoreError`] calls ClickHouse.
pub const CLICKHOUSE: &str = "ClickHouse";
/// What [`StoreError`] calls the log of accepted events.
pub const LOG: &str = "the log";

/// Any error, as a cause.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away or busy. The same may be asked again; what was asked for may have been done.
    #[error("{store} failed")]
    Retry {
        /// Its name.
        store: &'static str,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// It refused what it was asked for, or its answer can't be read. Asking again gives the same, until somebody has
    /// changed the store or weir.
    #[error("{store} refused")]
    Reject {
        /// Its name.
        store: &'static str,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// It can't be used at all: wrong settings, or what it holds is damaged or lost. A person is needed.
    #[error("{store} can't be used")]
    Fatal {
        /// Its name.
        store: &'static str,
        /// What it said.
        #[source]
        cause: Cause,
    },
}

impl StoreError {
    /// The store is away or busy.
    pub fn retry(store: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Retry { store, cause: cause.into() }
    }

    /// The store refused.
    pub fn reject(store: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Reject { store, cause: cause.into() }
    }

    /// The store can't be used.
    pub fn fatal(store: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Fatal { store, cause: cause.into() }
    }

    /// The store did not answer in time.
    #[must_use]
    pub fn late(store: &'static str, patience: Duration) -> Self {
        Self::retry(store, format!("no answer in {} s", patience.as_secs_f64()))
    }

    /// Whether the same may be asked again, without anybody doing anything to the store or to weir.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Retry { .. })
    }

    /// The code by which Postgres named the error: five characters, as its manual lists them.
    #[must_use]
    pub fn postgres_code(&self) -> Option<Cow<'_, str>> {
        let (Self::Retry { cause, .. } | Self::Reject { cause, .. } | Self::Fatal { cause, .. }) = self;
        cause.downcast_ref::<sqlx::Error>()?.as_database_error()?.code()
    }
}

/// An answer of `store`; one that does not come within `patience` is an error.
///
/// # Errors
/// [`StoreError`].
pub async fn in_time<T, E: Into<StoreError>>(
    store: &'static str,
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(StoreError::late(store, patience)),
    }
}

/// Checks that a statement changed as many rows as it had to: if not, the books are not what they were taken for, and
/// nothing must be committed.
///
/// # Errors
/// If it changed more or fewer.
pub fn changed(done: &PgQueryResult, expected: usize) -> Result<(), sqlx::Error> {
    changed_count(done.rows_affected(), expected)
}

/// The same for a statement that counts by itself what it changed.
///
/// # Errors
/// If it changed more or fewer.
pub fn changed_count(found: u64, expected: usize) -> Result<(), sqlx::Error> {
    if usize::try_from(found) == Ok(expected) {
        return Ok(());
    }
    Err(sqlx::Error::Decode(format!("{found} rows were changed, not {expected}").into()))
}

/// Postgres's classes of errors that pass by themselves: lost connections, conflicts between transactions, too few
/// resources, a server that starts, stops or cancels, trouble with its disk.
const AWAY_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// Single codes that do: a server that is a replica for now, transactions that were idle or too long, a lock that
/// others hold for too long.
const AWAY_CODES: [&str; 4] = ["25006", "25P03", "25P04", "55P03"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_away = match error.as_database_error() {
            Some(database) => database.code().is_some_and(|code| {
                AWAY_CLASSES.iter().any(|class| code.starts_with(class))
                    || AWAY_CODES.contains(&code.as_ref())
            }),
            None => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
            ),
        };
        if is_away {
            Self::retry(POSTGRES, error)
        } else if matches!(error, sqlx::Error::Configuration(_)) {
            Self::fatal(POSTGRES, error)
        } else {
            Self::reject(POSTGRES, error)
        }
    }
}

/// ClickHouse's codes for what passes by itself: time-outs and cancelled queries, too many queries or parts, too little
/// memory or room, broken connections, a table or Keeper that is away, an insert of unknown end.
const CLICKHOUSE_AWAY: [u32; 18] =
    [159, 160, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 319, 394, 425, 439, 473, 999];

impl From<clickhouse::error::Error> for StoreError {
    fn from(error: clickhouse::error::Error) -> Self {
        let is_away = if let clickhouse::error::Error::BadResponse(text) = &error {
            is_away_by_text(text)
        } else {
            matches!(error, clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut)
        };
        if is_away { Self::retry(CLICKHOUSE, error) } else { Self::reject(CLICKHOUSE, error) }
    }
}

/// Whether a reply that is no answer speaks of something that passes. Without a code it is not ClickHouse's: somebody
/// between answered, or a connection broke off within a reply.
fn is_away_by_text(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("Code: ") else { return true };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().is_ok_and(|code: u32| CLICKHOUSE_AWAY.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Chain;

    #[test]
    fn a_store_that_is_away_may_be_asked_again_and_one_that_refuses_may_not() {
        let io = sqlx::Error::Io(std::io::Error::other("connection reset"));
        assert!(StoreError::from(io).is_away());
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_away());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_away());
        let settings = StoreError::from(sqlx::Error::Configuration("no such file".into()));
        assert!(matches!(settings, StoreError::Fatal { .. }), "{settings:?}");
        let of = |text: &str| StoreError::from(clickhouse::error::Error::BadResponse(text.to_owned()));
        assert!(of("Code: 241. DB::Exception: Memory limit exceeded").is_away());
        assert!(of("502 Bad Gateway").is_away());
        assert!(!of("Code: 60. DB::Exception: Table db.events does not exist").is_away());
        assert!(StoreError::from(clickhouse::error::Error::TimedOut).is_away());
        assert!(!StoreError::from(clickhouse::error::Error::NotEnoughData).is_away());
    }

    #[test]
    fn the_chain_names_the_store_and_each_cause_once() {
        let error = StoreError::from(sqlx::Error::Io(std::io::Error::other("connection reset")));
        let shown = "Postgres failed: error communicating with database: connection reset";
        assert_eq!(Chain(&error).to_string(), shown);
        let late = StoreError::late(LOG, Duration::from_millis(2_500));
        assert_eq!(Chain(&late).to_string(), "the log failed: no answer in 2.5 s");
    }

    #[test]
    fn a_statement_that_changes_other_rows_than_it_has_to_is_an_error() {
        let done = PgQueryResult::default();
        assert!(changed(&done, 0).is_ok());
        let wrong = changed(&done, 1).unwrap_err().to_string();
        assert!(wrong.ends_with("0 rows were changed, not 1"), "{wrong}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_in_time_is_an_error() {
        let never = std::future::pending::<Result<(), StoreError>>();
        let late = in_time(POSTGRES, Duration::from_secs(3), never).await.unwrap_err();
        assert_eq!(Chain(&late).to_string(), "Postgres failed: no answer in 3 s");
    }
}
