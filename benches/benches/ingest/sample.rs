//! What is fed to the floors: the bodies that the load generator sends, and the frames that ingest makes of them.

use std::net::Ipv4Addr;

use anyhow::Context;
use benches::load::{LoadOptions, bodies};
use bytes::Bytes;
use schemas::frame::Envelope;
use schemas::id::{KeyId, LeaseId, ProjectId, TenantId};
use schemas::time::Micros;
use uuid::Uuid;

pub(crate) const PROJECT: ProjectId = ProjectId(1);
/// Weir's default for Kafka.
pub(crate) const PARTITIONS: u32 = 8;

/// 2026-11-05, about noon.
const NOW: Micros = Micros(1_793_880_000_123_456);

/// Bodies of `batch` events each.
pub(crate) fn sample(batch: u32, count: u32) -> anyhow::Result<Vec<Bytes>> {
    let options = LoadOptions {
        batch,
        seed: Some(1),
        timestamp: Some(NOW),
        ..LoadOptions::to("http://localhost", "wk_live_bench")
    };
    bodies(&options, count)
}

/// An envelope such as a request of the load generator gets.
pub(crate) fn envelope() -> anyhow::Result<Envelope<'static>> {
    Ok(Envelope {
        tenant: TenantId(1),
        project: PROJECT,
        key: KeyId::from_number(1).context("no key id")?,
        lease: LeaseId(1),
        period_start: NOW.seconds(),
        received_at: NOW,
        request_id: Uuid::from_u128(NOW.0.unsigned_abs().into()),
        client_ip: Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        user_agent: "weir-load/0.1.0",
    })
}
