//! The proof that an event is in a sealed hour, or that it is not: one line of JSON, which needs no pack.

use schemas::content::ContentHash;
use schemas::id::{EventHash, ProjectId, TenantId};
use serde::{Deserialize, Serialize};

use crate::check::Expected;
use crate::hex::{Hash, KeyId, PublicKey, Wide};
use crate::lines::parse;
use crate::pack::{LINE_BYTES_MAX, VERSION};
use crate::path::Place;
use crate::refused::Why;
use crate::signed::Signed;

/// An event that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Its project.
    pub project: ProjectId,
    /// The hash of project and id.
    pub event: EventHash,
    /// The id, if it is known.
    pub event_id: Option<String>,
}

impl Sought {
    /// The event of this id.
    #[must_use]
    pub fn of(project: ProjectId, event_id: &str) -> Self {
        Self { project, event: EventHash::of(project, event_id), event_id: Some(event_id.to_owned()) }
    }
}

/// What was found of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Present(Place),
    /// It is not: these two stand next to each other, and it would stand between them.
    Absent {
        /// `None` if it would be the first.
        left: Option<Place>,
        /// `None` if it would be the last.
        right: Option<Place>,
    },
}

/// What one seal says of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub struct Proof {
    /// The seal. Where an hour was sealed again, another seal has the events that came late.
    pub signed: Signed,
    /// The key that signed it. That it stands here makes nobody trust it.
    pub public: PublicKey,
    /// The event.
    pub sought: Sought,
    /// Whether it is there.
    pub found: Found,
}

/// In JSON: with `present`, or with `absent`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    weir_proof: u64,
    seal: Signed,
    public: PublicKey,
    project: i64,
    event: Wide,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<Neighbours>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Neighbours {
    left: Option<Place>,
    right: Option<Place>,
}

impl From<Proof> for Form {
    fn from(proof: Proof) -> Self {
        let (present, absent) = match proof.found {
            Found::Present(place) => (Some(place), None),
            Found::Absent { left, right } => (None, Some(Neighbours { left, right })),
        };
        Self {
            weir_proof: VERSION,
            seal: proof.signed,
            public: proof.public,
            project: proof.sought.project.0,
            event: Wide(proof.sought.event.0),
            event_id: proof.sought.event_id,
            present,
            absent,
        }
    }
}

impl TryFrom<Form> for Proof {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, &'static str> {
        let found = match (form.present, form.absent) {
            (Some(place), None) => Found::Present(place),
            (None, Some(Neighbours { left, right })) => Found::Absent { left, right },
            (None, None) | (Some(_), Some(_)) => return Err("a proof has either `present` or `absent`"),
        };
        let (project, event) = (ProjectId(form.project), EventHash(form.event.0));
        let sought = Sought { project, event, event_id: form.event_id };
        Ok(Self { signed: form.seal, public: form.public, sought, found })
    }
}

/// What a proof proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Whose event.
    pub tenant: TenantId,
    /// Of which project.
    pub project: ProjectId,
    /// The event's hash, as 32 hexadecimal digits.
    pub event: String,
    /// The event's id, if the proof names it.
    pub event_id: Option<String>,
    /// Whether it is among those of the seal.
    pub is_present: bool,
    /// If it is there and has one: its content hash, as 32 hexadecimal digits.
    pub contents: Option<String>,
    /// If it is there: what it counts for.
    pub quantity: Option<u64>,
    /// The start of the seal's hour, in seconds since 1970.
    pub hour: i64,
    /// The start of the billing period, in seconds since 1970.
    pub period: i64,
    /// The number of the seal.
    pub number: u64,
    /// The hash of the seal.
    pub seal: Hash,
    /// All events of the seal.
    pub events: u64,
    /// The key that signed.
    pub key: KeyId,
    /// The same.
    pub public: PublicKey,
    /// Whether it is one that was expected. If not, anybody may have made the proof.
    pub expected_key: bool,
}

/// Verifies a proof, a line of JSON. What is expected before and behind a pack counts for nothing here.
///
/// # Errors
/// If it proves nothing.
pub fn verify_proof(line: &[u8], expected: &Expected) -> Result<Proven, Why> {
    /// All that other versions have in common with this one.
    #[derive(Deserialize)]
    struct Versioned {
        weir_proof: u64,
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Why::Long);
    }
    let Versioned { weir_proof } = parse(line)?;
    if weir_proof != VERSION {
        return Err(Why::Version(weir_proof));
    }
    let Proof { signed, public, sought, found } = parse(line)?;
    if public.id() != signed.key {
        return Err(Why::Misnamed(signed.key));
    }
    expected.admits(&signed, &public)?;
    let hash = |id: &str| EventHash::of(sought.project, id);
    if sought.event_id.as_deref().is_some_and(|id| hash(id) != sought.event) {
        return Err(Why::Event);
    }
    let present = match &found {
        Found::Present(place) => {
            leads_to(place, &signed)?;
            if place.leaf.place() != (sought.project, sought.event) {
                return Err(Why::Event);
            }
            Some(&place.leaf)
        }
        Found::Absent { left, right } => {
            are_around(left.as_ref(), right.as_ref(), &sought, &signed)?;
            None
        }
    };
    let hashed = present.filter(|leaf| leaf.contents != ContentHash::NONE);
    Ok(Proven {
        tenant: signed.seal.tenant,
        project: sought.project,
        event: format!("{:032x}", sought.event.0),
        is_present: present.is_some(),
        contents: hashed.map(|leaf| format!("{:032x}", leaf.contents.0)),
        quantity: present.map(|leaf| leaf.quantity),
        event_id: sought.event_id,
        hour: signed.seal.hour,
        period: signed.seal.period,
        number: signed.seal.number,
        seal: signed.seal.hash(),
        events: signed.seal.root.events,
        key: signed.key,
        public,
        expected_key: !expected.keys.is_empty(),
    })
}

fn leads_to(place: &Place, signed: &Signed) -> Result<(), Why> {
    let root = signed.seal.root;
    if place.root(root.events) == Some(root) { Ok(()) } else { Err(Why::Path) }
}

/// Whether the two stand next to each other, or one at an end, and the event would stand between them.
fn are_around(
    left: Option<&Place>,
    right: Option<&Place>,
    sought: &Sought,
    signed: &Signed,
) -> Result<(), Why> {
    for place in [left, right].into_iter().flatten() {
        leads_to(place, signed)?;
    }
    let sought = (sought.project, sought.event);
    let is_behind = left.is_none_or(|left| left.leaf.place() < sought);
    let is_before = right.is_none_or(|right| sought < right.leaf.place());
    let next = left.map_or(0, |left| left.index.saturating_add(1));
    let are_next = next == right.map_or(signed.seal.root.events, |right| right.index);
    // Without either of them there would be no leaf at all, and there is no such tree.
    let is_one = left.is_some() || right.is_some();
    if is_one && is_behind && is_before && are_next { Ok(()) } else { Err(Why::Neighbours) }
}
