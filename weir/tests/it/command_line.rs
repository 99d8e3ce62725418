//! The operator's command line.

use crate::process::{ADDRESSES, Place};

#[tokio::test(flavor = "multi_thread")]
async fn tenants_projects_keys_and_plans_are_made_changed_and_listed() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let tenant = place.run_json(&["tenant", "create", "acme", "--quota", "5", "--rate", "7"]).await;
    assert_eq!((&tenant["name"], &tenant["quota"], &tenant["rate"]), (&"acme".into(), &5.into(), &7.into()));
    let tenant = place.run_json(&["tenant", "set", "acme", "--quota", "plan"]).await;
    assert_eq!(tenant["quota"], 10_000_000);
    let tenant = place.run_json(&["tenant", "freeze", "acme", "--reason", "abuse"]).await;
    assert_eq!(tenant["status"], "frozen");
    place.run(&["tenant", "thaw", "acme", "--reason", "a mistake"]).await;
    place.run(&["plan", "set", "small", "--quota", "9", "--rate", "none"]).await;
    let tenant = place.run_json(&["tenant", "set", "acme", "--plan", "small"]).await;
    assert_eq!((&tenant["plan"], &tenant["quota"]), (&"small".into(), &9.into()));
    let tenant = place.run_json(&["tenant", "set", "acme", "--client-ip", "truncated"]).await;
    assert_eq!((&tenant["client_ip"], &tenant["quota"]), (&"truncated".into(), &9.into()));
    assert!(place.run(&["tenant", "list"]).await.contains(", client addresses truncated"));
    let tenant = place.run_json(&["tenant", "create", "other", "--client-ip", "none"]).await;
    assert_eq!(tenant["client_ip"], "none");
    place.run(&["project", "create", "acme", "staging"]).await;
    let key = place.run_json(&["key", "create", "acme", "--project", "staging"]).await;
    let id = key["id"].as_str().unwrap();
    assert!(key["key"].as_str().unwrap().starts_with(&format!("wk_live_{id}_")));
    place.run(&["key", "revoke", id]).await;
    let keys = place.run_json(&["key", "list", "acme"]).await;
    assert!(keys[0]["revoked_at"].is_string() && keys[0]["project_name"] == "staging", "{keys}");
    let expiring = place.run_json(&["key", "create", "acme", "--expires-in-days", "30"]).await;
    place.run(&["key", "create", "acme", "--expires-at", "2999-12-31T00:00:00Z"]).await;
    let keys = place.run_json(&["key", "list", "acme"]).await;
    assert_eq!((&keys[1]["id"], &keys[2]["expires_at"]), (&expiring["id"], &"2999-12-31T00:00:00Z".into()));
    assert!(keys[1]["expires_at"].is_string() && keys[1]["last_used_at"].is_null(), "{keys}");
    assert!(place.run(&["key", "list", "acme"]).await.contains(": live, expires 2999-12-31"));
    let usage = place.run_json(&["usage", "acme"]).await;
    assert_eq!((&usage["stored"], &usage["quota"]), (&0.into(), &9.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_a_table_of_what_a_server_has_counted() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme"]).await;
    let key = place.run_json(&["key", "create", "acme"]).await;
    let (id, text) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let process = place.start("standalone").await;
    let batch = r#"[{"id":"1","event":"e"},{"event":"e"},{"event":7}]"#;
    assert_eq!(process.client(Some(text)).post_json("/v1/events", batch).await.status, 202);
    assert_eq!(process.client(Some(text)).post_json("/v1/events", "{").await.status, 400);
    // The last counts are written at the end.
    assert!(process.stop().await.success());
    let table = place.run(&["outcomes", "acme"]).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["PROJECT", "KEY", "OUTCOME", "KIND", "EVENTS", "REQUESTS"]);
    assert_eq!(
        rows[1..],
        [
            ["default", id, "accepted", "accepted", "2", "0"],
            ["default", id, "invalid_event", "refused", "1", "0"],
            ["default", id, "invalid_json", "refused", "0", "1"],
            ["default", id, "no_id", "warning", "1", "0"],
        ]
    );
    let page = place.run_json(&["outcomes", "acme", "--since", "2d", "--by", "minute", "--key", id]).await;
    let events: i64 =
        page["items"].as_array().unwrap().iter().map(|row| row["events"].as_i64().unwrap()).sum();
    assert!(events == 4 && page["interval"] == "minute" && page["next_cursor"].is_null(), "{page}");
    assert!(place.run(&["outcomes", "acme", "--by", "day"]).await.starts_with("AT "));
    for since in ["1", "h", "1w", "0h", "-1h", "1é"] {
        let output =
            place.command(&["outcomes", "acme", &format!("--since={since}")]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{since}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_asked_for_waited_for_and_listed() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme"]).await;
    let key = place.run_json(&["key", "create", "acme"]).await;
    let process = place.start("standalone").await;
    let batch = r#"[{"id":"1","event":"e","user_id":"ada"},{"id":"2","event":"e","user_id":"bob"}]"#;
    let client = process.client(key["key"].as_str());
    assert_eq!(client.post_json("/v1/events", batch).await.status, 202);
    // It begins when all that was accepted is processed.
    let erased = place.run_json(&["erase", "--tenant", "acme", "--user", "ada", "--wait"]).await;
    assert_eq!((&erased["state"], &erased["events"]), (&"done".into(), &1.into()));
    let list = place.run(&["erasure", "list", "acme"]).await;
    assert!(
        list.contains("(user, all projects)") && list.contains("done, 1 events; 0 dead letters"),
        "{list}"
    );
    assert!(!list.contains("ada"), "{list}");
    let id = erased["id"].as_str().unwrap();
    assert_eq!(place.run_json(&["erasure", "show", "acme", id]).await, erased);
    assert!(process.stop().await.success());
    let verdict = place.run(&["verify"]).await;
    assert!(verdict.contains("rows 1, and 1 that were erased\n"), "{verdict}");
    let kept = place
        .run(&["plan", "set", "small", "--quota", "9", "--rate", "none", "--retention-days", "30"])
        .await;
    assert!(kept.contains("events are kept for 30 days"), "{kept}");
    // What is not named stays.
    place.run(&["plan", "set", "small", "--quota", "10", "--rate", "none"]).await;
    assert!(
        place
            .run(&["plan", "list"])
            .await
            .contains("quota 10 a month, rate none a second, events are kept for 30 days")
    );
    place.run(&["rollup", "rebuild", "--from", "2026-01-01T00:00:00Z", "--to", "2027-01-01T00:00:00Z"]).await;
    for subjects in
        [&["erase", "--tenant", "acme"][..], &["erase", "--tenant", "acme", "--user", "a", "--event-id", "b"]]
    {
        assert_eq!(place.command(subjects).output().await.unwrap().status.code(), Some(2), "{subjects:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_in_one_line() {
    let place = Place::new(None).await;
    for (arguments, said) in [
        (vec!["usage", "nobody"], "there is no tenant nobody"),
        (vec!["outcomes", "nobody"], "there is no tenant nobody"),
        (vec!["tenant", "create", "x", "--plan", "none"], "there is no plan none"),
        (vec!["key", "revoke", "0000000000"], "there is no key 0000000000"),
        (vec!["tenant", "create", "x", "--quota", "-1"], "quota is a number of events"),
        (vec!["erase", "--tenant", "nobody", "--user", "ada"], "there is no tenant nobody"),
        (
            vec!["plan", "set", "x", "--quota", "1", "--rate", "1", "--retention-days", "6"],
            "retention_days is a number of days, 7 to 36500",
        ),
    ] {
        let output = place.command(&arguments).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("weir: ") && error.contains(said) && error.lines().count() == 1, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_none_of_its_kind_is_said_before_anything_is_done() {
    let place = Place::new(None).await;
    for (arguments, said) in [
        (vec!["tenant", "create", "x", "--client-ip", "half"], "client_ip is full, truncated or none"),
        (vec!["tenant", "freeze", "x"], "--reason"),
        (vec!["tenant", "set", "x", "--quota", "none"], "it is a whole number, or `plan`"),
        (vec!["plan", "set", "x", "--quota", "plan", "--rate", "1"], "it is a whole number, or `none`"),
        (
            vec!["key", "create", "x", "--expires-at", "2999-12-31T00:00:00Z", "--expires-in-days", "1"],
            "with",
        ),
    ] {
        let output = place.command(&arguments).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_setting_is_reported_at_once_and_no_secret_is_printed() {
    let place = Place::new(None).await;
    let output = place
        .command(&["standalone"])
        .env("WEIR_INGEST_ADDR", "nowhere")
        .env("WEIR_DEDUP_DAYS", "6")
        .env("WEIR_OPERATOR_TOKEN", "hunter2")
        .env("WEIR_GEO_DATABASE", "nowhere.mmdb")
        .output()
        .await
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert_eq!(error.lines().count(), 4, "{error}");
    assert!(error.contains("WEIR_GEO_DATABASE=nowhere.mmdb can't be used: it can't be read"), "{error}");
    assert!(!error.contains("hunter2"));
    let printed = place.run(&["config"]).await;
    assert!(printed.contains("WEIR_OPERATOR_TOKEN=<secret>") && printed.contains("DATABASE_URL=<secret>"));
    assert!(!printed.contains(testkit::river::OPERATOR_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_log_is_refused_and_sigterm_ends_the_first_cleanly() {
    let place = Place::new(None).await;
    let first = place.start("standalone").await;
    let output = place
        .command(&["standalone"])
        .envs(ADDRESSES.map(|name| (name, "127.0.0.1:0")))
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(first.stop().await.success());
}
