//! The row of an event: a function of its log record, and of the geo database that it names, in ClickHouse's
//! `RowBinaryWithNamesAndTypes`.

use std::net::Ipv6Addr;

use schemas::content::ContentHash;

use crate::batch::Placed;
use crate::enrich::Enriched;

/// The columns, in the order in which [`write`] writes them. ClickHouse refuses a block whose names or types are not
/// its table's.
const COLUMNS: [(&str, &str); 39] = [
    ("tenant_id", "Int64"),
    ("project_id", "Int64"),
    ("event_id", "String"),
    ("event_hash", "UInt128"),
    ("type", "LowCardinality(String)"),
    ("event", "LowCardinality(String)"),
    ("user_id", "String"),
    ("anonymous_id", "String"),
    ("timestamp", "DateTime64(6, 'UTC')"),
    ("received_at", "DateTime64(6, 'UTC')"),
    ("properties", "String"),
    ("context", "String"),
    ("extra", "String"),
    ("client_ip", "IPv6"),
    ("user_agent", "LowCardinality(String)"),
    ("request_id", "UUID"),
    ("key_id", "Int64"),
    ("flags", "UInt8"),
    ("log_partition", "UInt32"),
    ("position", "UInt64"),
    ("enrichment", "UInt16"),
    ("browser", "String"),
    ("browser_version", "UInt16"),
    ("os", "String"),
    ("os_version", "String"),
    ("device_type", "String"),
    ("geo_country", "String"),
    ("geo_region", "String"),
    ("geo_city", "String"),
    ("geo_continent", "String"),
    ("geo_time_zone", "String"),
    ("geo_built", "DateTime('UTC')"),
    ("utm_source", "String"),
    ("utm_medium", "String"),
    ("utm_campaign", "String"),
    ("utm_term", "String"),
    ("utm_content", "String"),
    ("period_start", "DateTime64(0, 'UTC')"),
    ("content_hash", "UInt128"),
];

/// As a rule, so many bytes of a row at most are not texts of its event; the lengths of these texts are counted here.
const FIXED_BYTES: usize = 256;

/// The hash of what is in a row, as ClickHouse computes it from the row's columns: of the bytes that [`write`] hashed.
#[must_use]
pub fn content_hash_in_sql() -> String {
    format!("reinterpretAsUInt128(substring(SHA256({}), 1, 16))", hashed_bytes_in_sql())
}

/// The bytes that a row's hash is made of, as ClickHouse makes them from its columns.
#[must_use]
pub fn hashed_bytes_in_sql() -> String {
    let hashed = &columns()[..COLUMNS.len() - 1];
    format!("formatRow('RowBinary', {})", hashed.join(", "))
}

/// The columns' names.
pub(crate) fn columns() -> [&'static str; COLUMNS.len()] {
    COLUMNS.map(|(name, _)| name)
}

/// About how many bytes the row takes.
pub(crate) fn bytes_about(placed: &Placed<'_>) -> usize {
    let event = &placed.event;
    let texts = [
        event.id,
        event.name,
        event.user_id,
        event.anonymous_id,
        event.properties,
        event.context,
        event.extra,
    ];
    FIXED_BYTES + placed.envelope.user_agent.len() + texts.iter().map(|text| text.len()).sum::<usize>()
}

/// Appends what stands before the first row.
pub(crate) fn write_header(out: &mut Vec<u8>) {
    length(out, COLUMNS.len());
    for (name, _) in COLUMNS {
        text(out, name);
    }
    for (_, kind) in COLUMNS {
        text(out, kind);
    }
}

/// Appends the event's row, and returns the hash of what is in it: of the bytes of all columns but the hash itself,
/// which is the last.
pub(crate) fn write(out: &mut Vec<u8>, placed: &Placed<'_>, enriched: &Enriched<'_>) -> ContentHash {
    let start = out.len();
    write_event(out, placed);
    out.extend_from_slice(&enriched.enrichment().to_le_bytes());
    write_agent(out, enriched);
    write_place(out, enriched);
    write_campaign(out, enriched);
    out.extend_from_slice(&placed.envelope.period_start.to_le_bytes());
    let hash = ContentHash::of(&out[start..]);
    out.extend_from_slice(&hash.0.to_le_bytes());
    hash
}

/// What a row says that was enriched by other rules or with another geo database: columns as they stand in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedThen {
    /// The version of the rules.
    pub enrichment: u16,
    /// The columns from `browser` to `device_type`.
    pub agent: Vec<u8>,
    /// From `geo_country` to `geo_built`.
    pub place: Vec<u8>,
    /// From `utm_source` to `utm_content`.
    pub campaign: Vec<u8>,
}

/// The hash of the contents of the event's row as it was enriched then. All other columns are those of the log, and
/// with the rules of today what they give, too: nothing but the place depends on the geo database.
pub(crate) fn content_hash_then(
    placed: &Placed<'_>,
    enriched: &Enriched<'_>,
    then: &EnrichedThen,
) -> ContentHash {
    let mut row = Vec::with_capacity(bytes_about(placed));
    write_event(&mut row, placed);
    row.extend_from_slice(&then.enrichment.to_le_bytes());
    if then.enrichment == enriched.enrichment() {
        write_agent(&mut row, enriched);
        row.extend_from_slice(&then.place);
        write_campaign(&mut row, enriched);
    } else {
        [&then.agent, &then.place, &then.campaign].iter().for_each(|said| row.extend_from_slice(said));
    }
    row.extend_from_slice(&placed.envelope.period_start.to_le_bytes());
    ContentHash::of(&row)
}

/// Of the columns those that [`EnrichedThen`] has, as ClickHouse makes it of a row: agent, place, campaign.
pub(crate) fn enriched_in_sql() -> [String; 3] {
    let columns = columns();
    let place = |name| columns.iter().position(|column| *column == name).unwrap_or_default();
    let bounds = ["browser", "geo_country", "utm_source", "period_start"].map(place);
    [0, 1, 2]
        .map(|part| format!("formatRow('RowBinary', {})", columns[bounds[part]..bounds[part + 1]].join(", ")))
}

/// The columns up to `position`: the event, as the log has it.
fn write_event(out: &mut Vec<u8>, placed: &Placed<'_>) {
    let (envelope, event) = (&placed.envelope, &placed.event);
    out.extend_from_slice(&envelope.tenant.0.to_le_bytes());
    out.extend_from_slice(&envelope.project.0.to_le_bytes());
    text(out, event.id);
    out.extend_from_slice(&event.hash.0.to_le_bytes());
    text(out, event.kind.as_str());
    text(out, event.name);
    text(out, event.user_id);
    text(out, event.anonymous_id);
    out.extend_from_slice(&event.timestamp.0.to_le_bytes());
    let is_mutant = faults::mutant("now-in-row");
    let received_at = if is_mutant { faults::now_micros() } else { envelope.received_at.0 };
    out.extend_from_slice(&received_at.to_le_bytes());
    text(out, event.properties);
    text(out, event.context);
    text(out, event.extra);
    out.extend_from_slice(&envelope.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
    text(out, envelope.user_agent);
    // Two numbers of 64 bits, the high one first, each with its lowest byte first.
    let (high, low) = envelope.request_id.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&envelope.key.number().to_le_bytes());
    out.push(event.flags.0);
    out.extend_from_slice(&placed.partition.to_le_bytes());
    out.extend_from_slice(&placed.position.number().to_le_bytes());
}

fn write_agent(out: &mut Vec<u8>, enriched: &Enriched<'_>) {
    text(out, enriched.browser());
    out.extend_from_slice(&enriched.browser_version().to_le_bytes());
    [enriched.os(), enriched.os_version(), enriched.device_type()].iter().for_each(|said| text(out, said));
}

fn write_place(out: &mut Vec<u8>, enriched: &Enriched<'_>) {
    let region = [enriched.geo_country(), enriched.geo_region(), enriched.geo_city()];
    let rest = [enriched.geo_continent(), enriched.geo_time_zone()];
    region.iter().chain(&rest).for_each(|said| text(out, said));
    out.extend_from_slice(&enriched.geo_built().to_le_bytes());
}

fn write_campaign(out: &mut Vec<u8>, enriched: &Enriched<'_>) {
    enriched.utm().iter().for_each(|said| text(out, said));
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// An unsigned LEB128 number: seven bits a byte, the lowest first.
fn length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use evidence::{Body, Contents, Expected, Hash, Header, Leaf, Seal, SigningKey, Tree, Writer};
    use schemas::event::{Event, EventFlags, EventKind};
    use schemas::frame::Envelope;
    use schemas::id::{EventHash, KeyId, LeaseId, Position, ProjectId, TenantId};
    use schemas::time::Micros;
    use uuid::Uuid;

    use super::*;
    use crate::enrich::Enricher;

    fn placed() -> Placed<'static> {
        let (tenant, project) = (TenantId(7), ProjectId(8));
        Placed {
            partition: 1,
            position: Position::new(70, 3),
            envelope: Envelope {
                tenant,
                project,
                key: KeyId::from_number(1).unwrap(),
                lease: LeaseId::NONE,
                period_start: 3_600,
                received_at: Micros(7_200_000_001),
                request_id: Uuid::from_u128(1 << 100 | 1),
                client_ip: Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
                user_agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            },
            event: Event {
                hash: EventHash::of(project, "an id"),
                kind: EventKind::Track,
                flags: EventFlags::default(),
                timestamp: Micros(1),
                id: "an id",
                name: "Signed up",
                user_id: "u",
                anonymous_id: "",
                properties: r#"{"utm_source":"newsletter"}"#,
                context: "",
                extra: "",
            },
        }
    }

    /// A pack whose one row is written here, and sealed in this hour up to this offset of partition 1.
    fn pack(hour: i64, offset: u64) -> Vec<u8> {
        let (placed, enricher) = (placed(), Enricher::default());
        let mut row = Vec::new();
        let contents = write(&mut row, &placed, &enricher.enrich(&placed, &mut enricher.begin_batch()));
        row.truncate(row.len() - 16);
        let leaf = Leaf { project: placed.envelope.project, event: placed.event.hash, contents, quantity: 1 };
        let mut tree = Tree::new();
        tree.push(&leaf).unwrap();
        let (root, tenant, period) = (tree.finish().unwrap(), TenantId(7), 3_600);
        let offsets = vec![0, offset];
        let seal = Seal { tenant, number: 1, hour, period, root, offsets, previous: Hash::NONE };
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let keys = vec![key.public()];
        let header = Header { tenant, from: 0, to: 36_000, contents: Contents::Rows, keys };
        let mut writer = Writer::new(Vec::new(), header).unwrap();
        writer.seal(&key.sign(seal)).unwrap();
        writer.leaf(&leaf, Body::Row(&row)).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_verifier_of_evidence_reads_what_is_written() {
        let verify = |pack: &[u8]| evidence::verify(pack, &Expected::default());
        assert_eq!(verify(&pack(7_200, 71)).unwrap().events, 1);
        assert!(verify(&pack(3_600, 71)).unwrap_err().to_string().contains("the row's receipt"));
        assert!(verify(&pack(7_200, 70)).unwrap_err().to_string().contains("the row's position"));
    }
}
