//! How databases write down a place: nested with names in many languages (MaxMind, DB-IP), or flat (ip-location-db).

use serde::Deserialize;

use super::Place;

/// Bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 128;

/// What all of them have in common; whatever else is there is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Option<Coded<'a>>,
    #[serde(borrow)]
    subdivisions: Option<Vec<Coded<'a>>>,
    #[serde(borrow)]
    city: Option<City<'a>>,
    #[serde(borrow)]
    continent: Option<Coded<'a>>,
    #[serde(borrow)]
    location: Option<Location<'a>>,
    country_code: Option<&'a str>,
    state1: Option<&'a str>,
    timezone: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Coded<'a> {
    iso_code: Option<&'a str>,
    /// Of a continent.
    code: Option<&'a str>,
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Debug, Deserialize)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Location<'a> {
    time_zone: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum City<'a> {
    Flat(&'a str),
    Named {
        #[serde(borrow)]
        names: Option<Names<'a>>,
    },
}

impl Record<'_> {
    pub(super) fn place(&self) -> Place {
        let country = self.country.as_ref().and_then(|country| country.iso_code);
        // The first is the largest.
        let region = self.subdivisions.iter().flatten().next();
        let region = region.and_then(|region| english(region.names.as_ref()).or(region.iso_code));
        let city = self.city.as_ref().and_then(|city| match city {
            City::Flat(name) => Some(*name),
            City::Named { names } => english(names.as_ref()),
        });
        let time_zone = self.location.as_ref().and_then(|location| location.time_zone);
        Place {
            country: kept(country.or(self.country_code)),
            region: kept(region.or(self.state1)),
            city: kept(city),
            continent: kept(self.continent.as_ref().and_then(|continent| continent.code)),
            time_zone: kept(time_zone.or(self.timezone)),
        }
    }
}

fn english<'a>(names: Option<&Names<'a>>) -> Option<&'a str> {
    names.and_then(|names| names.en)
}

fn kept(name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().to_owned()
}
