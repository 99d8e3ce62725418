//! Bodies that operations take.

use serde_json::{Value, json};

/// By the operation's id.
pub(super) fn of(id: &str) -> Option<Value> {
    let token = "the_token_of_the_link";
    let (email, password) = ("ada@example.com", "kettle-orbit-mango");
    Some(match id {
        "auth.register" => {
            json!({"email": email, "password": password, "name": "Ada", "tenant_name": "Acme"})
        }
        "auth.verify_email" | "invitations.accept" => json!({"token": token}),
        "auth.login" => json!({"email": email, "password": password}),
        "auth.login_totp" | "auth.confirm_enrolment" => json!({"challenge": "wc_...", "code": "123456"}),
        "auth.login_recovery_code" => json!({"challenge": "wc_...", "code": "abcde-fghij"}),
        "auth.enrol" => json!({"challenge": "wc_..."}),
        "auth.forgot_password" => json!({"email": email}),
        "auth.reset_password" => json!({"token": token, "password": password}),
        "auth.switch" => json!({"tenant": "acme"}),
        "openid.link" => json!({"link": "the_link_of_the_page", "password": password}),
        "me.change" => json!({"name": "Ada"}),
        "me.change_email" => json!({"email": email, "password": password}),
        "me.change_notifications" => json!({"product": false}),
        "me.change_password" => json!({"password": password, "new_password": "copper-lantern-field"}),
        "me.propose_totp"
        | "me.remove_totp"
        | "me.renew_recovery_codes"
        | "passkeys.propose"
        | "passkeys.remove"
        | "openid.unlink" => json!({"password": password}),
        "me.confirm_totp" => json!({"code": "123456"}),
        "passkeys.begin_login" => json!({}),
        "tenants.set" => json!({"name": "Acme", "time_zone": "Europe/Berlin"}),
        "projects.create" => json!({"name": "staging"}),
        "projects.change" => json!({"archived": true}),
        "keys.create" => json!({"project": "default", "expires_at": "2099-12-31T00:00:00Z"}),
        "keys.rotate" => json!({"overlap_hours": 24}),
        "erasures.create" => json!({"user_id": "ada"}),
        "members.change" => json!({"role": "viewer"}),
        "members.transfer" => json!({"member": "mem_0000000000000000000001"}),
        "invitations.create" => json!({"email": email, "role": "developer"}),
        "roles.create" | "roles.put" => json!({"name": "reader", "permissions": ["usage.read"]}),
        "tokens.create" => {
            json!({"name": "ci", "permissions": ["usage.read"], "expires_at": "2027-06-01T00:00:00Z"})
        }
        "operator.plans.put" => json!({"quota": 50_000, "rate": 100, "retention_days": 90}),
        "operator.tenants.create" => json!({"name": "Acme", "plan": "developer"}),
        "operator.tenants.change" => json!({"quota": 75_000}),
        "operator.tenants.limit" => json!({"quota": 75_000, "rate": null}),
        "operator.tenants.put_on_plan" => json!({"plan": "developer"}),
        "operator.dead_letters.replay_many" | "operator.dead_letters.discard_many" => {
            json!({"letters": {"tenant": "acme"}, "reason": "they can be read by now"})
        }
        "operator.dead_letters.replay"
        | "operator.dead_letters.discard"
        | "operator.reconciliation.repair"
        | "operator.tenants.freeze"
        | "operator.tenants.thaw"
        | "operator.tenants.close"
        | "operator.tenants.reopen"
        | "operator.people.end_sessions"
        | "operator.people.remove_second_factor"
        | "operator.people.disable"
        | "operator.people.enable" => json!({"reason": "asked for by its owner"}),
        _ => return None,
    })
}
