//! The pages show what a running weir does: commands of README and docs/api.md are run in a shell, and print what
//! stands there; requests get the problems that docs/errors shows.
//!
//! Each block of a page is taken in its order: one that no test runs or excuses fails the test.

mod agree;
mod page;
mod problems;
mod session;

use agree::{Names, Numbers};
use page::{Page, read};
use session::Session;

use crate::process::{Place, Process};
use testkit::Catcher;

/// A weir with the tenant `demo`, as `make run` leaves one, and a shell for the page's commands.
async fn after_make_run(page: &str, settings: &[(&str, &str)]) -> (Place, Process, Session) {
    let mut place = Place::new(None).await;
    settings.iter().for_each(|(name, value)| place.set(name, value));
    place.set("WEIR_ACCOUNTS_KEY", &"ab".repeat(32));
    let (_, key) = place.customer("demo", &[]).await;
    let person = ["person", "create", "demo@example.com", "--name", "Demo", "--owner-of", "demo"];
    let made = place.run_json(&person).await;
    let password = made["password"].as_str().unwrap();
    let process = place.start("standalone").await;
    let session = Session::start(&place, &process, [&key, password], Names::of(page)).await;
    (place, process, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_print_what_it_shows() {
    let mut page = Page::read("README.md");
    let (_place, _process, mut session) = after_make_run(&read("README.md"), &[]).await;
    // A picture.
    page.next("SDKs, curl");
    // It installs and starts stores of its own, which takes minutes: here, the tests' stores are used.
    page.next("make run");
    let [send, show, usage, sign_in] = page.next("weir is ready at").inner_commands().try_into().unwrap();
    let accepted = page.next(r#"{"accepted":1"#).text;
    session.check(&send, &format!("HTTP/1.1 202 Accepted\n\n{accepted}"), Numbers::Exact).await;
    session.check(&usage, &page.next("period ").text, Numbers::Exact).await;
    let row = session.run(&show).await;
    assert!(row.contains("Signed up") && row.contains(r#"{"plan":"free"}"#), "{row}");
    let signed_in = session.run(&sign_in).await;
    assert!(signed_in.contains("access_token") && signed_in.contains(r#""slug":"demo""#), "{signed_in}");
    // An SDK in Python is needed: testkit's tests run it where it is installed.
    page.next("import segment");
    let (before, steps) = page.next("set -a").transcript();
    session.run(&before).await;
    for (command, shown) in steps {
        session.check(&command, &shown, Numbers::Exact).await;
    }
    let cap = page.next(".run/weir tenant create capped");
    let printed = session.run(&cap.text).await;
    assert!(printed.trim_end().ends_with(cap.printed()), "{printed}");
    let raise = page.next(".run/weir tenant set capped");
    let (_, rest) = cap.text.split_once("for n in 1 2 3 4 5;").unwrap();
    let printed = session.run(&format!("{}\nsleep 1\nfor n in 4 5 6;{rest}", raise.text)).await;
    assert!(printed.trim_end().ends_with(raise.printed()), "{printed}");
    proof(&mut page).await;
    page.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_people_prints_what_it_shows() {
    let catcher = Catcher::start().await;
    let (text, url) = (read("docs/people.md"), catcher.url());
    let mut page = Page::read("docs/people.md");
    let settings = [("WEIR_SMTP_URL", url.as_str()), ("WEIR_MAIL_FROM", "weir <weir@weir.example>")];
    let (_place, _process, mut session) = after_make_run(&text, &settings).await;
    session.run(&format!("WEIR_MAIL_DIR={}", catcher.folder().display())).await;
    let invited = ["$ api", "mailed()", "$ api"];
    let registered = ["$ api", "$ mailed", "$ api"];
    for begin in ["set -a", "$ TOKEN=", "$ KEY=", "$ api"].iter().chain(&invited).chain(&registered) {
        let (before, steps) = page.next(begin).transcript();
        if !before.is_empty() {
            session.run(&before).await;
        }
        for (command, shown) in steps {
            session.check(&command, &shown, Numbers::Vary).await;
        }
    }
    page.ends();
}

/// The proof, where nothing else was sent, with fewer events.
async fn proof(page: &mut Page) {
    let (_place, _process, mut session) = after_make_run("", &[]).await;
    let commands = page.next(".run/weir load --events 100000").text.replace("100000", "2000");
    let shown = page.next("promised").text;
    let (load, last_two) = commands.split_once('\n').unwrap();
    session.run(load).await;
    session.check(last_two, &shown, Numbers::Vary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_api_s_page_print_what_it_shows() {
    let text = read("docs/api.md");
    let mut page = Page::read("docs/api.md");
    let (place, process, mut session) = after_make_run(&text, &[]).await;
    let example = page.next("curl -i $WEIR_URL/v1/events").text;
    let (command, reply) = example.split_once("\n\n").unwrap();
    session.check(command, reply, Numbers::Exact).await;
    let receipt = page.next(r#"{"accepted":2"#).text;
    let results = page.next(r#"{"results""#).text;
    let problem = page.next(r#"{"type":"/errors/quota_exceeded""#).text;
    let headers = page.next("RateLimit-Policy").text;
    let (setup, steps) = page.next("operator() {").transcript();
    session.run(&setup).await;
    for (command, shown) in steps {
        session.check(&command, &shown, Numbers::Exact).await;
    }
    let (_, steps) = page.next("$ operator").transcript();
    for (command, shown) in steps {
        session.check(&command, &shown, Numbers::Exact).await;
    }
    page.ends();

    // Replies that the page shows without their requests.
    let (_, limited) = place.customer("limited", &["--quota", "1000000", "--rate", "1000"]).await;
    let (_, used_up) = place.customer("used-up", &["--quota", "0"]).await;
    assert!(process.client(Some(&limited)).post_ids(["known"]).await.status == 202, "a new key is known");
    let post = |path: &str, key: &str, body: &str| {
        format!(
            "curl -s $WEIR_URL{path} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'"
        )
    };
    let batch =
        r#"[{"id":"e-1","event":"a"},{"id":"e-2","event":"a"},{"id":"e-1","event":"a"},{"id":"e-4"}]"#;
    let batch = format!(r#"{{"batch":{batch}}}"#);
    session.check(&post("/v1/events", &limited, &batch), &receipt, Numbers::Exact).await;
    let batch = r#"{"batch":[{"event":"a","uuid":"0199-1"},{"event":7,"uuid":"019a-2"}]}"#;
    session.check(&post("/i/v1/analytics/events", &limited, batch), &results, Numbers::Exact).await;
    let one = r#"{"event":"a"}"#;
    session.check(&post("/v1/events", &used_up, one), &problem, Numbers::Exact).await;
    let many = format!("[{}]", vec![one; 1_600].join(","));
    let reply =
        session.run(&(post("/v1/events", &limited, &many) + " -D - -o /dev/null")).await.to_lowercase();
    for line in headers.to_lowercase().lines() {
        let is_there = |other: &str| session.names.compare(line, other, Numbers::Vary).is_ok();
        assert!(reply.lines().any(is_there), "{line} is not in {reply}");
    }
}
