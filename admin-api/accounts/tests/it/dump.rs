//! A copy of the database lets nobody in.

use accounts::key::{self, NewKey};
use accounts::membership::Role;
use accounts::{Admitted, Random, invitation};
use schemas::permission::BuiltInRole;

use crate::house::{House, PASSWORD, client, password};

#[tokio::test]
async fn no_secret_stands_in_the_database() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    house.register("eve@example.com", "eves").await;
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let signed_in = house.login("ada@example.com").await;
    let Admitted { mut scope, grants } = house.admit(&signed_in.access_token).await.unwrap();
    let role = Role::BuiltIn(BuiltInRole::Viewer);
    let invited =
        invitation::create(&mut scope, &Random::system(), &grants, "bob@example.com", role).await.unwrap();
    let key = key::create(&mut scope, &NewKey::default()).await.unwrap();
    scope.commit().await.unwrap();
    let totp = house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
    let links: Vec<String> =
        house.mails().await.into_iter().filter_map(|mail| Some(mail.token?.expose().to_owned())).collect();
    assert_eq!(links.len(), 3);
    let text = house.place.database.dump().await;
    assert!(text.contains("ada@example.com") && text.contains("$argon2id$"), "the dump holds the rows");
    let secrets = [
        PASSWORD,
        signed_in.access_token.as_str(),
        signed_in.refresh.expose(),
        signed_in.device.as_ref().unwrap().expose(),
        invited.token.expose(),
        key.key.as_str(),
        totp.secret.as_str(),
    ];
    for secret in secrets.into_iter().chain(links.iter().map(String::as_str)) {
        // A prefix and an id may stand there: look for what is secret of it.
        let tail = &secret[secret.len() - 18..];
        let hex: String = tail.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(tail) && !text.contains(&hex), "{secret}");
    }
}
