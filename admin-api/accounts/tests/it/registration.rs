//! Becoming a person, without anybody learning who is one.

use accounts::{AuthError, PageRequest, Registration, invitation, membership};
use schemas::permission::BuiltInRole;

use crate::house::{House, PASSWORD, client, is_refused, secret};

#[tokio::test]
async fn following_the_link_makes_person_tenant_owner_and_a_project() {
    let house = House::fresh().await;
    house.register(" Ada@Example.com", "Acme, Inc.").await;
    assert_eq!(house.place.number("SELECT count(*) FROM person").await, 0);
    let mail = house.mail_to("ada@example.com").await;
    assert_eq!(mail.kind, "verify_email");
    house.auth.verify_email(mail.token.unwrap().expose(), &client(1)).await.unwrap();
    let signed_in = house.login("ADA@example.com").await;
    let tenant = signed_in.tenant.unwrap();
    assert_eq!(
        (tenant.name.as_str(), tenant.slug.as_str(), tenant.role.as_str()),
        ("Acme, Inc.", "acme-inc", "owner")
    );
    assert!(tenant.id.to_string().starts_with("ten_"));
    let mut admitted = house.admit(&signed_in.access_token).await.unwrap();
    assert_eq!(admitted.scope.tenant(), tenant.tenant);
    let projects = accounts::project::list(&mut admitted.scope, &PageRequest::default()).await.unwrap().items;
    assert_eq!(projects.len(), 1);
    assert_eq!(projects[0].name, "default");
}

#[tokio::test]
async fn a_link_is_good_once_and_for_a_day() {
    let house = House::fresh().await;
    house.register("ada@example.com", "acme").await;
    let link = house.link_to("ada@example.com").await;
    let from = client(1);
    let (first, second) =
        tokio::join!(house.auth.verify_email(&link, &from), house.auth.verify_email(&link, &from));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    assert!(is_refused(&house.auth.verify_email(&link, &client(1)).await));
    house.register("bob@example.com", "bobs").await;
    let link = house.link_to("bob@example.com").await;
    house.wait(24 * 3600);
    assert!(is_refused(&house.auth.verify_email(&link, &client(1)).await));
    for text in ["", "wo_", "x", &link.replace("wo_", "wr_")] {
        assert!(is_refused(&house.auth.verify_email(text, &client(1)).await), "{text}");
    }
}

#[tokio::test]
async fn a_known_address_is_answered_and_written_like_an_unknown_one() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let rows = async || {
        let (tokens, mails) = ("SELECT count(*) FROM one_time_token", "SELECT count(*) FROM outbox");
        (house.place.number(tokens).await, house.place.number(mails).await)
    };
    let before = rows().await;
    house.register("ada@example.com", "other").await;
    let known = rows().await;
    house.register("eve@example.com", "other").await;
    let unknown = rows().await;
    assert_eq!((known.0 - before.0, known.1 - before.1), (unknown.0 - known.0, unknown.1 - known.1));
    house.wait(1);
    let mail = house.mails().await.into_iter().find(|mail| mail.kind == "address_known").unwrap();
    assert_eq!((mail.recipient.as_str(), mail.token.is_none()), ("ada@example.com", true));
}

#[tokio::test]
async fn two_who_register_one_address_make_one_person() {
    let house = House::fresh().await;
    house.register("ada@example.com", "acme").await;
    house.register("ada@example.com", "zeta").await;
    let links: Vec<String> =
        house.mails().await.into_iter().map(|mail| mail.token.unwrap().expose().to_owned()).collect();
    assert!(house.auth.verify_email(&links[0], &client(1)).await.is_ok());
    assert!(matches!(house.auth.verify_email(&links[1], &client(1)).await, Err(AuthError::Invalid(_))));
    assert_eq!(house.place.number("SELECT count(*) FROM person").await, 1);
    assert_eq!(house.place.number("SELECT count(*) FROM tenant").await, 1);
}

#[tokio::test]
async fn two_tenants_of_one_name_have_two_slugs() {
    let house = House::fresh().await;
    house.person("ada@example.com", "Acme").await;
    house.person("bob@example.com", "ACME").await;
    let (ada, bob) = (house.login("ada@example.com").await, house.login("bob@example.com").await);
    assert_eq!(ada.tenant.unwrap().slug, "acme");
    assert!(bob.tenant.unwrap().slug.starts_with("acme-"));
}

#[tokio::test]
async fn an_address_gets_only_so_many_mails_and_nobody_is_shown_that() {
    let house = House::fresh().await;
    for _ in 0..20 {
        house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    }
    let mails = house.mails().await.len();
    assert!((1..=5).contains(&mails), "{mails}");
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_said_whatever_is_known() {
    let house = House::fresh().await;
    for (email, password, name, tenant) in [
        ("ada", PASSWORD, "Ada", "acme"),
        ("ada@example.com", "password1234", "Ada", "acme"),
        ("ada@example.com", "short", "Ada", "acme"),
        ("ada@example.com", PASSWORD, "", "acme"),
        ("ada@example.com", PASSWORD, "Ada", "42"),
    ] {
        let new = Registration {
            email: email.to_owned(),
            password: secret(password),
            name: name.to_owned(),
            tenant_name: tenant.to_owned(),
        };
        let refused = house.auth.register(new, &client(1)).await;
        assert!(
            matches!(refused, Err(AuthError::Invalid(_) | AuthError::InvalidAt(..))),
            "{email} {password} {name} {tenant}"
        );
    }
    assert!(house.mails().await.is_empty());
}

#[tokio::test]
async fn an_invitation_makes_a_member_once_and_shows_the_address() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let ada = house.login("ada@example.com").await;
    let mut admitted = house.admit(&ada.access_token).await.unwrap();
    let role = membership::Role::BuiltIn(BuiltInRole::Developer);
    let random = accounts::Random::system();
    let by = admitted.grants.clone();
    let first = invitation::create(&mut admitted.scope, &random, &by, "Bob@example.com", role).await.unwrap();
    let made = invitation::create(&mut admitted.scope, &random, &by, "bob@example.com", role).await.unwrap();
    let owner = membership::Role::BuiltIn(BuiltInRole::Owner);
    assert!(invitation::create(&mut admitted.scope, &random, &by, "eve@example.com", owner).await.is_err());
    assert_eq!(invitation::list(&mut admitted.scope, &PageRequest::default()).await.unwrap().items.len(), 1);
    admitted.scope.commit().await.unwrap();

    let join = |token: String| {
        let auth = &house.auth;
        async move { auth.register_invited(&token, "Bob", secret(PASSWORD), &client(3)).await }
    };
    assert!(is_refused(&join(first.token.expose().to_owned()).await), "a later one takes its place");
    join(made.token.expose().to_owned()).await.unwrap();
    assert!(is_refused(&join(made.token.expose().to_owned()).await));
    let bob = house.login("bob@example.com").await;
    assert_eq!(bob.tenant.as_ref().unwrap().role, "developer");
    assert_eq!(bob.tenant.unwrap().slug, "acme");
}

#[tokio::test]
async fn an_invitation_of_another_address_is_accepted_by_nobody_else() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let (eve, bob) =
        (house.person("eve@example.com", "eves").await, house.person("bob@example.com", "bobs").await);
    let ada = house.login("ada@example.com").await;
    let mut admitted = house.admit(&ada.access_token).await.unwrap();
    let (random, by) = (accounts::Random::system(), admitted.grants.clone());
    let role = membership::Role::BuiltIn(BuiltInRole::Viewer);
    let made = invitation::create(&mut admitted.scope, &random, &by, "bob@example.com", role).await.unwrap();
    admitted.scope.commit().await.unwrap();
    let token = made.token.expose();
    assert!(is_refused(&house.auth.accept_invitation(eve, token, &client(1)).await));
    house.auth.accept_invitation(bob, token, &client(1)).await.unwrap();
    assert!(is_refused(&house.auth.accept_invitation(bob, token, &client(1)).await));
    assert_eq!(house.place.number("SELECT count(*) FROM membership").await, 4);
}
