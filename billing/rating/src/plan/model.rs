//! What is paid for usage beyond the included quantity.

use serde::Serialize;

use crate::price::Price;
use crate::quantity::Quantity;

/// A way to price a quantity. Quantities count from the end of the included one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum Model {
    /// There is nothing beyond what is included: a cap.
    None,
    /// Each unit costs the same.
    Flat {
        /// What one costs.
        unit: Price,
    },
    /// Each unit costs what its own tier says.
    Graduated {
        /// In order; the last one is open.
        tiers: Vec<Tier>,
    },
    /// All units cost what the tier says that the whole quantity reaches. So a larger quantity can cost less.
    Volume {
        /// In order; the last one is open.
        tiers: Vec<Tier>,
    },
    /// Units come in packages, and a started one is paid in full.
    Package {
        /// How many units a package has: a whole number, 1 or more.
        size: Quantity,
        /// What a package costs.
        amount: Price,
    },
}

/// A tier begins behind the end of the one before, and holds its own end: `(end of the one before, up_to]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Its end; `None`: open.
    pub(crate) up_to: Option<Quantity>,
    /// What a unit costs.
    pub(crate) unit: Price,
    /// What is paid once, as soon as the tier is reached: by the first bit of a quantity that lies in it.
    pub(crate) flat: Price,
}

impl Model {
    /// The tiers, if it has any.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        match self {
            Self::Graduated { tiers } | Self::Volume { tiers } => tiers,
            Self::None | Self::Flat { .. } | Self::Package { .. } => &[],
        }
    }
}

impl Tier {
    /// Its end; `None`: open.
    #[must_use]
    pub fn up_to(&self) -> Option<Quantity> {
        self.up_to
    }

    /// What a unit costs.
    #[must_use]
    pub fn unit(&self) -> Price {
        self.unit
    }

    /// What is paid once, as soon as the tier is reached.
    #[must_use]
    pub fn flat(&self) -> Price {
        self.flat
    }

    /// Whether a quantity does not go beyond it.
    pub(crate) fn holds(&self, quantity: Quantity) -> bool {
        self.up_to.is_none_or(|end| quantity <= end)
    }
}
