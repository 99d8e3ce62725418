//! Which mails a person wants.

use schemas::public_id::PersonId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// Topics that a person may turn off. What concerns the person's own security always comes.
const TOPICS: [&str; 3] = ["usage", "billing", "product"];

/// What mails a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WantedMails {
    /// On sign-ins, passwords and second factors. Always.
    pub security: bool,
    /// Alerts on usage and limits.
    pub usage: bool,
    /// Invoices and payments.
    pub billing: bool,
    /// What is new in weir.
    pub product: bool,
}

/// What is to change: `None` stays. There is no `security`: these mails can't be turned off.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedMailsChange {
    /// Alerts on usage and limits.
    pub usage: Option<bool>,
    /// Invoices and payments.
    pub billing: Option<bool>,
    /// What is new in weir.
    pub product: Option<bool>,
}

impl WantedMailsChange {
    fn values(self) -> [Option<bool>; TOPICS.len()] {
        [self.usage, self.billing, self.product]
    }
}

/// What mails the person wants.
///
/// # Errors
/// If Postgres fails.
pub async fn wanted(connection: &mut PgConnection, person: PersonId) -> Result<WantedMails, sqlx::Error> {
    let muted: Vec<String> = sqlx::query_scalar("SELECT topic FROM muted_mail WHERE person_id = $1")
        .bind(person.uuid())
        .fetch_all(connection)
        .await?;
    let [usage, billing, product] = TOPICS.map(|topic| !muted.iter().any(|muted| muted == topic));
    Ok(WantedMails { security: true, usage, billing, product })
}

pub(crate) async fn change(
    connection: &mut PgConnection,
    person: PersonId,
    change: WantedMailsChange,
) -> Result<(), sqlx::Error> {
    for (topic, wants) in TOPICS.into_iter().zip(change.values()) {
        let statement = match wants {
            None => continue,
            Some(true) => "DELETE FROM muted_mail WHERE person_id = $1 AND topic = $2",
            Some(false) => "INSERT INTO muted_mail (person_id, topic) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        };
        sqlx::query(statement).bind(person.uuid()).bind(topic).execute(&mut *connection).await?;
    }
    Ok(())
}
