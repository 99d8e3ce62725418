//! Every accepted and refused event is counted, and its tenant can see it.

mod counted;
mod shown;
mod written;

use std::collections::BTreeMap;

use metering::outcomes::{Interval, OutcomeQuery, of_tenant};
use schemas::id::TenantId;
use schemas::time::Micros;
use service::clock::Clock;
use sqlx::PgPool;

pub(crate) fn now() -> Micros {
    Micros(Clock::system().now_micros())
}

/// Events and requests by project, key and outcome, as a tenant is shown them.
pub(crate) type Outcomes = BTreeMap<(String, String, String), (i64, i64)>;

/// What the tenant is shown of the last day.
pub(crate) async fn outcomes_of(pool: &PgPool, tenant: TenantId) -> Outcomes {
    let now = now();
    let (from, to) = (Micros(now.0 - 24 * Micros::HOUR), Micros(now.0 + Micros::HOUR));
    let (interval, project, key, after, limit) = (Interval::Total, None, None, None, 10_000);
    let last_day = OutcomeQuery { from, to, interval, project, key, after, limit };
    let page = of_tenant(&mut pool.acquire().await.unwrap(), tenant, &last_day).await.unwrap();
    assert_eq!(page.next_cursor, None);
    page.items
        .into_iter()
        .map(|row| {
            let key = row.key.map(|key| key.to_string()).unwrap_or_default();
            ((row.project_name, key, row.outcome), (row.events, row.requests))
        })
        .collect()
}

/// The same, as a test writes it down, for one key. That key was tried once with an empty body, until it was known.
pub(crate) fn of_key(project: &str, key: &str, outcomes: &[(&str, i64, i64)]) -> Outcomes {
    let mut found = Outcomes::new();
    let tried = ("invalid_json", 0, 1);
    for (outcome, events, requests) in outcomes.iter().chain([&tried]) {
        let row =
            found.entry((project.to_owned(), key[8..18].to_owned(), (*outcome).to_owned())).or_default();
        *row = (row.0 + events, row.1 + requests);
    }
    found
}
