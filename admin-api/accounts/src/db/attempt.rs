//! How often something was guessed at, and when it may be guessed at again. Waits grow to a quarter of an hour and no
//! further, and a day forgets: nobody is locked out for good.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::id::TenantId;
use schemas::public_id::PersonId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

/// Attempts without a wait.
const FREE: i32 = 5;
/// The longest wait.
const WAIT_SECONDS_MAX: i64 = 15 * 60;

/// What is guessed at, or where from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guarded<'a> {
    /// The password of an address, from devices that are not known.
    Account(&'a str),
    /// The password of an address, from one device that signed in before.
    Device(&'a [u8; 32]),
    /// Any password, from one address of the network.
    Source(&'a str),
    /// A person's second factor.
    SecondFactor(PersonId),
    /// The password of somebody who is signed in, and is asked for it again.
    Password(PersonId),
    /// Mails that anybody can have sent to an address.
    Mail(&'a str),
    /// Mails that members of a tenant can have sent to an address.
    Invitation(TenantId, &'a str),
    /// Mails that members of any tenant can have sent to an address.
    Invited(&'a str),
    /// Mails that members of a tenant can have sent to anybody.
    Inviting(TenantId),
}

impl Guarded<'_> {
    /// A network address serves many people: it has more free attempts.
    fn free(self) -> i32 {
        match self {
            Self::Source(_) => 20 * FREE,
            Self::Account(_)
            | Self::Device(_)
            | Self::SecondFactor(_)
            | Self::Password(_)
            | Self::Mail(_)
            | Self::Invitation(..)
            | Self::Invited(_)
            | Self::Inviting(_) => FREE,
        }
    }

    fn key(self) -> [u8; 32] {
        let hash = |kind: u8, of: &[u8]| Sha256::new_with_prefix([kind]).chain_update(of).finalize().into();
        match self {
            Self::Account(email) => hash(1, email.as_bytes()),
            Self::Device(device) => hash(2, device),
            Self::Source(address) => hash(3, address.as_bytes()),
            Self::SecondFactor(person) => hash(4, person.uuid().as_bytes()),
            Self::Mail(email) => hash(5, email.as_bytes()),
            Self::Password(person) => hash(6, person.uuid().as_bytes()),
            Self::Invitation(tenant, email) => hash(7, format!("{tenant} {email}").as_bytes()),
            Self::Invited(email) => hash(8, email.as_bytes()),
            Self::Inviting(tenant) => hash(9, tenant.to_string().as_bytes()),
        }
    }
}

/// Counts an attempt before it is looked at, so that many at once are counted too.
///
/// # Errors
/// Seconds to wait, if it is too early: then nothing is counted.
pub(crate) async fn count(
    connection: &mut PgConnection,
    guarded: Guarded<'_>,
    now: DateTime<Utc>,
) -> Result<Result<(), i64>, sqlx::Error> {
    let key = guarded.key();
    let counted: Option<i32> = sqlx::query_scalar(
        "INSERT INTO attempt AS t (key, failures, last_at, open_at) VALUES ($1, 1, $2, $2)
         ON CONFLICT (key) DO UPDATE SET
             failures = CASE WHEN t.last_at < $3 THEN 1 ELSE least(t.failures, 1000) + 1 END, last_at = $2,
             open_at = $2 + interval '1 second' * CASE
                 WHEN t.last_at < $3 OR t.failures + 1 < $4 THEN 0
                 ELSE least($5::bigint, (2 ^ least(t.failures + 1 - $4, 20))::bigint) END
         WHERE t.open_at <= $2
         RETURNING failures",
    )
    .bind(key.as_slice())
    .bind(now)
    .bind(now - TimeDelta::days(1))
    .bind(guarded.free())
    .bind(WAIT_SECONDS_MAX)
    .fetch_optional(&mut *connection)
    .await?;
    if counted.is_some() {
        return Ok(Ok(()));
    }
    let open_at: Option<DateTime<Utc>> = sqlx::query_scalar("SELECT open_at FROM attempt WHERE key = $1")
        .bind(key.as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(Err(open_at.map_or(1, |at| (at - now).num_seconds().clamp(1, WAIT_SECONDS_MAX))))
}

/// Counts something that may be done so often within a time, which begins when it is done first.
///
/// # Errors
/// Seconds to wait, if it was done as often already: then nothing is counted.
pub(crate) async fn count_within(
    connection: &mut PgConnection,
    guarded: Guarded<'_>,
    (times_max, window): (i32, TimeDelta),
    now: DateTime<Utc>,
) -> Result<Result<(), i64>, sqlx::Error> {
    let key = guarded.key();
    let counted: Option<i32> = sqlx::query_scalar(
        "INSERT INTO attempt AS t (key, failures, last_at, open_at) VALUES ($1, 1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET
             failures = CASE WHEN t.open_at <= $2 THEN 1 ELSE t.failures + 1 END, last_at = $2,
             open_at = CASE WHEN t.open_at <= $2 THEN $3 ELSE t.open_at END
         WHERE t.open_at <= $2 OR t.failures < $4
         RETURNING failures",
    )
    .bind(key.as_slice())
    .bind(now)
    .bind(now + window)
    .bind(times_max)
    .fetch_optional(&mut *connection)
    .await?;
    if counted.is_some() {
        return Ok(Ok(()));
    }
    let open_at: Option<DateTime<Utc>> = sqlx::query_scalar("SELECT open_at FROM attempt WHERE key = $1")
        .bind(key.as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(Err(open_at.map_or(1, |at| (at - now).num_seconds().clamp(1, window.num_seconds()))))
}

/// What was guessed at was known: nothing stands against it any more.
pub(crate) async fn forgive(connection: &mut PgConnection, guarded: Guarded<'_>) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM attempt WHERE key = $1");
    query.bind(guarded.key().as_slice()).execute(connection).await?;
    Ok(())
}

/// One attempt was a good one: it does not count. Those before stay, since others may have made them.
pub(crate) async fn take_back(
    connection: &mut PgConnection,
    guarded: Guarded<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query =
        sqlx::query("UPDATE attempt SET failures = greatest(failures - 1, 1), open_at = $2 WHERE key = $1");
    query.bind(guarded.key().as_slice()).bind(now).execute(connection).await?;
    Ok(())
}
