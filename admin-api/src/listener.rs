//! The two addresses that the admin API listens on.

use std::fmt;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// For people and machines of tenants. It may face the internet, and does not know the operator's token.
    Tenants,
    /// For operators, on a private network.
    Operators,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenants => "tenants",
            Self::Operators => "operators",
        })
    }
}
