//! The row of an event: a function of its log record, and of the geo database that it names.

use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::Serialize;
use uuid::Uuid;

use crate::batch::Placed;
use crate::enrich::Enriched;

/// A row of `events`. The client checks names and types against the table.
#[derive(Debug, Row, Serialize)]
pub struct EventRow<'a> {
    tenant_id: i64,
    project_id: i64,
    event_id: &'a str,
    event_hash: u128,
    r#type: &'static str,
    event: &'a str,
    user_id: &'a str,
    anonymous_id: &'a str,
    timestamp: i64,
    received_at: i64,
    properties: &'a str,
    context: &'a str,
    extra: &'a str,
    client_ip: Ipv6Addr,
    user_agent: &'a str,
    #[serde(with = "clickhouse::serde::uuid")]
    request_id: Uuid,
    key_id: i64,
    flags: u8,
    log_partition: u32,
    position: u64,
    enrichment: u16,
    browser: &'a str,
    browser_version: u16,
    os: &'a str,
    os_version: &'a str,
    device_type: &'a str,
    geo_country: &'a str,
    geo_region: &'a str,
    geo_city: &'a str,
    geo_continent: &'a str,
    geo_time_zone: &'a str,
    /// Unix seconds.
    geo_built: u32,
    utm_source: &'a str,
    utm_medium: &'a str,
    utm_campaign: &'a str,
    utm_term: &'a str,
    utm_content: &'a str,
}

impl<'a> EventRow<'a> {
    /// The row of an event and what its enrichment says.
    #[must_use]
    pub fn new(placed: &Placed<'a>, enriched: &'a Enriched<'_>) -> Self {
        let (envelope, event) = (&placed.envelope, &placed.event);
        let [utm_source, utm_medium, utm_campaign, utm_term, utm_content] = enriched.utm();
        Self {
            tenant_id: envelope.tenant.0,
            project_id: envelope.project.0,
            event_id: event.id,
            event_hash: event.hash.0,
            r#type: event.kind.as_str(),
            event: event.name,
            user_id: event.user_id,
            anonymous_id: event.anonymous_id,
            timestamp: event.timestamp.0,
            received_at: envelope.received_at.0,
            properties: event.properties,
            context: event.context,
            extra: event.extra,
            client_ip: envelope.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED),
            user_agent: envelope.user_agent,
            request_id: envelope.request_id,
            key_id: envelope.key.number(),
            flags: event.flags.0,
            log_partition: placed.partition,
            position: placed.position.number(),
            enrichment: enriched.enrichment(),
            browser: enriched.browser(),
            browser_version: enriched.browser_version(),
            os: enriched.os(),
            os_version: enriched.os_version(),
            device_type: enriched.device_type(),
            geo_country: enriched.geo_country(),
            geo_region: enriched.geo_region(),
            geo_city: enriched.geo_city(),
            geo_continent: enriched.geo_continent(),
            geo_time_zone: enriched.geo_time_zone(),
            geo_built: enriched.geo_built(),
            utm_source,
            utm_medium,
            utm_campaign,
            utm_term,
            utm_content,
        }
    }
}
