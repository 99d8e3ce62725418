//! On whose account events are sent.

use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::Context;
use schemas::frame::Envelope;
use schemas::id::{KeyId, LeaseId, ProjectId, TenantId};
use schemas::time::Micros;
use uuid::Uuid;

/// A project of a tenant without a cap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    tenant: TenantId,
    pub(crate) project: ProjectId,
}

impl FromStr for Account {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (tenant, project) = text.split_once(':').context("an account is TENANT:PROJECT")?;
        Ok(Self { tenant: TenantId(tenant.parse()?), project: ProjectId(project.parse()?) })
    }
}

impl Account {
    /// The envelope of a request of the load generator's, read at `received_at`.
    pub(crate) fn envelope(
        self,
        number: u64,
        period_start: Micros,
        received_at: Micros,
    ) -> anyhow::Result<Envelope<'static>> {
        Ok(Envelope {
            tenant: self.tenant,
            project: self.project,
            key: KeyId::from_number(self.tenant.0).context("no key id")?,
            lease: LeaseId::NONE,
            period_start: period_start.seconds(),
            received_at,
            // Version 7, as ingest makes them: time first.
            request_id: Uuid::from_u64_pair(received_at.0.unsigned_abs() << 4 | 0x7000, number),
            client_ip: Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
            user_agent: "weir-load/0.1.0",
        })
    }
}
