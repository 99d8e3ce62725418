//! Asks somebody who is signed in once more who they are, before a change that matters.

use schemas::public_id::PersonId;
use service::config::Secret;

use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::attempt::{self, Guarded};
use crate::db::person::{self, Person};

/// What every wrong, used or expired code or challenge is answered.
pub(super) const WRONG_CODE: &str = "the code is wrong, was used, or the sign-in has taken too long";

/// What somebody who is signed in shows again.
pub enum Proof {
    /// The password.
    Password(Secret),
    /// A code of the app.
    Code(String),
}

impl Authenticator {
    /// Holds somebody who is signed in to the password, or to a code of the app.
    pub(super) async fn ask_again(
        &self,
        id: PersonId,
        proof: Proof,
        client: &Client,
    ) -> Result<Person, AuthError> {
        let client = client.without_condition();
        match proof {
            Proof::Password(password) => self.ask_password(id, password, &client).await,
            Proof::Code(code) => self.ask_code(id, &code, &client).await,
        }
    }

    pub(super) async fn ask_password(
        &self,
        id: PersonId,
        password: Secret,
        client: &Client,
    ) -> Result<Person, AuthError> {
        let wrong = AuthError::Refused("the password is wrong");
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        let Some(known) = person::by_id(scope.connection(), id).await? else { return Err(wrong) };
        let counted = attempt::count(scope.connection(), Guarded::Password(id), now).await?;
        let found = person::credentials(scope.connection(), &known.email).await?;
        scope.commit().await?;
        counted.map_err(|seconds| AuthError::Wait { seconds })?;
        let checked = self.hasher.check(password, found.and_then(|found| found.password_hash)).await?;
        if !checked.matches {
            return Err(wrong);
        }
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        attempt::forgive(scope.connection(), Guarded::Password(id)).await?;
        scope.commit().await?;
        Ok(known)
    }

    async fn ask_code(&self, id: PersonId, code: &str, client: &Client) -> Result<Person, AuthError> {
        let wrong = AuthError::Refused(WRONG_CODE);
        self.count_code(id, client).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let Some(known) = person::by_id(scope.connection(), id).await? else { return Err(wrong) };
        // A secret that is proposed and not confirmed shows nothing.
        if !self.has_totp(&mut scope, id).await? || !self.take_code(&mut scope, id, code).await? {
            return Err(wrong);
        }
        attempt::forgive(scope.connection(), Guarded::SecondFactor(id)).await?;
        scope.commit().await?;
        Ok(known)
    }
}
