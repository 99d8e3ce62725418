//! Recovery codes: each stands in once for a second factor that is lost.

use data_encoding::BASE32_NOPAD;
use schemas::public_id::PersonId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::again::Proof;
use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::db::second_factor;
use crate::secret::SecretHash;

/// Recovery codes of a person.
const RECOVERY_CODES: usize = 10;

/// Codes that stand in for the app, each once. Shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// The codes.
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Makes recovery codes in the place of all former ones. Asks again who it is.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] if no second factor is on.
    pub async fn renew_recovery_codes(
        &self,
        id: PersonId,
        proof: Proof,
        client: &Client,
    ) -> Result<RecoveryCodes, AuthError> {
        let known = self.ask_again(id, proof, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        if !self.has_second_factor(&mut scope, id).await? {
            return Err(AuthError::Invalid(
                "no second factor is on: recovery codes stand in for one".to_owned(),
            ));
        }
        scope.note(Chain::of_person(id), Note::new("recovery_codes.create", id));
        self.mail_change(&mut scope, &known, "recovery codes were made", client).await?;
        let codes = self.new_recovery_codes(&mut scope, id).await?;
        scope.commit().await?;
        Ok(codes)
    }

    pub(super) async fn new_recovery_codes(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
    ) -> Result<RecoveryCodes, AuthError> {
        let code = |_| BASE32_NOPAD.encode(&self.random.bytes::<10>()).to_lowercase();
        let recovery_codes: Vec<String> = (0..RECOVERY_CODES).map(code).collect();
        let hashes: Vec<SecretHash> = recovery_codes.iter().map(|code| recovery_hash(id, code)).collect();
        second_factor::set_recovery_codes(scope.connection(), id, &hashes).await?;
        Ok(RecoveryCodes { recovery_codes })
    }
}

/// With the person in it: the same code of two people has two hashes.
pub(super) fn recovery_hash(id: PersonId, code: &str) -> SecretHash {
    let code = code.trim().to_lowercase();
    Sha256::new_with_prefix(id.uuid().as_bytes()).chain_update(code.as_bytes()).finalize().into()
}
