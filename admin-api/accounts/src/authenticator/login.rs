//! Signing in with a password, and with a second factor where one is on.

use passkeys::RequestOptions;
use schemas::public_id::PersonId;
use serde::Serialize;
use service::config::Secret;

use super::{Authenticator, Client, SignedIn};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::{Chain, Note};
use crate::db::device;
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::person::{self, Credentials};
use crate::db::platform_member;
use crate::db::scope::PlatformScope;
use crate::failed_login::{self, FailedLogin};
use crate::realm::Realm;
use crate::secret::{Purpose, SecretHash, SecretText};

/// What every wrong sign-in is answered.
pub(super) const WRONG: &str = "address or password is wrong";

/// What somebody of the platform has to do who has none.
const ENROL: &str = "enrol_totp";

/// What somebody of the platform is answered whose passkeys are all there is: who has the password alone adds no app.
const APP_NEEDED: &str =
    "no passkey is taken here: sign in on the tenants' address, add an app for codes, come back";

/// How a sign-in went on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Login {
    /// All that is asked for was shown.
    SignedIn(Box<SignedIn>),
    /// A second factor is on: nothing is open yet.
    Challenge {
        /// To be presented with the second factor, within five minutes.
        #[serde(serialize_with = "exposed")]
        #[schema(value_type = String)]
        challenge: SecretText,
        /// How: `totp`, `passkey`, `recovery_code`.
        methods: Vec<&'static str>,
        /// For `navigator.credentials.get`, if a passkey is one of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        passkey: Option<RequestOptions>,
    },
}

fn exposed<S: serde::Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Whose attempts are counted.
struct Counted {
    email: String,
    device: Option<SecretHash>,
    source: Option<String>,
}

impl Counted {
    /// A device that signed in before is counted by itself, so that an attack on the account does not stop it.
    fn guarded(&self) -> Guarded<'_> {
        self.device.as_ref().map_or(Guarded::Account(&self.email), Guarded::Device)
    }
}

impl Authenticator {
    /// Signs in with address and password.
    ///
    /// # Errors
    /// [`AuthError::Refused`] with the same text, after the same time, whatever is wrong; [`AuthError::Wait`],
    /// [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn login(&self, email: &str, password: Secret, client: &Client) -> Result<Login, AuthError> {
        let email = check::email(email).map_err(|_| AuthError::Refused(WRONG))?;
        let (counted, found) = self.count(email, client).await?;
        let phc = found.as_ref().and_then(|found| found.password_hash.clone());
        let checked = match self.hasher.check(password.clone(), phc).await {
            Ok(checked) => checked,
            Err(busy) => {
                // Nobody looked at the attempt.
                self.take_back(&counted, client).await?;
                return Err(busy.into());
            }
        };
        let right = found.filter(|_| checked.matches);
        let Some(Credentials { id, password_hash: Some(password_hash) }) = right else {
            self.note_failure(&counted, client).await?;
            return Err(AuthError::Refused(WRONG));
        };
        let password_hash = match checked.outdated {
            true => self.hash_again(id, password_hash, password, client).await?,
            false => password_hash,
        };
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        let held = person::hold(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG))?;
        if held.password_hash.as_ref() != Some(&password_hash) {
            // It was changed, or hashed again, since it was looked at.
            return Err(AuthError::Busy);
        }
        // In the order in which an attempt counts them: two sign-ins never wait for each other.
        if let Some(source) = &counted.source {
            attempt::take_back(scope.connection(), Guarded::Source(source), now).await?;
        }
        attempt::forgive(scope.connection(), counted.guarded()).await?;
        if self.realm == Realm::Platform || self.has_second_factor(&mut scope, id).await? {
            return self.challenge(scope, id).await;
        }
        let signed_in = self.open_session(scope, &ring, id, client, counted.device.is_some()).await?;
        Ok(Login::SignedIn(Box::new(signed_in)))
    }

    /// Counts the attempt and looks the person up. The connection goes back before anything is hashed.
    async fn count(
        &self,
        email: String,
        client: &Client,
    ) -> Result<(Counted, Option<Credentials>), AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let presented = client.device.as_deref().and_then(|text| SecretText::parse(Purpose::Device, text));
        let device = match presented.map(|device| device.hash()) {
            Some(hash) => device::is_known(scope.connection(), &email, &hash).await?.then_some(hash),
            None => None,
        };
        let counted = Counted { email, device, source: client.source() };
        // The source first: one that has to wait does not count against the account.
        if let Some(source) = &counted.source {
            let taken = attempt::count(scope.connection(), Guarded::Source(source), now).await?;
            taken.map_err(|seconds| AuthError::Wait { seconds })?;
        }
        let taken = attempt::count(scope.connection(), counted.guarded(), now).await?;
        let found = person::credentials(scope.connection(), &counted.email).await?;
        scope.commit().await?;
        taken.map_err(|seconds| AuthError::Wait { seconds })?;
        Ok((counted, found))
    }

    async fn take_back(&self, counted: &Counted, client: &Client) -> Result<(), AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        if let Some(source) = &counted.source {
            attempt::take_back(scope.connection(), Guarded::Source(source), now).await?;
        }
        attempt::take_back(scope.connection(), counted.guarded(), now).await?;
        Ok(scope.commit().await?)
    }

    /// The same is written whether or not there is such an account.
    async fn note_failure(&self, counted: &Counted, client: &Client) -> Result<(), AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let (email, at) = (counted.email.clone(), scope.now());
        let failed = FailedLogin { email, at, address: client.address, request_id: client.request_id };
        failed_login::insert(scope.connection(), &failed).await?;
        scope.note(Chain::of_text(&counted.email), Note::new("login.fail", &counted.email));
        Ok(scope.commit().await?)
    }

    /// Hashes a password that was right with what hashes cost today, and gives the hash. If there is no room for it,
    /// the next sign-in does it.
    async fn hash_again(
        &self,
        id: PersonId,
        old: String,
        password: Secret,
        client: &Client,
    ) -> Result<String, AuthError> {
        let Ok(new) = self.hasher.hash(password, self.random.bytes()).await else { return Ok(old) };
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let changed = person::set_password(scope.connection(), id, Some(&old), &new).await?;
        scope.commit().await?;
        Ok(if changed { new } else { old })
    }

    /// People of the platform always show a code of an app. Somebody who has no second factor may make one, and nothing
    /// else.
    pub(super) async fn challenge(&self, mut scope: PlatformScope, id: PersonId) -> Result<Login, AuthError> {
        if self.realm == Realm::Platform && platform_member::role_of(scope.connection(), id).await?.is_none()
        {
            // Nobody learns here that the password is right.
            return Err(AuthError::Refused(WRONG));
        }
        let has_totp = self.has_totp(&mut scope, id).await?;
        let has_other = !has_totp && self.has_second_factor(&mut scope, id).await?;
        if self.realm == Realm::Platform && has_other {
            return Err(AuthError::Refused(APP_NEEDED));
        }
        let challenge = SecretText::make(Purpose::OneTime, &self.random);
        let behind = Behind { person: Some(id), payload: Some(self.realm.as_str().to_owned()) };
        let now = scope.now();
        one_time::insert(scope.connection(), OneTime::Challenge, &challenge.hash(), &behind, now).await?;
        let mut methods = Vec::new();
        if has_totp {
            methods.push("totp");
        }
        let passkey = self.passkey_options(&mut scope, id, challenge.expose()).await?;
        if passkey.is_some() {
            methods.push("passkey");
        }
        methods.push(if has_totp || has_other { "recovery_code" } else { ENROL });
        scope.commit().await?;
        Ok(Login::Challenge { challenge, methods, passkey })
    }
}
