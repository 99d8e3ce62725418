//! Jobs of the real binary, when its processes are killed, and when there are several.

use std::time::Duration;

use serde_json::json;
use testkit::stores::optional;
use testkit::{Catcher, Client, eventually};

use crate::process::{Place, Process};

/// A lease of a job is 30 s, and this machine may be busy.
const WAIT: Duration = Duration::from_secs(120);

async fn place(kafka_brokers: Option<&str>, catcher: &Catcher) -> Place {
    let mut place = Place::new(kafka_brokers).await;
    place.set("WEIR_ACCOUNTS_KEY", &"5a".repeat(32));
    place.set("WEIR_SMTP_URL", &catcher.url());
    place.set("WEIR_MAIL_FROM", "weir <weir@weir.example>");
    place.run(&["migrate"]).await;
    place
}

async fn register(process: &Process, email: &str) {
    let new = json!({"email": email, "password": "kettle-orbit-mango", "name": "Ada", "tenant_name": "Acme"});
    let reply =
        Client::new(process.admin_address(), None).post_json("/v1/auth/register", new.to_string()).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

/// At each step of the job of a mail: the relay says "later" and the job waits, the relay holds its answer before it
/// has stored the mail and after that, it has stored the mail and the connection ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_whatever_is_killed_and_twice_it_is_the_same() {
    let catcher = Catcher::start().await;
    let place = place(None, &catcher).await;
    let mut process = place.start("admin").await;
    let addresses = ["rcpt450.2", "data451.1", "stall.1", "late.1", "drop.1", "plain"]
        .map(|fault| format!("{fault}.ada@example.com"));
    for address in &addresses {
        register(&process, address).await;
    }
    eventually("the relay holds one answer", WAIT, async || !catcher.mails_to(&addresses[3]).is_empty())
        .await;
    process.kill().await;
    let waiting = place.run_json(&["mail", "list"]).await;
    let of = |address: &str, waiting: &serde_json::Value| {
        let mails = waiting.as_array().unwrap().iter();
        mails
            .filter(|mail| mail["recipient"] == *address)
            .map(|mail| mail["state"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&addresses[3], &waiting), ["waiting"], "its answer was not heard: {waiting}");
    let mut process = place.start_again(process).await;
    eventually("every mail is noted as sent", WAIT, async || {
        let mails = place.run_json(&["mail", "list"]).await;
        addresses.iter().all(|address| of(address, &mails) == ["sent"])
    })
    .await;
    for address in &addresses {
        let caught = catcher.mails_to(address);
        let ids: Vec<_> = caught.iter().map(|mail| mail.header("Message-ID").unwrap().to_owned()).collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{address}: {ids:?}");
        let twice = address.starts_with("late") || address.starts_with("drop");
        assert_eq!(ids.len(), if twice { 2 } else { 1 }, "{address}");
    }
    assert_eq!(place.run_json(&["job", "list"]).await, json!([]));
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_is_a_dead_job_which_an_operator_can_end() {
    let catcher = Catcher::start().await;
    let place = place(None, &catcher).await;
    let mut process = place.start("admin").await;
    let address = "rcpt550.1.ada@example.com";
    register(&process, address).await;
    let dead = ["job", "list", "--state", "dead"];
    eventually("it is dead", WAIT, async || place.run_json(&dead).await != json!([])).await;
    let job = place.run_json(&dead).await[0].clone();
    assert_eq!((&job["kind"], &job["attempt"]), (&json!("mail.send"), &json!(1)));
    assert!(job["last_error"].as_str().unwrap().contains("550 5.1.1"), "{job}");
    let mail = place.run_json(&["mail", "list", "--to", address]).await[0].clone();
    assert_eq!(mail["state"], "dead");
    let suppressed = place.run_json(&["mail", "suppressed"]).await;
    assert_eq!((&suppressed[0]["address"], &suppressed[0]["reason"]), (&json!(address), &json!("bounced")));
    let id = job["id"].as_str().unwrap();
    assert_eq!(place.run_json(&["job", "show", id]).await["state"], "dead");
    place.run(&["mail", "unsuppress", address]).await;
    place.run(&["mail", "retry", mail["id"].as_str().unwrap()]).await;
    eventually("it was sent", WAIT, async || catcher.mails_to(address).len() == 1).await;
    eventually("its job is done", WAIT, async || place.run_json(&["job", "list"]).await == json!([])).await;
    assert!(!place.command(&["job", "retry", id]).output().await.unwrap().status.success());
    process.kill().await;
}

/// The sum of a counter over these processes.
async fn sum(processes: &[Process], name: &str) -> u64 {
    let mut sum = 0;
    for process in processes {
        let metrics = process.metrics().await;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        sum += lines.sum::<u64>();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_nodes_one_carries_out_a_schedule() {
    let Some(brokers) = optional("WEIR_TEST_KAFKA_BROKERS") else { return };
    let catcher = Catcher::start().await;
    let place = place(Some(&brokers), &catcher).await;
    let nodes = [place.start("admin").await, place.start("admin").await, place.start("admin").await];
    let due = "SELECT count(*) FROM job_schedule WHERE name = 'accounts.sweep' AND due_at > now()";
    eventually("it is known", WAIT, async || place.stores.postgres_number(due).await == 1).await;
    let measured = [r#"weir_jobs_due{kind="mail.send"} 0"#, r#"weir_jobs_dead{kind="mail.send"} 0"#];
    eventually("what waits is measured", WAIT, async || {
        let metrics = nodes[0].metrics().await;
        measured.iter().all(|line| metrics.contains(line))
    })
    .await;
    let done = r#"weir_jobs_ended_total{kind="accounts.sweep",result="done"}"#;
    for times in 1..=3 {
        sqlx::query(
            "UPDATE job_schedule SET due_at = now() - interval '2 days' WHERE name = 'accounts.sweep'",
        )
        .execute(&place.stores.pool)
        .await
        .unwrap();
        eventually("it was carried out", WAIT, async || sum(&nodes, done).await >= times).await;
        assert!(place.stores.postgres_number(due).await == 1 && sum(&nodes, done).await <= times);
    }
}
