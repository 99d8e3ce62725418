//! Plans.

use serde::Serialize;
use sqlx::PgPool;

use crate::error::AdminError;

/// What a tenant may send, by the name under which it is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second; `None`: no limit.
    pub rate: Option<i64>,
    /// For how many days events are kept, from their receipt; `None`: for ever.
    pub retention_days: Option<i32>,
}

service::from_row!(Plan { name, quota, rate, retention_days });

/// A plan to be made, or what is to change of it.
#[derive(Debug, Clone)]
pub struct NewPlan {
    /// The plan's name.
    pub name: String,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second; `None`: no limit.
    pub rate: Option<i64>,
    /// `None` stays, `Some(None)`: for ever.
    pub retention_days: Option<Option<i32>>,
}

/// Days that events are kept, if not for ever: not less than the shortest dedup window, since ids of removed rows are
/// forgotten.
const RETENTION_DAYS: std::ops::RangeInclusive<i32> = 7..=36_500;

/// All plans by name.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool) -> Result<Vec<Plan>, AdminError> {
    Ok(sqlx::query_as("SELECT name, quota, rate, retention_days FROM plan ORDER BY name")
        .fetch_all(pool)
        .await?)
}

/// Makes a plan, or changes the one of that name, for all its tenants at once.
///
/// # Errors
/// [`AdminError::Invalid`] for a negative quota, a rate below 1, or a retention below a week.
pub async fn put(pool: &PgPool, plan: &NewPlan) -> Result<Plan, AdminError> {
    super::tenant::check_name(&plan.name)?;
    super::tenant::check_limits(plan.quota, plan.rate)?;
    check_retention(plan.retention_days.flatten())?;
    Ok(sqlx::query_as(
        "INSERT INTO plan (name, quota, rate, retention_days) VALUES ($1, $2, $3, $5)
         ON CONFLICT (name) DO UPDATE SET quota = excluded.quota, rate = excluded.rate,
             retention_days = CASE WHEN $4 THEN excluded.retention_days ELSE plan.retention_days END
         RETURNING name, quota, rate, retention_days",
    )
    .bind(&plan.name)
    .bind(plan.quota)
    .bind(plan.rate)
    .bind(plan.retention_days.is_some())
    .bind(plan.retention_days.flatten())
    .fetch_one(pool)
    .await?)
}

fn check_retention(days: Option<i32>) -> Result<(), AdminError> {
    if days.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
        let (least, most) = (RETENTION_DAYS.start(), RETENTION_DAYS.end());
        return Err(AdminError::Invalid(format!("retention_days is a number of days, {least} to {most}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_holds_at_its_ends_and_not_beyond() {
        for (days, good) in
            [(None, true), (Some(7), true), (Some(36_500), true), (Some(6), false), (Some(36_501), false)]
        {
            assert_eq!(check_retention(days).is_ok(), good, "{days:?}");
        }
    }
}
