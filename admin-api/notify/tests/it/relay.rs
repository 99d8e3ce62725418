//! A real SMTP server, in good and in bad days.

use std::time::Duration;

use notify::words::template;
use notify::{MailConfig, SendError, Smtp};
use service::config::Settings;
use testkit::Catcher;

use crate::letters::{letterhead, mail};

fn config(url: &str, ca_file: Option<&str>) -> MailConfig {
    let mut pairs = vec![("WEIR_SMTP_URL", url), ("WEIR_MAIL_FROM", "weir <weir@weir.example>")];
    pairs.extend(ca_file.map(|path| ("WEIR_SMTP_CA_FILE", path)));
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut settings = Settings::new(pairs);
    let config = MailConfig::read(&mut settings, "https://app.weir.example".to_owned());
    settings.finish().unwrap();
    config
}

fn smtp(url: &str) -> Smtp {
    Smtp::new(&config(url, None)).unwrap().unwrap()
}

async fn send(smtp: &Smtp, recipient: &str) -> Result<(), SendError> {
    let mail = mail("welcome", recipient, |_| "Zoë".to_owned());
    smtp.send(&letterhead().write(template("welcome").unwrap(), &mail, None).unwrap()).await
}

#[tokio::test]
async fn mails_are_sent_one_after_the_other_over_one_connection() {
    let catcher = Catcher::start().await;
    let smtp = smtp(&catcher.url());
    for n in 0..5 {
        send(&smtp, &format!("ada{n}@example.com")).await.unwrap();
    }
    assert_eq!(catcher.count(), 5);
    let caught = catcher.mails_to("ada3@example.com").remove(0);
    assert_eq!(caught.header("Subject"), Some("Welcome to weir"));
    assert!(caught.text.contains("Zo=C3=AB") || caught.text.contains("Zoë"), "{caught:?}");
}

#[tokio::test]
async fn only_an_answer_about_the_recipient_is_a_bounce() {
    let catcher = Catcher::start().await;
    let smtp = smtp(&catcher.url());
    let bounced = send(&smtp, "rcpt550.9.ada@example.com").await.unwrap_err();
    assert!(
        matches!(&bounced, SendError::Bounced(said) if said.text.contains("no such user")),
        "{bounced:?}"
    );
    let refused = send(&smtp, "data554.9.ada@example.com").await.unwrap_err();
    assert!(matches!(&refused, SendError::Refused(said) if said.at == "end of DATA"), "{refused:?}");
    for address in [
        "rcpt450.1.ada@example.com",
        "rcpt554.1.ada@example.com",
        "data451.1.ada@example.com",
        "drop.1.ada@example.com",
    ] {
        let later = send(&smtp, address).await.unwrap_err();
        assert!(matches!(later, SendError::Retry(_)), "{address}: {later:?}");
        send(&smtp, address).await.unwrap();
    }
    let dropped = catcher.mails_to("drop.1.ada@example.com");
    assert_eq!(dropped.len(), 2, "it was taken twice, since its answer was lost");
    assert_eq!(dropped[0].header("Message-ID"), dropped[1].header("Message-ID"));
}

#[tokio::test]
async fn a_relay_that_is_away_or_does_not_know_weir_costs_no_mail() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let away = send(&smtp(&format!("smtp://127.0.0.1:{port}")), "ada@example.com").await.unwrap_err();
    assert!(matches!(away, SendError::Retry(_)), "{away:?}");

    let catcher = Catcher::start_with(&["--login", "weir", "right"]).await;
    let url = |password: &str| format!("smtp://weir:{password}@127.0.0.1:{}", catcher.port);
    let wrong = send(&smtp(&url("wrong")), "ada@example.com").await.unwrap_err();
    assert!(matches!(&wrong, SendError::Retry(said) if said.at == "AUTH"), "{wrong:?}");
    assert!(!wrong.to_string().contains("wrong"), "{wrong}");
    send(&smtp(&url("right")), "ada@example.com").await.unwrap();
}

#[tokio::test]
async fn tls_is_checked_and_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let starttls = Catcher::start_with(&["--tls", &cert, &key]).await;
    let implicit = Catcher::start_with(&["--tls", &cert, &key, "--implicit"]).await;
    for url in [
        format!("smtp://localhost:{}?tls=required", starttls.port),
        format!("smtps://localhost:{}", implicit.port),
    ] {
        let trusting = Smtp::new(&config(&url, Some(&cert))).unwrap().unwrap();
        send(&trusting, "ada@example.com").await.unwrap();
        let doubting = send(&smtp(&url), "eve@example.com").await.unwrap_err();
        assert!(matches!(doubting, SendError::Retry(_)), "{url}: {doubting:?}");
        let other = url.replace("localhost", "127.0.0.1");
        let elsewhere = Smtp::new(&config(&other, Some(&cert))).unwrap().unwrap();
        assert!(send(&elsewhere, "eve@example.com").await.is_err(), "its certificate is another host's");
    }
    assert_eq!((starttls.count(), implicit.count()), (1, 1));
    let plain = Catcher::start().await;
    let required = smtp(&format!("smtp://127.0.0.1:{}?tls=required", plain.port));
    let required = send(&required, "eve@example.com");
    let said = tokio::time::timeout(Duration::from_secs(20), required).await.unwrap().unwrap_err();
    assert!(matches!(&said, SendError::Retry(said) if said.at == "STARTTLS"), "{said:?}");
    assert_eq!(plain.count(), 0);
}
