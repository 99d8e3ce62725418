//! Currencies: the active list of ISO 4217.

use std::fmt;

use serde::{Serialize, Serializer};

/// Codes by their exponent: how many decimals the minor unit has.
///
/// Source: ISO 4217, list one (currencies and funds), up to amendment 180 (1 January 2026). Codes that have no minor
/// unit (gold, special drawing rights, tests, no currency) are left out: nothing can be rounded to them.
const BY_EXPONENT: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF \
         CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL \
         HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU \
         MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
         SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED \
         VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// A currency of ISO 4217 that has a minor unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

/// No code of the active list, or one without a minor unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no currency of ISO 4217 that has a minor unit")]
pub struct UnknownCurrency(
    /// What was asked for.
    pub String,
);

impl Currency {
    /// The largest exponent of all currencies.
    pub const EXPONENT_MAX: u8 = 4;
    /// The euro.
    pub const EUR: Self = Self { code: *b"EUR", exponent: 2 };
    /// The US dollar.
    pub const USD: Self = Self { code: *b"USD", exponent: 2 };
    /// The unit of account of Chile, one of the two with the finest minor unit.
    pub(crate) const CLF: Self = Self { code: *b"CLF", exponent: Self::EXPONENT_MAX };

    /// The currency of a code in capitals.
    ///
    /// # Errors
    /// If the list does not have the code.
    pub fn of(code: &str) -> Result<Self, UnknownCurrency> {
        let unknown = || UnknownCurrency(code.to_owned());
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| unknown())?;
        let is_listed = |codes: &str| codes.split(' ').any(|listed| listed == code);
        let found = BY_EXPONENT.iter().find(|(_, codes)| is_listed(codes));
        found.map(|(exponent, _)| Self { code: bytes, exponent: *exponent }).ok_or_else(unknown)
    }

    /// All of them, by exponent and code.
    pub fn all() -> impl Iterator<Item = Self> {
        BY_EXPONENT.iter().flat_map(|(_, codes)| codes.split(' ')).filter_map(|code| Self::of(code).ok())
    }

    /// The code: three capitals.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// How many decimals the minor unit has: 2 for the euro, 0 for the yen.
    #[must_use]
    pub fn exponent(self) -> u8 {
        self.exponent
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_is_whole_and_sorted_and_names_each_code_once() {
        let codes: BTreeSet<String> = Currency::all().map(|currency| currency.to_string()).collect();
        assert_eq!((Currency::all().count(), codes.len()), (165, 165));
        for (exponent, codes) in BY_EXPONENT {
            assert!(exponent <= Currency::EXPONENT_MAX);
            let codes: Vec<&str> = codes.split(' ').collect();
            assert!(codes.is_sorted(), "{codes:?}");
            assert!(codes.iter().all(|code| code.len() == 3 && code.bytes().all(|c| c.is_ascii_uppercase())));
        }
    }

    #[test]
    fn a_currency_has_its_exponent() {
        for (code, exponent) in
            [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("HUF", 2), ("USD", 2)]
        {
            assert_eq!(Currency::of(code).map(Currency::exponent), Ok(exponent), "{code}");
        }
        for own in [Currency::EUR, Currency::USD, Currency::CLF] {
            assert_eq!(Currency::of(own.code()), Ok(own));
        }
    }

    #[test]
    fn what_is_not_on_the_list_is_refused() {
        for code in ["", "EU", "eur", "EURO", "XAU", "XXX", "XTS", "HRK", "BGN", "ANG", "DEM", "E R", "€"] {
            assert_eq!(Currency::of(code), Err(UnknownCurrency(code.to_owned())));
        }
    }
}
