//! What is a person's own.

use accounts::muted_mail::WantedMailsChange;
use accounts::{AuthError, Client, Countries, Login, OpenIdLogin, OpenIdentity, PageRequest, Proof, people};

use crate::house::{CHEAP, House, PASSWORD, another, client, is_refused, password, secret, signed_in};
use crate::place::SECOND;

#[tokio::test]
async fn somebody_sees_who_they_are_and_where_they_work() {
    let house = House::fresh().await;
    house.person("ada@example.com", "Acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let me = house.auth.me(&who, &client(1)).await.unwrap();
    let tenant = me.tenant.unwrap();
    assert_eq!((me.person.email.as_str(), tenant.tenant.name.as_str()), ("ada@example.com", "Acme"));
    assert!(
        !tenant.limited && tenant.permissions.iter().any(|permission| permission.as_str() == "tenant.delete")
    );
    assert_eq!((me.second_factors.totp, me.second_factors.recovery_codes_left), (false, 0));
    let renamed = house.auth.rename(&who, "Countess", &client(1)).await.unwrap();
    assert_eq!(renamed.person.name, "Countess");
    assert!(matches!(house.auth.rename(&who, "", &client(1)).await, Err(AuthError::InvalidAt(..))));
    let noted = "SELECT count(*) FROM audit_entry WHERE action = 'person.change' AND after = '\"Countess\"'";
    assert_eq!(house.place.number(noted).await, 1);
}

#[tokio::test]
async fn somebody_sees_what_they_may_do_in_the_tenant_as_it_is() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    for (state, all, reads) in [("active", true, true), ("frozen", false, true), ("closed", false, false)] {
        let set = sqlx::query("UPDATE tenant SET status = $1").bind(state);
        set.execute(&house.place.database.pool).await.unwrap();
        let permissions = house.auth.me(&who, &client(1)).await.unwrap().tenant.unwrap().permissions;
        let has = |word: &str| permissions.iter().any(|permission| permission.as_str() == word);
        assert_eq!((has("keys.manage"), has("keys.read")), (all, reads), "{state}: {permissions:?}");
    }
}

#[tokio::test]
async fn an_address_is_changed_by_a_link_that_goes_to_the_new_one() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let ask = async |proof| house.auth.ask_email_change(&who, "Ada@New.example", proof, &client(1)).await;
    assert!(is_refused(&ask(Proof::Password(secret("wrong-wrong-wrong"))).await));
    assert!(is_refused(&ask(Proof::Code("123456".to_owned())).await), "there is no app");
    ask(password()).await.unwrap();
    assert_eq!(house.mails_of("email_change_asked", "ada@example.com").await, 1);
    // A link to the old address, which somebody else may read by then.
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let old_link = house.link_to("ada@example.com").await;
    let first = house.link_to("ada@new.example").await;
    ask(password()).await.unwrap();
    house.wait(1);
    assert!(is_refused(&house.auth.verify_email(&first, &client(1)).await), "the last link counts");
    let links: Vec<String> = house
        .mails()
        .await
        .into_iter()
        .filter(|mail| mail.kind == "confirm_email")
        .map(|mail| mail.token.unwrap().expose().to_owned())
        .collect();
    let link = links.iter().find(|link| **link != first).unwrap();
    house.auth.verify_email(link, &client(1)).await.unwrap();
    assert!(is_refused(&house.auth.verify_email(link, &client(1)).await));
    assert_eq!(house.mails_of("email_changed", "ada@example.com").await, 1);
    let reset = house.auth.reset_password(&old_link, secret("velvet-quartz-74-lamp"), &client(1)).await;
    assert!(is_refused(&reset));
    assert!(is_refused(&house.auth.login("ada@example.com", secret(PASSWORD), &client(1)).await));
    house.login("ada@new.example").await;
}

#[tokio::test]
async fn nobody_learns_by_a_change_of_address_who_has_an_account() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    house.person("bob@example.com", "bobs").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let rows = "SELECT (SELECT count(*) FROM outbox) * 1000 + (SELECT count(*) FROM one_time_token)
                + (SELECT count(*) FROM audit_entry) * 1000000";
    let mut written = Vec::new();
    for email in ["bob@example.com", "eve@example.com"] {
        // The former request of hers is replaced, in either case.
        house.place.forge("DELETE FROM one_time_token WHERE purpose = 'change_email'").await;
        let before = house.place.number(rows).await;
        house.auth.ask_email_change(&who, email, password(), &client(1)).await.unwrap();
        written.push(house.place.number(rows).await - before);
    }
    assert_eq!(written[0], written[1]);
    assert_eq!(house.mails_of("address_known", "bob@example.com").await, 1);
    assert_eq!(house.mails_of("confirm_email", "bob@example.com").await, 0, "and no link to it");
}

#[tokio::test]
async fn an_address_that_became_somebodys_meanwhile_stays_theirs() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    house.auth.ask_email_change(&who, "new@example.com", password(), &client(1)).await.unwrap();
    let link = house.link_to("new@example.com").await;
    // Mails of one moment have no order.
    house.wait(1);
    house.person("new@example.com", "news").await;
    let changed = house.auth.verify_email(&link, &client(1)).await;
    assert!(matches!(changed, Err(AuthError::Invalid(_))), "{changed:?}");
    house.login("ada@example.com").await;
}

#[tokio::test]
async fn sessions_say_on_what_device_they_are_and_which_one_asks() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let there = Client { user_agent: firefox.to_owned(), ..client(2) };
    signed_in(house.auth.login("ada@example.com", secret(PASSWORD), &there).await);
    house.wait(1);
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let sessions = house.auth.sessions(&who, &client(1), &PageRequest::default()).await.unwrap().items;
    let seen: Vec<_> = sessions.iter().map(|listed| (listed.device.as_str(), listed.is_current)).collect();
    assert_eq!(seen, [("test", true), ("Firefox on Linux", false)]);
    assert_eq!(sessions[1].session.address.as_deref(), Some("192.0.2.2"));
}

#[tokio::test]
async fn mails_on_security_can_not_be_turned_off() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let wanted = house.auth.wanted_mails(&who, &client(1)).await.unwrap();
    assert!(wanted.security && wanted.usage && wanted.billing && wanted.product);
    let change = |body: &str| serde_json::from_str::<WantedMailsChange>(body);
    assert!(change(r#"{"security":false}"#).is_err());
    let off = change(r#"{"usage":false,"product":false}"#).unwrap();
    house.auth.change_wanted_mails(&who, off, &client(1)).await.unwrap();
    let on = change(r#"{"usage":true}"#).unwrap();
    let wanted = house.auth.change_wanted_mails(&who, on, &client(1)).await.unwrap();
    assert_eq!((wanted.security, wanted.usage, wanted.billing, wanted.product), (true, true, true, false));
    let mut scope = house.place.platform().await;
    assert_eq!(accounts::muted_mail::wanted(scope.connection(), id).await.unwrap(), wanted);
}

#[tokio::test]
async fn a_session_says_in_which_country_somebody_signed_in() {
    let house = House::fresh().await;
    house.person("ada@example.com", "acme").await;
    let folder = std::path::PathBuf::from(testkit::stores::required("WEIR_TEST_GEO"));
    assert!(Countries::open(&folder.join("none.mmdb")).is_err());
    let countries = Countries::open(&folder.join("GeoLite2-Country-Test.mmdb")).unwrap();
    let auth = another(&house.place, CHEAP, "https://weir.example").with_countries(Some(countries));
    let mut seen = Vec::new();
    for address in ["81.2.69.142", "::ffff:81.2.69.142", "127.0.0.1"] {
        let from = Client { address: Some(address.parse().unwrap()), ..Client::default() };
        let signed = signed_in(auth.login("ada@example.com", secret(PASSWORD), &from).await);
        let who = auth.signed_in(&signed.access_token, &from).await.unwrap();
        let sessions = auth.sessions(&who, &from, &PageRequest::default()).await.unwrap();
        let own = sessions.items.into_iter().find(|listed| listed.is_current).unwrap();
        seen.push(own.session.country);
    }
    assert_eq!(seen, [Some("GB".to_owned()), Some("GB".to_owned()), None]);
}

#[tokio::test]
async fn what_was_begun_before_another_password_goes_on_no_more() {
    let house = House::fresh().await;
    let id = house.person("ada@example.com", "acme").await;
    let who = house.who(&house.login("ada@example.com").await.access_token).await;
    let begin = async || {
        house.auth.ask_email_change(&who, "eve@example.com", password(), &client(1)).await.unwrap();
        house.auth.propose_totp(id, password(), &client(1)).await.unwrap();
        house.wait(1);
        let begun = house.place.number("SELECT count(*) FROM one_time_token WHERE used_at IS NULL").await;
        assert_eq!((begun, house.place.number("SELECT count(*) FROM second_factor").await), (1, 1));
        house.link_to("eve@example.com").await
    };
    let ended = async |link: String| {
        assert!(is_refused(&house.auth.verify_email(&link, &client(1)).await));
        let begun = house.place.number("SELECT count(*) FROM one_time_token WHERE used_at IS NULL").await;
        assert_eq!((begun, house.place.number("SELECT count(*) FROM second_factor").await), (0, 0));
    };
    let link = begin().await;
    let mut scope = house.place.platform().await;
    people::end_sessions(&mut scope, "ada@example.com", "asked for it").await.unwrap();
    scope.commit().await.unwrap();
    ended(link).await;
    let link = begin().await;
    house.auth.change_password(&who, secret(PASSWORD), secret(PASSWORD), &client(1)).await.unwrap();
    ended(link).await;
    let link = begin().await;
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let reset = house.link_to("ada@example.com").await;
    house.auth.reset_password(&reset, secret("velvet-quartz-74-lamp"), &client(1)).await.unwrap();
    ended(link).await;
}

fn from_provider(issuer: &str, subject: &str) -> OpenIdentity {
    OpenIdentity {
        provider: "sso".to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        verified_email: Some("ada@example.com".to_owned()),
        name: None,
        replaces_second_factor: false,
    }
}

#[tokio::test]
async fn no_provider_takes_over_who_came_through_another_one() {
    let house = House::fresh().await;
    let login = async |issuer: &str, subject: &str| {
        house.auth.login_openid(&from_provider(issuer, subject), &client(1)).await.unwrap()
    };
    let OpenIdLogin::Known(Login::SignedIn(ada)) = login("https://a.example", "1").await else { panic!() };
    assert!(matches!(login("https://a.example", "2").await, OpenIdLogin::PasswordNeeded(_)));
    assert!(matches!(login("https://b.example", "1").await, OpenIdLogin::PasswordNeeded(_)));
    // Ada asks for a password by mail, and joins the two.
    house.wait(1);
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let reset = house.link_to("ada@example.com").await;
    house.auth.reset_password(&reset, secret(PASSWORD), &client(1)).await.unwrap();
    let OpenIdLogin::PasswordNeeded(link) = login("https://b.example", "1").await else { panic!() };
    let joined = house.auth.link_openid(link.expose(), secret(PASSWORD), &client(1)).await;
    assert_eq!(signed_in(joined).person.id, ada.person.id);
    assert_eq!(house.mails_of("second_factor_changed", "ada@example.com").await, 1);
    assert!(matches!(login("https://b.example", "1").await, OpenIdLogin::Known(_)));
}

#[tokio::test]
async fn a_provider_signs_somebody_in_no_more_unless_nothing_else_does() {
    let house = House::fresh().await;
    let sso = from_provider("https://sso.example", "1");
    let other = OpenIdentity { provider: "other".to_owned(), ..from_provider("https://other.example", "1") };
    // Somebody who came through a provider has no password.
    let login = house.auth.login_openid(&sso, &client(1)).await.unwrap();
    let OpenIdLogin::Known(Login::SignedIn(signed_in)) = login else { panic!("{login:?}") };
    let who = house.who(&signed_in.access_token).await;
    let listed = async || {
        let page = house.auth.openid_identities(&who, &client(1), &PageRequest::default()).await.unwrap();
        page.items.into_iter().map(|identity| identity.provider).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["sso"]);
    let unlink = async |provider: &str, proof| {
        house.auth.unlink_openid(who.person(), provider, proof, &client(1)).await
    };
    assert!(is_refused(&unlink("sso", password()).await), "there is no password");
    house.auth.forgot_password("ada@example.com", &client(1)).await.unwrap();
    let reset = house.link_to("ada@example.com").await;
    house.auth.reset_password(&reset, secret(PASSWORD), &client(1)).await.unwrap();
    let OpenIdLogin::PasswordNeeded(link) = house.auth.login_openid(&other, &client(1)).await.unwrap() else {
        panic!("the address is somebody's")
    };
    house.auth.link_openid(link.expose(), secret(PASSWORD), &client(1)).await.unwrap();
    assert_eq!(listed().await, ["other", "sso"]);
    assert!(!unlink("none", password()).await.unwrap());
    assert!(is_refused(&unlink("sso", Proof::Password(secret("wrong-wrong-wrong"))).await));
    assert!(unlink("sso", password()).await.unwrap());
    assert_eq!(listed().await, ["other"]);
    assert_eq!(house.mails_of("second_factor_changed", "ada@example.com").await, 2);
    let noted =
        "SELECT count(*) FROM audit_entry WHERE action = 'openid.unlink' AND before LIKE '%sso.example%'";
    assert_eq!(house.place.number(noted).await, 1);
    let again = house.auth.login_openid(&sso, &client(1)).await.unwrap();
    assert!(matches!(again, OpenIdLogin::PasswordNeeded(_)), "it means nobody here any more: {again:?}");
    // A code of the app is a proof, and no way in.
    let app = house.auth.propose_totp(who.person(), password(), &client(1)).await.unwrap().secret;
    let code = |house: &House| testkit::app_code(&app, house.place.clock.now_micros() / SECOND);
    house.auth.confirm_totp(who.person(), &code(&house), &client(1)).await.unwrap();
    house.wait(60);
    house.place.forge("UPDATE person SET password_hash = NULL").await;
    let last = unlink("other", Proof::Code(code(&house))).await;
    assert!(matches!(last, Err(AuthError::Invalid(_))), "{last:?}");
    assert_eq!(listed().await, ["other"]);
}
