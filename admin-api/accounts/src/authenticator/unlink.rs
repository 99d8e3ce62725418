//! What signs a person in through OpenID providers, and how it ends.

use schemas::public_id::PersonId;

use super::{Authenticator, Client, Proof, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::chain::{Chain, Note};
use crate::db::openid_identity::{self, LinkedIdentity};
use crate::db::scope::PlatformScope;
use crate::db::{passkey, person};
use crate::page::{Page, PageRequest};

impl Authenticator {
    /// A page of what signs the person in.
    ///
    /// # Errors
    /// [`AuthError::InvalidAt`], [`AuthError::Store`].
    pub async fn openid_identities(
        &self,
        who: &SignedInPerson,
        client: &Client,
        asked: &PageRequest,
    ) -> Result<Page<LinkedIdentity>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        Ok(openid_identity::list(scope.connection(), who.session.person, asked).await?)
    }

    /// Lets a provider sign the person in no more. Asks again who it is. `false`: it has not signed the person in.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] if the person could not sign in any more;
    /// [`AuthError::Changed`]; [`AuthError::Store`].
    pub async fn unlink_openid(
        &self,
        id: PersonId,
        provider: &str,
        proof: Proof,
        client: &Client,
    ) -> Result<bool, AuthError> {
        let known = self.ask_again(id, proof, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        // Of two who take away one way in each, the second one sees what is left.
        person::lock(scope.connection(), id).await?;
        let shown = openid_identity::list(scope.connection(), id, &PageRequest::default()).await?;
        let before = openid_identity::remove(scope.connection(), id, provider).await?;
        if before.is_empty() {
            return Ok(false);
        }
        scope.check(&shown)?;
        if !self.can_sign_in(&mut scope, id, &known.email).await? {
            let rule = format!("nothing but {provider} signs you in: set a password or add a passkey first");
            return Err(AuthError::Invalid(rule));
        }
        scope.note(Chain::of_person(id), Note::new("openid.unlink", id).before(&before));
        self.mail_change(&mut scope, &known, &format!("{provider} signs you in no more"), client).await?;
        scope.commit().await?;
        Ok(true)
    }

    /// Whether the person has a password, a passkey, or a provider.
    async fn can_sign_in(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        email: &str,
    ) -> Result<bool, AuthError> {
        let credentials = person::credentials(scope.connection(), email).await?;
        Ok(credentials.is_some_and(|known| known.password_hash.is_some())
            || passkey::count(scope.connection(), id).await? > 0
            || openid_identity::count(scope.connection(), id).await? > 0)
    }
}
