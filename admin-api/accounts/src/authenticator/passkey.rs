//! Passkeys of somebody who is signed in: added, listed, removed.

use passkeys::{CreationOptions, Descriptor, NewCredential, RelyingParty, User};
use schemas::public_id::{PasskeyId, PersonId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::again::{Proof, WRONG_CODE};
use super::{Authenticator, Client, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::passkey::{self, Passkey, PasskeyRow};
use crate::db::person::{self, Person};
use crate::db::second_factor;
use crate::page::{Page, PageRequest};
use crate::secret::{Purpose, SecretText};

/// Passkeys of a person at most.
const PASSKEYS_MAX: usize = 20;

/// What a browser needs to make a passkey. It counts once it was confirmed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProposedPasskey {
    /// To be presented with the passkey, within five minutes.
    pub challenge: String,
    /// For `navigator.credentials.create`, by `parseCreationOptionsFromJSON`.
    pub options: CreationOptions,
}

/// A passkey that was added.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AddedPasskey {
    /// It.
    #[serde(flatten)]
    pub passkey: Passkey,
    /// If it is the first second factor: codes for when it is lost. Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recovery_codes: Option<Vec<String>>,
}

/// What an authenticator signs: bytes that nobody knows who does not hold the token.
pub(super) fn challenge_of(token: &str) -> [u8; 32] {
    Sha256::new_with_prefix(b"weir.passkey").chain_update(token.as_bytes()).finalize().into()
}

pub(super) fn descriptors(rows: Vec<PasskeyRow>) -> Vec<Descriptor> {
    rows.into_iter().map(|row| Descriptor::new(row.credential_id, row.transports)).collect()
}

impl Authenticator {
    /// # Errors
    /// [`AuthError::Invalid`] where browsers make no passkeys.
    pub(super) fn relying_party(&self) -> Result<&RelyingParty, AuthError> {
        let rule = "passkeys need a WEIR_PUBLIC_URL with https and a host's name, or http on localhost";
        self.party.as_ref().ok_or_else(|| AuthError::Invalid(rule.to_owned()))
    }

    /// What a browser needs to make a passkey. Asks again who it is.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] where there can be no passkey, or too many are.
    pub async fn propose_passkey(
        &self,
        id: PersonId,
        proof: Proof,
        client: &Client,
    ) -> Result<ProposedPasskey, AuthError> {
        let party = self.relying_party()?;
        let Person { email, name, .. } = self.ask_again(id, proof, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let rows = passkey::rows(scope.connection(), id).await?;
        if rows.len() >= PASSKEYS_MAX {
            return Err(AuthError::Invalid(format!("you have {PASSKEYS_MAX} passkeys: remove one first")));
        }
        let token = SecretText::make(Purpose::OneTime, &self.random);
        let (behind, now) = (Behind { person: Some(id), payload: None }, scope.now());
        one_time::insert(scope.connection(), OneTime::AddPasskey, &token.hash(), &behind, now).await?;
        scope.commit().await?;
        let handle = id.uuid();
        let user = User { handle: handle.as_bytes(), name: &email, display_name: &name };
        let options = party.creation_options(&challenge_of(token.expose()), &user, descriptors(rows));
        Ok(ProposedPasskey { challenge: token.expose().to_owned(), options })
    }

    /// Adds the passkey that a browser has made.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for one that was made for something else; [`AuthError::Invalid`] for what is no name, or
    /// a passkey that somebody has.
    pub async fn add_passkey(
        &self,
        id: PersonId,
        challenge: &str,
        name: &str,
        made: &NewCredential,
        client: &Client,
    ) -> Result<AddedPasskey, AuthError> {
        check::name(name)?;
        let token = SecretText::parse(Purpose::OneTime, challenge).ok_or(AuthError::Refused(WRONG_CODE))?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        let behind = one_time::spend(scope.connection(), OneTime::AddPasskey, &token.hash(), now).await?;
        if behind.and_then(|behind| behind.person) != Some(id) {
            return Err(AuthError::Refused(WRONG_CODE));
        }
        let registered = self.relying_party()?.register(&challenge_of(token.expose()), made);
        let registered = registered.map_err(|why| {
            tracing::debug!(%why, "a passkey was not added");
            AuthError::Refused("the passkey was not made for this: begin again")
        })?;
        let is_first = !self.has_second_factor(&mut scope, id).await?;
        let shown = Passkey {
            id: PasskeyId::of_random(self.random.bytes()),
            name: name.to_owned(),
            backed_up: registered.is_backed_up,
            created_at: now,
            last_used_at: None,
        };
        let row = PasskeyRow {
            id: shown.id,
            person_id: id,
            credential_id: registered.credential_id,
            public_key: registered.public_key,
            sign_count: i64::from(registered.sign_count),
            transports: registered.transports,
        };
        passkey::insert(scope.connection(), &row, &shown).await?;
        // Who was asked for a passkey once is not to be asked for an app that somebody else began to add before.
        second_factor::remove_proposed(scope.connection(), id).await?;
        scope.note(Chain::of_person(id), Note::new("passkey.create", shown.id).after(&shown));
        let known = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG_CODE))?;
        self.mail_change(&mut scope, &known, "a passkey was added", client).await?;
        let codes = if is_first { Some(self.new_recovery_codes(&mut scope, id).await?) } else { None };
        scope.commit().await?;
        let recovery_codes = codes.map(|codes| codes.recovery_codes);
        Ok(AddedPasskey { passkey: shown, recovery_codes })
    }

    /// A page of the person's passkeys, the oldest first.
    ///
    /// # Errors
    /// [`AuthError::InvalidAt`], [`AuthError::Store`].
    pub async fn passkeys(
        &self,
        who: &SignedInPerson,
        client: &Client,
        asked: &PageRequest,
    ) -> Result<Page<Passkey>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        Ok(passkey::list(scope.connection(), who.session.person, asked).await?)
    }

    /// One of the person's passkeys; `None`: the person has no such one.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn passkey(
        &self,
        who: &SignedInPerson,
        id: PasskeyId,
        client: &Client,
    ) -> Result<Option<Passkey>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        Ok(passkey::one(scope.connection(), who.session.person, id).await?)
    }

    /// Removes a passkey. Asks again who it is. `false`: the person has no such one.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Changed`]; [`AuthError::Store`].
    pub async fn remove_passkey(
        &self,
        id: PersonId,
        passkey: PasskeyId,
        proof: Proof,
        client: &Client,
    ) -> Result<bool, AuthError> {
        let known = self.ask_again(id, proof, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let Some(before) = passkey::remove(scope.connection(), id, passkey).await? else { return Ok(false) };
        scope.check(&before)?;
        if !self.has_second_factor(&mut scope, id).await? {
            second_factor::remove_recovery_codes(scope.connection(), id).await?;
        }
        scope.note(Chain::of_person(id), Note::new("passkey.remove", passkey).before(&before));
        self.mail_change(&mut scope, &known, "a passkey was removed", client).await?;
        scope.commit().await?;
        Ok(true)
    }
}
