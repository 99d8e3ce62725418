//! What browsers are given and give back, as `parseCreationOptionsFromJSON`, `parseRequestOptionsFromJSON` and
//! `PublicKeyCredential.toJSON` have it (section 5.1). Names are the standard's.

use serde::{Deserialize, Serialize};

use crate::Base64Url;
use crate::authenticator_data::UserVerification;

/// How long a browser asks its person.
const TIMEOUT_MILLISECONDS: u32 = 5 * 60 * 1000;

/// What a browser is asked for to make a passkey.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    pub(crate) rp: Party,
    pub(crate) user: Account,
    pub(crate) challenge: Base64Url,
    pub(crate) pub_key_cred_params: Vec<Parameter>,
    pub(crate) timeout: u32,
    pub(crate) exclude_credentials: Vec<Descriptor>,
    pub(crate) authenticator_selection: Selection,
    pub(crate) attestation: &'static str,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RelyingParty)]
pub(crate) struct Party {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PasskeyAccount)]
pub(crate) struct Account {
    pub(crate) id: Base64Url,
    pub(crate) name: String,
    pub(crate) display_name: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PasskeyParameter)]
pub(crate) struct Parameter {
    r#type: &'static str,
    alg: i64,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthenticatorSelection)]
pub(crate) struct Selection {
    resident_key: &'static str,
    user_verification: &'static str,
}

/// What a browser is asked for to sign in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    challenge: Base64Url,
    timeout: u32,
    rp_id: String,
    allow_credentials: Vec<Descriptor>,
    user_verification: &'static str,
}

/// A passkey that a browser may have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PasskeyDescriptor)]
pub struct Descriptor {
    r#type: &'static str,
    id: Base64Url,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transports: Vec<String>,
}

/// A passkey that a browser has made. Other members are for other uses of the standard: they are not looked at.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewCredential {
    /// What the authenticator said.
    pub response: AttestationResponse,
}

/// What the authenticator said when it made a passkey.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationResponse {
    /// What the browser says.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// What the authenticator says.
    pub attestation_object: Base64Url,
    /// How the authenticator may be reached.
    #[serde(default)]
    pub transports: Vec<String>,
}

/// A signature of a passkey. Other members are not looked at.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// Of which passkey.
    pub raw_id: Base64Url,
    /// What the authenticator said.
    pub response: AssertionResponse,
}

/// What the authenticator said when it signed.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    /// What the browser says.
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Base64Url,
    /// What the authenticator says.
    pub authenticator_data: Base64Url,
    /// Its signature of both.
    pub signature: Base64Url,
    /// Whose passkey it is, if the authenticator knows.
    pub user_handle: Option<Base64Url>,
}

impl Descriptor {
    /// The passkey of that id.
    #[must_use]
    pub fn new(credential_id: Vec<u8>, transports: Vec<String>) -> Self {
        Self { r#type: "public-key", id: Base64Url(credential_id), transports }
    }
}

impl Parameter {
    pub(crate) fn new(algorithm: i64) -> Self {
        Self { r#type: "public-key", alg: algorithm }
    }
}

impl CreationOptions {
    pub(crate) fn new(rp: Party, user: Account, challenge: &[u8], exclude: Vec<Descriptor>) -> Self {
        Self {
            rp,
            user,
            challenge: Base64Url(challenge.to_vec()),
            pub_key_cred_params: crate::cose::ALGORITHMS.into_iter().map(Parameter::new).collect(),
            timeout: TIMEOUT_MILLISECONDS,
            exclude_credentials: exclude,
            // With both it can be all that is shown at a sign-in, where the authenticator is able to.
            authenticator_selection: Selection {
                resident_key: "preferred",
                user_verification: UserVerification::Preferred.word(),
            },
            attestation: "none",
        }
    }
}

impl RequestOptions {
    pub(crate) fn new(
        party: &str,
        challenge: &[u8],
        allow_credentials: Vec<Descriptor>,
        verification: UserVerification,
    ) -> Self {
        Self {
            challenge: Base64Url(challenge.to_vec()),
            timeout: TIMEOUT_MILLISECONDS,
            rp_id: party.to_owned(),
            allow_credentials,
            user_verification: verification.word(),
        }
    }
}
