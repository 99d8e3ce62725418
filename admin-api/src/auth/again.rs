use accounts::{Grants, Scope};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use schemas::permission::Permission;

use super::{Access, admitted, bearer, entered, unauthorized};
use crate::api::Api;
use crate::reply::Refused;

/// What a request asks for that is of a tenant. What takes long asks for it again.
#[derive(Clone)]
pub(crate) struct Again {
    access: Access,
    permission: Permission,
    /// As the path names it.
    named: String,
}

impl Again {
    pub(super) fn new(access: Access, permission: Permission, named: String) -> Self {
        Self { access, permission, named }
    }

    /// Lets in who may do that now, with the credential of these headers.
    ///
    /// # Errors
    /// As [`super::guard`].
    pub(crate) async fn open(&self, api: &Api, headers: &HeaderMap) -> Result<(Scope, Grants), Refused> {
        let Self { access, permission, named } = self;
        let bearer = bearer(headers);
        match api.is_of_operators() {
            true => entered(api, &bearer, named, *permission, headers).await,
            false => admitted(api, &bearer, named, *access, *permission, headers).await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Again {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.remove::<Self>().ok_or_else(|| unauthorized("this route opens no tenant"))
    }
}
