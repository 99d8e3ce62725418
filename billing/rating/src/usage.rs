//! Usage: what each meter has counted in a period.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// Quantities by meter. A meter that is not named has counted nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<String, Quantity>);

impl Usage {
    /// What a meter has counted.
    #[must_use]
    pub fn of(&self, meter: &str) -> Quantity {
        self.0.get(meter).copied().unwrap_or_default()
    }

    /// Sets what a meter has counted.
    pub fn set(&mut self, meter: &str, quantity: Quantity) {
        match self.0.get_mut(meter) {
            Some(old) => *old = quantity,
            None => drop(self.0.insert(meter.to_owned(), quantity)),
        }
    }

    /// The meters that are named, in order.
    pub fn meters(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<M: Into<String>> FromIterator<(M, Quantity)> for Usage {
    fn from_iter<I: IntoIterator<Item = (M, Quantity)>>(quantities: I) -> Self {
        Self(quantities.into_iter().map(|(meter, quantity)| (meter.into(), quantity)).collect())
    }
}
