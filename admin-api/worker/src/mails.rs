//! Sends the mails of the outbox, one a job.
//!
//! A mail is noted as sent in the transaction in which its job ends. If the process is killed between the relay's
//! answer and that, the mail is sent again, with the same `Message-ID`.

use std::sync::Arc;
use std::time::Duration;

use accounts::outbox::{self, SendMail};
use accounts::suppression::{self, Suppressed};
use accounts::{AuthError, Mail, Post, SealKey};
use chrono::TimeDelta;
use jobs::kind::run;
use jobs::{Ended, Failure, Job, Kind};
use notify::words::{Template, template};
use notify::{Letterhead, SendError, Smtp, metrics};
use schemas::public_id::MessageId;
use service::clock::Clock;
use sqlx::PgPool;

use crate::config::WorkerConfig;
use crate::error::StartError;

/// Mails that a node hands over at once.
const CONCURRENCY: usize = 4;
/// Connecting, TLS, a login and six commands have 20 s each, and most take none of it.
const DEADLINE: Duration = Duration::from_secs(120);
/// About a day and a half: what is of no use any more is dropped before that.
const ATTEMPTS_MAX: i32 = 40;
/// Mails to one address within an hour. Whatever goes wrong elsewhere, nobody's inbox is flooded.
const HOURLY_MAX: i64 = 30;
const HOUR: TimeDelta = TimeDelta::hours(1);
const TOO_MANY_WAIT: Duration = Duration::from_secs(300);
/// For how long an address that was refused gets no mails that nobody needs, and none at all after it was refused
/// twice: it may have been a mistake over there.
const BOUNCE_LIFE: TimeDelta = TimeDelta::days(7);
const BOUNCED: &str = "bounced";

struct Sender {
    pool: PgPool,
    post: Post,
    smtp: Smtp,
    letterhead: Letterhead,
}

/// The kind of job that sends a mail. Without a relay none of them is claimed.
pub(crate) fn kind(config: &WorkerConfig, pool: &PgPool, clock: &Clock) -> Result<Kind, StartError> {
    let seal = config.accounts_key.as_ref().map(SealKey::read).transpose()?;
    let smtp = Smtp::new(&config.mail)?;
    let kind = |concurrency, run| Kind {
        name: outbox::JOB,
        concurrency,
        deadline: DEADLINE,
        attempts_max: ATTEMPTS_MAX,
        run,
    };
    let (Some(seal), Some(smtp), Some(from)) = (seal, smtp, config.mail.from.clone()) else {
        if config.accounts_key.is_some() {
            tracing::warn!("WEIR_SMTP_URL is not set: mails stay in the outbox");
        }
        return Ok(kind(0, run(|_| std::future::pending())));
    };
    let sender = Arc::new(Sender {
        pool: pool.clone(),
        post: Post::new(pool.clone(), clock.clone(), seal),
        smtp,
        letterhead: Letterhead { from, public_url: config.mail.public_url.clone() },
    });
    Ok(kind(CONCURRENCY, run(move |job| send(Arc::clone(&sender), job))))
}

async fn send(sender: Arc<Sender>, job: Job) -> Result<Ended, Failure> {
    let SendMail { mail: id } = job.read()?;
    let id = MessageId::from(id);
    let Some(mail) = sender.post.mail(id).await.map_err(opening)? else { return Ok(Ended::DONE) };
    let template = template(&mail.kind).map_err(|error| Failure::Dead(error.into()))?;
    if let Some(why) = sender.is_unwanted(template, &mail).await? {
        return sender.drop_mail(&job, &mail, &why).await;
    }
    let unsubscribe = sender.unsubscribe(template, &mail)?;
    let ready = sender.letterhead.write(template, &mail, unsubscribe.as_deref());
    let ready = ready.map_err(|error| Failure::Dead(error.into()))?;
    faults::point("mail.before_send");
    let sent = sender.smtp.send(&ready).await;
    faults::point("mail.after_send");
    match sent {
        Ok(()) => sender.note_sent(&job, &mail).await,
        Err(error) => Err(sender.not_sent(&mail, error).await?),
    }
}

impl Sender {
    /// Why the mail is not to be sent, if so.
    async fn is_unwanted(&self, template: Template, mail: &Mail) -> Result<Option<String>, Failure> {
        let now = self.post.now();
        let age = (now - mail.created_at).to_std().unwrap_or_default();
        if age > template.life {
            return Ok(Some("it was too old".to_owned()));
        }
        let mut connection = self.pool.acquire().await?;
        let why = suppression::find(&mut connection, &mail.recipient, template.is_optional, now).await?;
        if why.is_some() {
            return Ok(why);
        }
        if outbox::sent_since(&mut connection, &mail.recipient, now - HOUR).await? >= HOURLY_MAX {
            return Err(Failure::Later(TOO_MANY_WAIT));
        }
        Ok(None)
    }

    /// Where somebody who wants no more mails of that kind can say so.
    fn unsubscribe(&self, template: Template, mail: &Mail) -> Result<Option<String>, Failure> {
        if !template.is_optional {
            return Ok(None);
        }
        let token = self.post.unsubscribe_token(&mail.recipient).map_err(opening)?;
        let base = self.letterhead.public_url.trim_end_matches('/');
        Ok(Some(format!("{base}/v1/mail/unsubscribe?token={token}")))
    }

    async fn note_sent(&self, job: &Job, mail: &Mail) -> Result<Ended, Failure> {
        let mut tx = self.pool.begin().await?;
        outbox::sent(&mut tx, mail.id, self.post.now()).await?;
        let ended = job.finish(&mut tx).await?;
        tx.commit().await?;
        count("sent");
        Ok(ended)
    }

    async fn drop_mail(&self, job: &Job, mail: &Mail, why: &str) -> Result<Ended, Failure> {
        let mut tx = self.pool.begin().await?;
        outbox::dropped(&mut tx, mail.id, why, self.post.now()).await?;
        let ended = job.finish(&mut tx).await?;
        tx.commit().await?;
        tracing::info!(mail = %mail.id, kind = mail.kind, why, "a mail is not sent");
        count("dropped");
        Ok(ended)
    }

    /// What becomes of a mail that the relay did not take.
    async fn not_sent(&self, mail: &Mail, error: SendError) -> Result<Failure, Failure> {
        let (result, failure) = match error {
            SendError::Bounced(_) => {
                let (now, mut connection) = (self.post.now(), self.pool.acquire().await?);
                let (address, until) = (&mail.recipient, Some(now + BOUNCE_LIFE));
                let before = suppression::find(&mut connection, address, true, now).await?;
                let is_second = before.as_deref() == Some(BOUNCED);
                let what = if is_second { Suppressed::All } else { Suppressed::Optional };
                suppression::add(&mut connection, address, what, BOUNCED, now, until).await?;
                (BOUNCED, Failure::Dead(error.into()))
            }
            SendError::Refused(_) => ("refused", Failure::Dead(error.into())),
            SendError::Retry(_) => ("retried", Failure::Retry(error.into())),
        };
        count(result);
        Ok(failure)
    }
}

fn count(result: &'static str) {
    ::metrics::counter!(metrics::MAILS, "result" => result).increment(1);
}

/// A mail that does not open was sealed under another key: a person is needed, and no attempt helps.
fn opening(error: AuthError) -> Failure {
    if let AuthError::Store(error) = error { error.into() } else { Failure::Dead(error.into()) }
}
