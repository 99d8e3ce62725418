//! Enrichment: what an event's user agent, address and URLs say, in columns of their own.
//!
//! A function of the log record and of the geo database that was loaded when its batch began, which the row names. The
//! rules have a [`VERSION`], which the row names too. What can't be read gives empty columns; no event fails for it.

mod said;
mod members;
mod agent;
mod geo;
mod watch;
mod campaign;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use schemas::address::AddressPolicy;
use schemas::event::EventFlags;
use service::config::Settings;
use service::shutdown::Shutdown;

use crate::batch::Placed;
use agent::{Agent, Agents};
use campaign::{Campaign, campaign};
use geo::{Database, NOWHERE, Place, Places};
use members::Text;
use said::{Hints, Said};
use watch::GeoFile;

pub use geo::GeoError;

/// Of the rules. Whatever changes what some event is given is a new version: a golden file holds it to that.
pub const VERSION: u16 = 2;

/// Enriches events. Clones share the geo database.
#[derive(Clone, Default)]
pub struct Enricher {
    geo: Option<Arc<GeoFile>>,
}

impl fmt::Debug for Enricher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enricher({:?})", self.geo.as_ref().map(|file| file.path()))
    }
}

impl Enricher {
    /// Reads the settings, and the geo database that they name.
    pub fn read(settings: &mut Settings) -> Self {
        let meaning = "file in MaxMind's format (.mmdb) that says where addresses are; if it is not set, no \
            place is looked up";
        let Some(path) = settings.optional("WEIR_GEO_DATABASE", meaning) else { return Self::default() };
        match Self::with_geo(Path::new(&path)) {
            Ok(enricher) => enricher,
            Err(error) => {
                settings.refuse(format!("WEIR_GEO_DATABASE={path} can't be used: {error}"));
                Self::default()
            }
        }
    }

    /// An enricher that looks places up in that file.
    ///
    /// # Errors
    /// If the file can't be used.
    pub fn with_geo(path: &Path) -> Result<Self, GeoError> {
        Ok(Self { geo: Some(Arc::new(GeoFile::open(path)?)) })
    }

    /// Looks whether the geo database was replaced, and takes the new one, until `shutdown` is ordered.
    pub async fn keep_fresh(self, shutdown: Shutdown) {
        match self.geo {
            Some(file) => file.keep_fresh(shutdown).await,
            None => shutdown.ordered().await,
        }
    }

    /// Begins a batch: its events are looked up in the database that is loaded now.
    #[must_use]
    pub fn begin_batch(&self) -> BatchCache {
        let database = self.geo.as_ref().map(|file| file.database());
        BatchCache { database, places: Places::default(), agents: Agents::default(), hints: Hints::default() }
    }

    /// What the columns of that event say.
    pub fn enrich<'c>(&self, placed: &Placed<'c>, cache: &'c mut BatchCache) -> Enriched<'c> {
        let event = &placed.event;
        let BatchCache { database, places, agents, hints } = cache;
        let said = Said::read(event.context, event.properties, hints);
        let own_agent = said.user_agent.map(Text::get).filter(|text| !text.is_empty());
        let agent = agents.find(own_agent.as_deref().unwrap_or(placed.envelope.user_agent));
        let place = match (&*database, address(placed, &said)) {
            (Some(database), Some(address)) => places.find(database, address),
            _ => NOWHERE,
        };
        let geo_built = database.as_ref().map_or(0, |database| database.built());
        Enriched { agent, place, geo_built, campaign: campaign(&said) }
    }
}

/// Where the user is, by what the event says, or else by where it came from.
fn address(placed: &Placed<'_>, said: &Said<'_>) -> Option<IpAddr> {
    if said.no_geo {
        return None;
    }
    let Some(named) = said.address() else { return placed.envelope.client_ip.map(IpAddr::V6) };
    // Of what came with the request, ingest has kept what the tenant's policy allows; of this, nobody has yet.
    let is_kept_short = placed.event.flags.has_any(EventFlags::ADDRESS_SHORT);
    named.map(|ip| if is_kept_short { AddressPolicy::truncated(ip) } else { ip })
}

/// What a batch has looked up so far.
pub struct BatchCache {
    database: Option<Arc<Database>>,
    places: Places,
    agents: Agents,
    hints: Hints,
}

impl BatchCache {
    /// What the batch's rows name: the version of the rules, and when the geo database was built; 0: there is none.
    #[must_use]
    pub fn names(&self) -> (u16, u32) {
        (VERSION, self.database.as_ref().map_or(0, |database| database.built()))
    }
}

/// What the columns of a row say; empty, or 0, where nothing is known.
#[derive(Debug)]
pub struct Enriched<'c> {
    agent: &'c Agent,
    place: &'c Place,
    geo_built: u32,
    campaign: Campaign<'c>,
}

/// The columns, in the order of the table.
impl Enriched<'_> {
    /// The version of the rules.
    #[must_use]
    pub fn enrichment(&self) -> u16 {
        VERSION
    }

    /// The browser's name.
    #[must_use]
    pub fn browser(&self) -> &str {
        self.agent.browser
    }

    /// The browser's major version.
    #[must_use]
    pub fn browser_version(&self) -> u16 {
        self.agent.browser_version
    }

    /// The operating system's name.
    #[must_use]
    pub fn os(&self) -> &str {
        self.agent.os
    }

    /// The operating system's version: two numbers at most, or a name.
    #[must_use]
    pub fn os_version(&self) -> &str {
        &self.agent.os_version
    }

    /// `desktop`, `mobile`, `tablet`, `bot` or `other`; empty without a user agent.
    #[must_use]
    pub fn device_type(&self) -> &str {
        self.agent.device
    }

    /// Two letters of ISO 3166-1.
    #[must_use]
    pub fn geo_country(&self) -> &str {
        &self.place.country
    }

    /// The largest part of the country.
    #[must_use]
    pub fn geo_region(&self) -> &str {
        &self.place.region
    }

    /// The city's English name.
    #[must_use]
    pub fn geo_city(&self) -> &str {
        &self.place.city
    }

    /// Two letters.
    #[must_use]
    pub fn geo_continent(&self) -> &str {
        &self.place.continent
    }

    /// IANA name.
    #[must_use]
    pub fn geo_time_zone(&self) -> &str {
        &self.place.time_zone
    }

    /// When the database was made in which the place was looked up, in unix seconds; 0 without one.
    #[must_use]
    pub fn geo_built(&self) -> u32 {
        self.geo_built
    }

    /// `utm_source`, `utm_medium`, `utm_campaign`, `utm_term`, `utm_content`.
    #[must_use]
    pub fn utm(&self) -> [&str; 5] {
        self.campaign.each_ref().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
