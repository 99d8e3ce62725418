//! A second factor for somebody of the platform who has none, between the two steps of a sign-in.

use schemas::public_id::PersonId;
use serde::Serialize;

use super::again::WRONG_CODE;
use super::factor::{ProposedTotp, place};
use super::recovery::RecoveryCodes;
use super::{Authenticator, Client, SignedIn};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, OneTime};
use crate::db::{person, second_factor};
use crate::secret::{Purpose, SecretHash, SecretText};
use crate::totp::TotpSecret;

/// Somebody who has signed in, and has a second factor from now on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Enrolled {
    /// As after any sign-in.
    #[serde(flatten)]
    pub signed_in: SignedIn,
    /// Shown this once.
    #[serde(flatten)]
    pub codes: RecoveryCodes,
}

impl Authenticator {
    /// Makes a secret for an app, for who has shown the password and has no second factor.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a challenge that is not good; [`AuthError::Invalid`] if a second factor is on.
    pub async fn enrol_totp(&self, challenge: &str, client: &Client) -> Result<ProposedTotp, AuthError> {
        let (id, _) = self.challenged_by(challenge, client).await?;
        let secret = TotpSecret::make(&self.random);
        let sealed = self.seal.seal(&place(id), secret.as_bytes())?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        let known = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        // A passkey is one, too: who has the password alone adds no other.
        let has_one = self.has_second_factor(&mut scope, id).await?;
        if has_one || !second_factor::propose(scope.connection(), id, &sealed, now).await? {
            return Err(AuthError::Invalid("a second factor is on: show it".to_owned()));
        }
        scope.commit().await?;
        Ok(ProposedTotp { secret: secret.base32(), otpauth_url: secret.otpauth_url(&known.email) })
    }

    /// Turns the second factor on and signs in, with a first code of the app.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong code or a challenge that is not good; [`AuthError::Wait`] after several wrong
    /// codes; [`AuthError::Invalid`] if a second factor is on.
    pub async fn confirm_enrolment(
        &self,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<Enrolled, AuthError> {
        let (id, hash) = self.challenged_by(challenge, client).await?;
        self.count_code(id, client).await?;
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        person::hold(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        let factor = second_factor::find(scope.connection(), id).await?;
        if factor.is_none_or(|factor| !factor.is_proposed(now)) {
            return Err(AuthError::Invalid("there is no second factor to confirm".to_owned()));
        }
        let person = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        let is_right = self.take_code(&mut scope, id, code).await?
            && one_time::spend(scope.connection(), OneTime::Challenge, &hash, now).await?.is_some();
        if !is_right {
            return Err(AuthError::Refused(WRONG_CODE));
        }
        attempt::forgive(scope.connection(), Guarded::SecondFactor(id)).await?;
        scope.note(Chain::of_person(id), Note::new("second_factor.on", id));
        self.mail_change(&mut scope, &person, "codes of an app are asked for", client).await?;
        let codes = self.new_recovery_codes(&mut scope, id).await?;
        let known = self.knows_device(&mut scope, id, client).await?;
        let signed_in = self.open_session(scope, &ring, id, client, known).await?;
        Ok(Enrolled { signed_in, codes })
    }

    async fn challenged_by(
        &self,
        challenge: &str,
        client: &Client,
    ) -> Result<(PersonId, SecretHash), AuthError> {
        let challenge = SecretText::parse(Purpose::OneTime, challenge);
        let hash = challenge.ok_or(AuthError::Refused(WRONG_CODE))?.hash();
        Ok((self.challenged(&hash, client).await?, hash))
    }
}
