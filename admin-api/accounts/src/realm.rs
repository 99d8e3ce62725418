//! On which of the two listeners somebody signs in. What is good on one is nothing on the other.

/// Whom an [`Authenticator`](crate::Authenticator) lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Realm {
    /// Members of tenants, and their machines.
    Tenants,
    /// People of the platform.
    Platform,
}

impl Realm {
    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Platform => "platform",
        }
    }

    /// For whom access tokens are: their `aud`.
    pub(crate) fn audience(self) -> &'static str {
        match self {
            Self::Tenants => "weir",
            Self::Platform => "weir-operator",
        }
    }
}
