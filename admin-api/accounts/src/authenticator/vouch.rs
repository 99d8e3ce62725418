//! What operators do for people at the command line: vouch for an address, and give another password.

use data_encoding::BASE32_NOPAD;
use schemas::permission::BuiltInRole;
use schemas::public_id::PersonId;
use service::config::Secret;

use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::membership::Role;
use crate::db::session::{self, Which};
use crate::db::{device, one_time, person, tenant};
use crate::error::AccountError;

/// A person, and a password that was just made. The only place where it is.
pub struct MadePassword {
    /// Whose.
    pub person: PersonId,
    /// The password.
    pub password: Secret,
}

impl Authenticator {
    /// Makes a person whose address somebody else vouches for, with a password, and an owner of that tenant.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the address is known, or no address, or there is no such tenant; [`AuthError::Busy`],
    /// [`AuthError::Store`].
    pub async fn vouch(
        &self,
        email: &str,
        name: &str,
        owner_of: Option<&str>,
    ) -> Result<MadePassword, AuthError> {
        let email = check::email(email)?;
        check::name(name)?;
        let password = self.new_password();
        let hash = self.hasher.hash(password.clone(), self.random.bytes()).await?;
        let mut scope = self.platform(&Client::default(), Actor::Operator).await?;
        let person = self.insert_person(&mut scope, &email, name, Some(&hash)).await?;
        scope.note(Chain::of_person(person), Note::new("person.create", person));
        if let Some(named) = owner_of {
            let mut scope = tenant::enter(scope, named).await?;
            self.join(&mut scope, person, Role::BuiltIn(BuiltInRole::Owner)).await?;
            scope.commit().await?;
        } else {
            scope.commit().await?;
        }
        Ok(MadePassword { person, password })
    }

    /// Gives somebody another password. All sessions end, no device is known any more, and nothing goes on that was
    /// begun before.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if there is no such person; [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn give_password(&self, email: &str) -> Result<MadePassword, AuthError> {
        let email = check::email(email)?;
        let password = self.new_password();
        let hash = self.hasher.hash(password.clone(), self.random.bytes()).await?;
        let mut scope = self.platform(&Client::default(), Actor::Operator).await?;
        let now = scope.now();
        let found = person::credentials(scope.connection(), &email).await?;
        let person = found.ok_or_else(|| AccountError::NotFound(format!("person {email}")))?.id;
        person::set_password(scope.connection(), person, None, &hash).await?;
        one_time::forget_begun(scope.connection(), person).await?;
        session::end(scope.connection(), person, Which::All, "password_given", now).await?;
        device::forget_all(scope.connection(), person).await?;
        scope.note(Chain::of_person(person), Note::new("password.give", person));
        scope.commit().await?;
        Ok(MadePassword { person, password })
    }

    /// 120 random bits.
    fn new_password(&self) -> Secret {
        Secret::from(BASE32_NOPAD.encode(&self.random.bytes::<15>()).to_lowercase().as_str())
    }
}
