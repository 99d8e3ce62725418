//! What an invitation is worth when things have changed since.

use chrono::DateTime;
use hyper::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use testkit::{Client, Reply};

use crate::house::{House, OPERATOR_TOKEN, PASSWORD};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Ada, who owns the tenant, and bob, an admin of it.
async fn two(house: &House) -> (Client, Client) {
    house.person("ada@example.com").await;
    let ada = house.client(Some(&house.login("ada@example.com").await));
    house.joins(&ada, "bob@example.com").await;
    let admin = change(&ada, "bob@example.com", "admin").await;
    assert_eq!(admin.status, 200, "{admin:?}");
    let bob = house.client(Some(&house.login("bob@example.com").await));
    (ada, bob)
}

async fn member(by: &Client, email: &str) -> String {
    let members = by.send(Method::GET, "/v1/tenants/me/members", &[], "").await.json();
    let found = members["items"].as_array().unwrap().iter().find(|member| member["email"] == email);
    format!("/v1/tenants/me/members/{}", found.unwrap()["id"].as_str().unwrap())
}

async fn change(by: &Client, email: &str, role: &str) -> Reply {
    let path = member(by, email).await;
    by.send(Method::PATCH, &path, &[JSON], json!({"role": role}).to_string()).await
}

async fn invite(by: &Client, email: &str, role: &str) -> Value {
    let body = json!({"email": email, "role": role}).to_string();
    let made = by.post_json("/v1/tenants/me/invitations", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

async fn link_to(house: &House, email: &str) -> String {
    let mails = house.auth.unsent_mails(100).await.unwrap();
    let mail = mails.into_iter().rfind(|mail| mail.recipient == email && mail.token.is_some());
    mail.unwrap().token.unwrap().expose().to_owned()
}

async fn accept(house: &House, email: &str) -> Reply {
    let body = json!({"invitation": link_to(house, email).await, "password": PASSWORD, "name": "Eve"});
    house.post("/v1/auth/register", body).await
}

#[tokio::test]
async fn an_invitation_is_void_once_who_made_it_may_not_invite_any_more() {
    let house = House::with(&[]).await;
    let (ada, bob) = two(&house).await;
    let id = invite(&bob, "eve@example.com", "developer").await["id"].as_str().unwrap().to_owned();
    house.person("zoe@example.com").await;
    invite(&bob, "zoe@example.com", "viewer").await;
    let zoe = house.client(Some(&house.login("zoe@example.com").await));
    assert_eq!(change(&ada, "bob@example.com", "developer").await.status, 200);
    let refused = accept(&house, "eve@example.com").await;
    assert_eq!((refused.status, refused.code().as_str()), (410, "invitation_void"), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("may not do so any more"));
    let removed = ada.send(Method::DELETE, &member(&ada, "bob@example.com").await, &[], "").await;
    assert_eq!(removed.status, 204);
    let body = json!({"token": link_to(&house, "zoe@example.com").await}).to_string();
    let refused = zoe.post_json("/v1/invitations/accept", body).await;
    assert_eq!((refused.status, refused.code().as_str()), (410, "invitation_void"), "{refused:?}");
    // It was not used up: who may invite sends it again, and stands for it.
    let resent = ada.post_json(&format!("/v1/tenants/me/invitations/{id}/resend"), "").await;
    assert_eq!(resent.status, 200, "{resent:?}");
    assert_eq!(accept(&house, "eve@example.com").await.status, 202);
    house.stop().await;
}

#[tokio::test]
async fn an_invitation_of_a_token_is_void_with_the_token_and_one_of_an_operator_is_good() {
    let house = House::with(&[]).await;
    let (ada, _) = two(&house).await;
    let in_a_month = Clock::system().now_micros() + 30 * 86_400 * 1_000_000;
    let in_a_month = DateTime::from_timestamp_micros(in_a_month).unwrap();
    let new = json!({
        "name": "hr", "expires_at": in_a_month.to_rfc3339(),
        "permissions": ["tenant.read", "members.read", "members.manage", "usage.read", "billing.read",
                        "keys.read", "projects.read", "events.read", "files.read", "tokens.read", "webhooks.read"],
    });
    let token = ada.post_json("/v1/tenants/me/tokens", new.to_string()).await.json();
    let machine = house.client(token["secret"].as_str());
    invite(&machine, "eve@example.com", "viewer").await;
    invite(&machine, "zoe@example.com", "viewer").await;
    assert_eq!(accept(&house, "eve@example.com").await.status, 202, "the token is good");
    let path = format!("/v1/tenants/me/tokens/{}", token["id"].as_str().unwrap());
    assert_eq!(ada.send(Method::DELETE, &path, &[], "").await.status, 204);
    assert_eq!(accept(&house, "zoe@example.com").await.code(), "invitation_void");
    let operator = Client::new(house.operators, Some(OPERATOR_TOKEN));
    let body = json!({"email": "max@example.com", "role": "admin"}).to_string();
    assert_eq!(operator.post_json("/v1/tenants/acme/invitations", body).await.status, 201);
    assert_eq!(accept(&house, "max@example.com").await.status, 202);
    house.stop().await;
}

#[tokio::test]
async fn nobody_joins_a_tenant_while_it_is_frozen() {
    let house = House::with(&[]).await;
    let (ada, _) = two(&house).await;
    invite(&ada, "eve@example.com", "viewer").await;
    let operator = Client::new(house.operators, Some(OPERATOR_TOKEN));
    let reason = json!({"reason": "a test"}).to_string();
    let transit = async |verb: &str| {
        let path = format!("/v1/operator/tenants/acme/{verb}");
        assert_eq!(operator.post_json(&path, reason.clone()).await.status, 200, "{verb}");
    };
    transit("freeze").await;
    let refused = accept(&house, "eve@example.com").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "tenant_frozen"), "{refused:?}");
    let body = json!({"email": "zoe@example.com", "role": "viewer"}).to_string();
    let invited = operator.post_json("/v1/tenants/acme/invitations", body).await;
    assert_eq!((invited.status, invited.code().as_str()), (409, "conflict"), "{invited:?}");
    transit("thaw").await;
    assert_eq!(accept(&house, "eve@example.com").await.status, 202);
    house.stop().await;
}

#[tokio::test]
async fn who_joins_by_an_invitation_is_welcomed_to_that_tenant_and_the_audit_names_the_invitation() {
    let house = House::with(&[]).await;
    let (ada, _) = two(&house).await;
    let id = invite(&ada, "eve@example.com", "viewer").await["id"].clone();
    assert_eq!(accept(&house, "eve@example.com").await.status, 202);
    let mails = house.auth.unsent_mails(100).await.unwrap();
    let welcome = mails.into_iter().rfind(|mail| mail.recipient == "eve@example.com").unwrap();
    assert_eq!((welcome.kind.as_str(), welcome.details["tenant"].as_str()), ("joined", "Acme"));
    let asked = "/v1/tenants/me/audit?action=invitation.accept&limit=1";
    let audit = ada.send(Method::GET, asked, &[], "").await.json();
    assert_eq!(audit["items"][0]["target"], id, "{audit}");
    assert!(audit["items"][0]["actor"].as_str().unwrap().starts_with("usr_"), "{audit}");
    house.stop().await;
}
