//! A place with people in it.

use std::net::IpAddr;

use accounts::membership::{Member, Role};
use accounts::{
    Admitted, AuthError, AuthParts, Authenticator, Client, HashCost, Hasher, Login, Mail, PageRequest, Proof,
    Random, Registration, Scope, SealKey, SignedIn, SignedInPerson, invitation, membership,
};
use schemas::permission::BuiltInRole;
use schemas::public_id::PersonId;
use service::config::Secret;

use crate::place::{Place, SECOND};

pub(crate) const PASSWORD: &str = "kettle-orbit-mango";
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Hashes that cost nothing, where their cost is not what a test is about.
pub(crate) const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

pub(crate) const OWNER: Role = Role::BuiltIn(BuiltInRole::Owner);
pub(crate) const ADMIN: Role = Role::BuiltIn(BuiltInRole::Admin);
pub(crate) const VIEWER: Role = Role::BuiltIn(BuiltInRole::Viewer);

pub(crate) struct House {
    pub(crate) place: Place,
    pub(crate) auth: Authenticator,
}

/// A client at that address, 192.0.2.x.
pub(crate) fn client(last: u8) -> Client {
    Client {
        address: Some(IpAddr::from([192, 0, 2, last])),
        user_agent: "test".to_owned(),
        ..Client::default()
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::from(text)
}

pub(crate) fn password() -> Proof {
    Proof::Password(secret(PASSWORD))
}

impl House {
    pub(crate) async fn fresh() -> Self {
        let place = Place::with_connections(20).await;
        let auth = another(&place, CHEAP, "https://weir.example");
        Self { place, auth }
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.place.clock.set(self.place.clock.now_micros() + seconds * SECOND);
    }

    pub(crate) async fn register(&self, email: &str, tenant: &str) {
        let new = Registration {
            email: email.to_owned(),
            password: secret(PASSWORD),
            name: "Ada".to_owned(),
            tenant_name: tenant.to_owned(),
        };
        self.auth.register(new, &client(1)).await.unwrap();
    }

    pub(crate) async fn mails(&self) -> Vec<Mail> {
        self.auth.unsent_mails(1_000).await.unwrap()
    }

    /// The last mail to that address.
    pub(crate) async fn mail_to(&self, email: &str) -> Mail {
        self.mails().await.into_iter().rfind(|mail| mail.recipient == email).unwrap()
    }

    /// How many mails of that kind wait for that address.
    pub(crate) async fn mails_of(&self, kind: &str, email: &str) -> usize {
        self.mails().await.iter().filter(|mail| mail.kind == kind && mail.recipient == email).count()
    }

    /// Who has that access token.
    pub(crate) async fn who(&self, bearer: &str) -> SignedInPerson {
        self.auth.signed_in(bearer, &client(1)).await.unwrap()
    }

    /// What the link of the last mail to that address that has one holds.
    pub(crate) async fn link_to(&self, email: &str) -> String {
        let mails = self.mails().await;
        let mail = mails.into_iter().rfind(|mail| mail.recipient == email && mail.token.is_some());
        mail.unwrap().token.unwrap().expose().to_owned()
    }

    /// Somebody who has registered, and followed the link.
    pub(crate) async fn person(&self, email: &str, tenant: &str) -> PersonId {
        self.register(email, tenant).await;
        // Mails of one moment have no order.
        self.wait(1);
        self.auth.verify_email(&self.link_to(email).await, &client(1)).await.unwrap()
    }

    pub(crate) async fn login(&self, email: &str) -> SignedIn {
        signed_in(self.auth.login(email, secret(PASSWORD), &client(1)).await)
    }

    pub(crate) async fn admit(&self, bearer: &str) -> Result<Admitted, AuthError> {
        self.auth.admit(bearer, &client(1)).await
    }
}

pub(crate) fn another(place: &Place, cost: HashCost, issuer: &str) -> Authenticator {
    Authenticator::new(AuthParts {
        pool: place.pool.clone(),
        clock: place.clock.clone(),
        random: Random::system(),
        hasher: Hasher::new(cost, 2).unwrap(),
        seal: SealKey::read(&secret(KEY)).unwrap(),
        issuer: issuer.to_owned(),
    })
}

pub(crate) fn signed_in(login: Result<Login, AuthError>) -> SignedIn {
    match login.unwrap() {
        Login::SignedIn(signed_in) => *signed_in,
        Login::Challenge { .. } => panic!("a second factor is asked for"),
    }
}

pub(crate) fn is_refused<T>(result: &Result<T, AuthError>) -> bool {
    matches!(result, Err(AuthError::Refused(_)))
}

impl House {
    pub(crate) async fn works(&self, email: &str) -> Admitted {
        let token = self.login(email).await.access_token;
        self.admit(&token).await.unwrap()
    }

    /// Makes somebody a member of the tenant of ada, who owns it.
    pub(crate) async fn joins(&self, email: &str, role: Role) {
        let Admitted { mut scope, grants } = self.works("ada@example.com").await;
        let invited = if role == OWNER { ADMIN } else { role };
        let made = invitation::create(&mut scope, &Random::system(), &grants, email, invited).await.unwrap();
        scope.commit().await.unwrap();
        let token = made.token.expose();
        self.auth.register_invited(token, "Name", secret(PASSWORD), &client(1)).await.unwrap();
        if role == OWNER {
            let Admitted { mut scope, grants } = self.works("ada@example.com").await;
            let member = member(&mut scope, email).await;
            membership::change(&mut scope, &grants, member.id, OWNER, None).await.unwrap();
            scope.commit().await.unwrap();
        }
    }

    pub(crate) async fn acme() -> Self {
        let house = Self::fresh().await;
        house.person("ada@example.com", "acme").await;
        house
    }
}

pub(crate) async fn member(scope: &mut Scope, email: &str) -> Member {
    let members = membership::list(scope, &PageRequest::default()).await.unwrap().items;
    members.into_iter().find(|member| member.email == email).unwrap()
}
