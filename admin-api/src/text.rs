//! Texts in bodies that are not what others are.

use accounts::Proof;
use accounts::membership::Role;
use serde::{Deserialize, Deserializer};
use service::config::Secret;

/// A password in a body. It is never printed.
#[derive(Debug, utoipa::ToSchema)]
#[schema(value_type = String, format = Password)]
pub(crate) struct Password(pub(crate) Secret);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Secret::from(text.as_str())))
    }
}

/// A proof in a body of somebody who is signed in: `password`, or a `code` of the app.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Proof)]
pub(crate) struct Again {
    password: Option<Password>,
    code: Option<String>,
}

impl Again {
    pub(crate) fn new(password: Option<Password>, code: Option<String>) -> Self {
        Self { password, code }
    }

    /// # Errors
    /// What to say if it is none or both.
    pub(crate) fn proof(self) -> Result<Proof, &'static str> {
        match (self.password, self.code) {
            (Some(Password(password)), None) => Ok(Proof::Password(password)),
            (None, Some(code)) => Ok(Proof::Code(code)),
            _ => Err("send your password, or instead a code of your app"),
        }
    }
}

/// A role in a body: a built-in one's word, or the id of the tenant's own.
#[derive(Debug, utoipa::ToSchema)]
#[schema(value_type = String)]
pub(crate) struct RoleName(pub(crate) Role);

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let built_in = text.parse().ok().map(Role::BuiltIn);
        let role = built_in.or_else(|| text.parse().ok().map(Role::Custom));
        role.map(Self).ok_or_else(|| {
            serde::de::Error::custom("role is owner, admin, developer, billing, viewer, or rol_...")
        })
    }
}
