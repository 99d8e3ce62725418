//! What an event itself says of whom it comes from: the members of `context` and `properties` that SDKs send.

use std::borrow::Cow;
use std::net::IpAddr;

use memchr::memmem::Finder;

use super::members::{Members, Text, Value};

/// Members that say what campaign a visit belongs to: Segment's names, in the order of the columns.
const CAMPAIGN: [&str; 5] = ["source", "medium", "name", "term", "content"];
/// The same as parameters of a URL, and as PostHog's properties.
pub(super) const UTM: [&str; 5] = ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"];

/// What was found; the first of several members of one name.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) user_agent: Option<Text<'a>>,
    pub(super) ip: Option<Text<'a>>,
    /// That the address says nothing of where the user is.
    pub(super) no_geo: bool,
    /// `context.campaign`.
    pub(super) campaign: [Option<Text<'a>>; 5],
    /// `utm_*` of the properties.
    pub(super) utm: [Option<Text<'a>>; 5],
    /// `context.page.url`, `context.page.search`, `$current_url`.
    pub(super) urls: [Option<Text<'a>>; 3],
}

/// Looks for what no text without it need be walked for.
pub(super) struct Hints {
    dollar: Finder<'static>,
    utm: Finder<'static>,
}

impl Default for Hints {
    fn default() -> Self {
        Self { dollar: Finder::new("\"$"), utm: Finder::new("\"utm_") }
    }
}

impl<'a> Said<'a> {
    /// Reads an event's `context` and `properties`.
    pub(super) fn read(context: &'a str, properties: &'a str, hints: &Hints) -> Self {
        let mut said = Self::default();
        said.read_context(context);
        let properties_bytes = properties.as_bytes();
        if hints.dollar.find(properties_bytes).is_some() || hints.utm.find(properties_bytes).is_some() {
            said.read_properties(properties);
        }
        said
    }

    fn read_context(&mut self, context: &'a str) {
        for (key, value) in Members::of(context) {
            match (key, value) {
                ("userAgent", Value::Text(text)) => note(&mut self.user_agent, text),
                ("ip", Value::Text(text)) => note(&mut self.ip, text),
                ("campaign", Value::Object(campaign)) => self.read_campaign(campaign),
                ("page", Value::Object(page)) => self.read_page(page),
                _ => {}
            }
        }
    }

    fn read_campaign(&mut self, campaign: &'a str) {
        for (key, value) in Members::of(campaign) {
            let Value::Text(text) = value else { continue };
            if let Some(column) = place(&CAMPAIGN, key).and_then(|place| self.campaign.get_mut(place)) {
                note(column, text);
            }
        }
    }

    fn read_page(&mut self, page: &'a str) {
        let [url, search, _] = &mut self.urls;
        for (key, value) in Members::of(page) {
            match (key, value) {
                ("url", Value::Text(text)) => note(url, text),
                ("search", Value::Text(text)) => note(search, text),
                _ => {}
            }
        }
    }

    fn read_properties(&mut self, properties: &'a str) {
        let [_, _, current_url] = &mut self.urls;
        for (key, value) in Members::of(properties) {
            match key.as_bytes() {
                [b'$', name @ ..] => match (name, value) {
                    (b"raw_user_agent" | b"user_agent", Value::Text(text)) => {
                        note(&mut self.user_agent, text)
                    }
                    (b"ip", Value::Text(text)) => note(&mut self.ip, text),
                    (b"current_url", Value::Text(text)) => note(current_url, text),
                    (b"geoip_disable", Value::Other(raw)) => self.no_geo |= raw == "true",
                    _ => {}
                },
                [b'u', b't', b'm', b'_', ..] => {
                    let Value::Text(text) = value else { continue };
                    if let Some(column) = place(&UTM, key).and_then(|place| self.utm.get_mut(place)) {
                        note(column, text);
                    }
                }
                _ => {}
            }
        }
    }

    /// The user's address where the event names one: `Some(None)` if what it names is none.
    pub(super) fn address(&self) -> Option<Option<IpAddr>> {
        self.ip.map(Text::get).filter(|text| !text.is_empty()).map(|text: Cow<'_, str>| text.parse().ok())
    }
}

fn note<'a>(place: &mut Option<Text<'a>>, text: Text<'a>) {
    place.get_or_insert(text);
}

pub(super) fn place(names: &[&str; 5], name: &str) -> Option<usize> {
    names.iter().position(|known| *known == name)
}
