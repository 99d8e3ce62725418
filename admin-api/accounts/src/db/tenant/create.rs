//! Making a tenant.

use clap::Args;
use data_encoding::HEXLOWER;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;
use serde::Deserialize;

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::project;
use crate::db::scope::PlatformScope;
use crate::db::tenant::{Tenant, by_id, slug};
use crate::error::AccountError;
use crate::random::Random;

/// A tenant to be made.
#[derive(Debug, Clone, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct NewTenant {
    /// Its name
    pub name: String,
    /// What stands for it in paths; without it, the letters and digits of its name
    #[arg(long)]
    pub slug: Option<String>,
    /// Events a month, instead of the plan's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub quota: Option<i64>,
    /// The plan's name
    #[serde(default = "default_plan")]
    #[arg(long, default_value_t = default_plan())]
    pub plan: String,
    /// Events a second, instead of the plan's
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub rate: Option<i64>,
    /// IANA name of the time zone in which its months begin; `UTC` without it
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// How much of a client's address its events carry: `full`, `truncated` or `none`; `full` without it
    #[arg(long, value_name = "POLICY")]
    pub client_ip: Option<AddressPolicy>,
}

fn default_plan() -> String {
    "developer".to_owned()
}

/// Makes a tenant, and its project `default`.
///
/// # Errors
/// [`AccountError`].
pub async fn create(scope: &mut PlatformScope, new: &NewTenant) -> Result<Tenant, AccountError> {
    check::name(&new.name)?;
    check::limits(new.quota, new.rate)?;
    let slug = new.slug.clone().unwrap_or_else(|| slug::of_name(&new.name));
    slug::check(&slug)?;
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    check::time_zone(zone)?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO tenant (name, plan_id, quota, rate, time_zone, client_ip)
         SELECT $1, id, $3, $4, $5, $6 FROM plan WHERE name = $2 RETURNING id",
    )
    .bind(&slug)
    .bind(&new.plan)
    .bind(new.quota)
    .bind(new.rate)
    .bind(zone)
    .bind(new.client_ip.unwrap_or_default().as_str())
    .fetch_optional(scope.connection())
    .await
    .map_err(AccountError::of_insert(|| format!("tenant {slug}")))?
    .ok_or_else(|| AccountError::NotFound(format!("plan {}", new.plan)))?;
    sqlx::query("INSERT INTO tenant_profile (tenant_id, title) VALUES ($1, $2)")
        .bind(id)
        .bind(&new.name)
        .execute(scope.connection())
        .await?;
    project::insert(scope.connection(), TenantId(id), project::DEFAULT).await?;
    let tenant = by_id(scope.connection(), TenantId(id)).await?;
    let note = Note::new("tenant.create", tenant.id).after(&tenant);
    scope.note(Chain::Tenant(TenantId(id)), note);
    Ok(tenant)
}

/// Makes the tenant of somebody who has registered. Another slug is made if the name's is taken.
pub(crate) async fn found(
    scope: &mut PlatformScope,
    random: &Random,
    name: &str,
) -> Result<TenantId, AccountError> {
    let mut slug = slug::of_name(name);
    let taken = sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenant WHERE name = $1)");
    if taken.bind(&slug).fetch_one(scope.connection()).await? {
        slug = format!("{slug}-{}", HEXLOWER.encode(&random.bytes::<6>()));
    }
    let new = NewTenant {
        name: name.to_owned(),
        slug: Some(slug),
        quota: None,
        plan: default_plan(),
        rate: None,
        time_zone: None,
        client_ip: None,
    };
    Ok(TenantId(create(scope, &new).await?.number))
}
