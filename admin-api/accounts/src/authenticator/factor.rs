//! Second factors: one-time codes, and recovery codes for a lost device.

use passkeys::{Assertion, UserVerification};
use schemas::public_id::PersonId;
use serde::Serialize;

use super::again::{Proof, WRONG_CODE};
use super::mail::{self, Content, MailKind};
use super::passkey_login::Verdict;
use super::recovery::{RecoveryCodes, recovery_hash};
use super::{Authenticator, Client, SignedIn, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, OneTime};
use crate::db::person::{Person, SeenPerson};
use crate::db::scope::PlatformScope;
use crate::db::{device, passkey, person, second_factor};
use crate::failed_login;
use crate::secret::{Purpose, SecretHash, SecretText};
use crate::totp::TotpSecret;

/// A secret for an authenticator app. It counts once a code of it was shown.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProposedTotp {
    /// As people type it.
    pub secret: String,
    /// As apps scan it.
    pub otpauth_url: String,
}

/// What is shown as a second factor.
enum Shown<'a> {
    Totp(&'a str),
    RecoveryCode(&'a str),
    Passkey(&'a Assertion),
}

impl Authenticator {
    /// The second step of a sign-in, with a code of the app.
    ///
    /// # Errors
    /// [`AuthError::Refused`]; [`AuthError::Wait`] after several wrong codes.
    pub async fn login_totp(
        &self,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        self.second_step(challenge, Shown::Totp(code), client).await
    }

    /// The second step of a sign-in, with a recovery code.
    ///
    /// # Errors
    /// As [`Authenticator::login_totp`].
    pub async fn login_recovery_code(
        &self,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        self.second_step(challenge, Shown::RecoveryCode(code), client).await
    }

    async fn second_step(
        &self,
        challenge: &str,
        shown: Shown<'_>,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        let token = SecretText::parse(Purpose::OneTime, challenge).ok_or(AuthError::Refused(WRONG_CODE))?;
        let challenge = token.hash();
        let id = self.challenged(&challenge, client).await?;
        self.count_code(id, client).await?;
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        // Before what is theirs, as where a password is reset: one of the two waits.
        person::hold(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        let verdict = self.judge(&mut scope, id, &token, shown).await?;
        let is_first = verdict == Verdict::Good(id)
            && one_time::spend(scope.connection(), OneTime::Challenge, &challenge, now).await?.is_some();
        if !is_first {
            drop(scope);
            self.note_wrong(verdict, client).await?;
            let mut scope = self.platform(client, Actor::System).await?;
            let (note, at) = (Note::new("second_factor.fail", id), scope.now());
            failed_login::note_in_tenants(&mut scope, id, at, &note).await?;
            scope.note(Chain::of_person(id), note);
            scope.commit().await?;
            return Err(AuthError::Refused(WRONG_CODE));
        }
        attempt::forgive(scope.connection(), Guarded::SecondFactor(id)).await?;
        let known = self.knows_device(&mut scope, id, client).await?;
        self.open_session(scope, &ring, id, client, known).await
    }

    /// The second step of a sign-in, with a passkey.
    pub(super) async fn second_passkey(
        &self,
        challenge: &str,
        shown: &Assertion,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        self.second_step(challenge, Shown::Passkey(shown), client).await
    }

    async fn judge(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        token: &SecretText,
        shown: Shown<'_>,
    ) -> Result<Verdict, AuthError> {
        let is_right = match shown {
            // A secret that is proposed and not confirmed shows nothing.
            Shown::Totp(code) => self.has_totp(scope, id).await? && self.take_code(scope, id, code).await?,
            Shown::RecoveryCode(code) => {
                let (hash, now) = (recovery_hash(id, code), scope.now());
                second_factor::spend_recovery_code(scope.connection(), id, &hash, now).await?
            }
            Shown::Passkey(shown) => {
                let asked = UserVerification::Preferred;
                return self.judge_assertion(scope, Some(id), token.expose(), shown, asked).await;
            }
        };
        Ok(if is_right { Verdict::Good(id) } else { Verdict::Wrong })
    }

    /// Who has shown the password already.
    pub(super) async fn challenged(
        &self,
        challenge: &SecretHash,
        client: &Client,
    ) -> Result<PersonId, AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let behind = one_time::look(scope.connection(), OneTime::Challenge, challenge, now).await?;
        let here = behind.filter(|behind| behind.payload.as_deref() == Some(self.realm.as_str()));
        here.and_then(|behind| behind.person).ok_or(AuthError::Refused(WRONG_CODE))
    }

    pub(super) async fn knows_device(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        client: &Client,
    ) -> Result<bool, AuthError> {
        let presented = client.device.as_deref().and_then(|text| SecretText::parse(Purpose::Device, text));
        let Some(presented) = presented else { return Ok(false) };
        let Some(known) = person::by_id(scope.connection(), id).await? else { return Ok(false) };
        Ok(device::is_known(scope.connection(), &known.email, &presented.hash()).await?)
    }

    /// In a transaction of its own: an attempt counts whatever becomes of it.
    pub(super) async fn count_code(&self, id: PersonId, client: &Client) -> Result<(), AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let counted = attempt::count(scope.connection(), Guarded::SecondFactor(id), now).await?;
        scope.commit().await?;
        counted.map_err(|seconds| AuthError::Wait { seconds })
    }

    /// Whether it is a code of the person's app that nobody has shown before.
    pub(super) async fn take_code(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        code: &str,
    ) -> Result<bool, AuthError> {
        let Some(factor) = second_factor::find(scope.connection(), id).await? else { return Ok(false) };
        let bytes = self.seal.open(&place(id), &factor.sealed_secret)?;
        let now = scope.now();
        let step = TotpSecret::from_bytes(&bytes).and_then(|secret| secret.step_of(code, now.timestamp()));
        let Some(step) = step else { return Ok(false) };
        Ok(second_factor::take_step(scope.connection(), id, step, now).await?)
    }

    pub(super) async fn has_totp(&self, scope: &mut PlatformScope, id: PersonId) -> Result<bool, AuthError> {
        let factor = second_factor::find(scope.connection(), id).await?;
        Ok(factor.is_some_and(|factor| factor.confirmed_at.is_some()))
    }

    /// Whether more than a password is asked for at a sign-in.
    pub(super) async fn has_second_factor(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
    ) -> Result<bool, AuthError> {
        Ok(self.has_totp(scope, id).await? || passkey::count(scope.connection(), id).await? > 0)
    }

    /// Makes a secret for an app, which counts once it is confirmed, within ten minutes. Asks again who it is.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] if a secret is confirmed already.
    pub async fn propose_totp(
        &self,
        id: PersonId,
        proof: Proof,
        client: &Client,
    ) -> Result<ProposedTotp, AuthError> {
        let Person { email, .. } = self.ask_again(id, proof, client).await?;
        let secret = TotpSecret::make(&self.random);
        let sealed = self.seal.seal(&place(id), secret.as_bytes())?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        if !second_factor::propose(scope.connection(), id, &sealed, now).await? {
            return Err(AuthError::Invalid("a second factor is on: remove it first".to_owned()));
        }
        scope.commit().await?;
        Ok(ProposedTotp { secret: secret.base32(), otpauth_url: secret.otpauth_url(&email) })
    }

    /// Turns the second factor on, which a first code of the app shows to work.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong code; [`AuthError::Invalid`] if it is on, or was not proposed.
    pub async fn confirm_totp(
        &self,
        id: PersonId,
        code: &str,
        client: &Client,
    ) -> Result<RecoveryCodes, AuthError> {
        self.count_code(id, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let (factor, now) = (second_factor::find(scope.connection(), id).await?, scope.now());
        if factor.is_none_or(|factor| !factor.is_proposed(now)) {
            return Err(AuthError::Invalid("there is no second factor to confirm".to_owned()));
        }
        let known = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        if !self.take_code(&mut scope, id, code).await? {
            return Err(AuthError::Refused(WRONG_CODE));
        }
        attempt::forgive(scope.connection(), Guarded::SecondFactor(id)).await?;
        scope.note(Chain::of_person(id), Note::new("second_factor.on", id));
        self.mail_change(&mut scope, &known, "codes of an app are asked for", client).await?;
        let codes = self.new_recovery_codes(&mut scope, id).await?;
        scope.commit().await?;
        Ok(codes)
    }

    /// Turns the second factor off. Asks again who it is.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] if none is on; [`AuthError::Changed`] if
    /// [`Authenticator::me`] does not show what the client expects.
    pub async fn remove_totp(
        &self,
        who: &SignedInPerson,
        proof: Proof,
        client: &Client,
    ) -> Result<(), AuthError> {
        let id = who.person();
        let known = self.ask_again(id, proof, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        person::lock(scope.connection(), id).await?;
        let before = self.me_in(&mut scope, who).await?;
        scope.check(&before)?;
        if !second_factor::remove(scope.connection(), id).await? {
            return Err(AuthError::Invalid("no second factor is on".to_owned()));
        }
        if !self.has_second_factor(&mut scope, id).await? {
            second_factor::remove_recovery_codes(scope.connection(), id).await?;
        }
        scope.note(Chain::of_person(id), Note::new("second_factor.off", id));
        self.mail_change(&mut scope, &known, "codes of an app are not asked for any more", client).await?;
        Ok(scope.commit().await?)
    }

    /// Says to somebody that an operator took the second factor away.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`].
    pub async fn mail_factor_removed(
        &self,
        scope: &mut PlatformScope,
        person: &SeenPerson,
    ) -> Result<(), AuthError> {
        let content = Content::default()
            .with("name", &person.name)
            .with("change", "an operator of weir removed your app, passkeys and recovery codes")
            .with("device", "an operator's")
            .with("address", "none")
            .with("at", mail::time(scope));
        self.mail(scope, MailKind::SecondFactorChanged, &person.email, content).await
    }

    /// Notice of a change to how somebody signs in.
    pub(super) async fn mail_change(
        &self,
        scope: &mut PlatformScope,
        known: &Person,
        change: &str,
        client: &Client,
    ) -> Result<(), AuthError> {
        let content = mail::done_by(scope, known, client).with("change", change);
        self.mail(scope, MailKind::SecondFactorChanged, &known.email, content).await
    }
}

/// Where a sealed secret stands.
pub(super) fn place(id: PersonId) -> String {
    format!("second_factor {id}")
}
