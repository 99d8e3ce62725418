//! What people's requests cost, and what a crowd of them costs others. Run against stores of the tests:
//!
//! `python3 dev/river.py test -- cargo bench -p testkit --bench people -- reads` (or `flood`, or `mails`)
//!
//! * `reads [TENANTS]`: latencies of reads on a tenant's path, where there are so many tenants (100,000) with 10
//!   members each.
//! * `flood`: latencies of ingest and of admin reads, without and with as many logins as the listener takes.
//! * `mails`: CPU-seconds of a mail, from the outbox to a relay that takes it.

#![allow(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    reason = "a bench stops where something is wrong, and measures"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use accounts::{AuthParts, Authenticator, Client as Sender, HashCost, Hasher, Random, Registration, SealKey};
use eventlog::local::{LocalConfig, LocalLog};
use hyper::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use service::config::{Secret, Settings};
use service::postgres::Role;
use service::task::Tasks;
use testkit::river::{OPERATOR_TOKEN, RiverConfig};
use testkit::{Catcher, Client, Database, River, Stores, crowd, eventually};
use worker::{WorkerConfig, Working};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PASSWORD: &str = "kettle-orbit-mango";
/// Tenants whose owners ask, and how often each asks for each thing.
const OWNERS: u64 = 100;
const ROUNDS: u64 = 10;

#[tokio::main]
async fn main() {
    // Cargo adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let wanted = arguments.next().unwrap_or_default();
    let tenants = arguments.next().map_or(100_000, |number| number.parse().unwrap());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load before: {}", load.trim());
    match wanted.as_str() {
        "reads" => reads(tenants).await,
        "flood" => flood().await,
        "mails" => mails().await,
        other => println!("{other:?} is none of reads, flood, mails: nothing is measured"),
    }
}

/// Latencies of one kind of request.
#[derive(Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: usize| {
            self.0.get(self.0.len() * share / 100).or(self.0.last()).copied().unwrap_or_default()
        };
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (p50, p99, max) = (ms(at(50)), ms(at(99)), ms(self.0.last().copied().unwrap_or_default()));
        println!(
            "{what:<40} n {:>6}   p50 {p50:>8.2} ms   p99 {p99:>8.2} ms   max {max:>8.2} ms",
            self.0.len()
        );
    }
}

async fn get(client: &Client, path: &str, into: &mut Latencies) {
    let begun = Instant::now();
    let reply = client.send(Method::GET, path, &[], "").await;
    into.0.push(begun.elapsed());
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
}

async fn login(client: &Client, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD});
    let reply = client.post_json("/v1/auth/login", body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// A river with a crowd, whose people all have [`PASSWORD`].
async fn crowded(tenants: i64, more: &[(&'static str, &str)]) -> River {
    let stores = Stores::fresh().await;
    let database = &stores.pool;
    let begun = Instant::now();
    let auth = authenticator(&stores);
    auth.register(registration("seed@example.com"), &Sender::default()).await.unwrap();
    let mail = auth.unsent_mails(1).await.unwrap().pop().unwrap();
    auth.verify_email(mail.token.unwrap().expose(), &Sender::default()).await.unwrap();
    let hash: String =
        sqlx::query_scalar("SELECT password_hash FROM person").fetch_one(database).await.unwrap();
    // The seed is in the way of the crowd's numbers.
    sqlx::raw_sql("TRUNCATE tenant, person, audit_entry, audit_head CASCADE")
        .execute(database)
        .await
        .unwrap();
    crowd::fill(database, tenants, &hash).await;
    println!("{tenants} tenants, {} memberships: filled in {:?}", tenants * crowd::MEMBERS, begun.elapsed());
    let local = LocalConfig::new(stores.folder.path().join("log"), 1);
    let mut settings =
        vec![("WEIR_ACCOUNTS_KEY", KEY.to_owned()), ("WEIR_ADMIN_CALLER_RATE", "0".to_owned())];
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    River::start_on(
        stores,
        Arc::new(LocalLog::open(local).unwrap()),
        RiverConfig { settings, ..RiverConfig::default() },
    )
    .await
}

fn authenticator(stores: &Stores) -> Authenticator {
    Authenticator::new(AuthParts {
        pool: stores.pool_of(Role::Api),
        clock: Clock::system(),
        random: Random::system(),
        hasher: Hasher::new(HashCost::DEFAULT, 2).unwrap(),
        seal: SealKey::read(&Secret::from(KEY)).unwrap(),
        issuer: String::new(),
    })
}

fn registration(email: &str) -> Registration {
    Registration {
        email: email.to_owned(),
        password: Secret::from(PASSWORD),
        name: "Ada".to_owned(),
        tenant_name: "Acme".to_owned(),
    }
}

async fn reads(tenants: i64) {
    let river = crowded(tenants, &[]).await;
    let (nobody, operator) =
        (Client::new(river.admin, None), Client::new(river.operators, Some(OPERATOR_TOKEN)));
    let people = crowd::people(tenants);
    let mut logins = Latencies::default();
    let mut owners = Vec::new();
    for number in 0..OWNERS {
        let tenant = 1 + i64::try_from(number).unwrap() * (tenants - 1) / i64::try_from(OWNERS).unwrap();
        let person = (tenant * crowd::MEMBERS * 7_919) % people;
        let begun = Instant::now();
        let signed_in = login(&nobody, &format!("person-{person}@example.com")).await;
        logins.0.push(begun.elapsed());
        let client = Client::new(river.admin, signed_in["access_token"].as_str());
        let switched =
            client.post_json("/v1/auth/switch", json!({"tenant": format!("tenant-{tenant}")}).to_string());
        let switched = switched.await;
        assert_eq!(switched.status, 200, "{switched:?}");
        owners.push(Client::new(river.admin, switched.json()["access_token"].as_str()));
    }
    logins.print("login (with its password hash)");
    for path in [
        "/v1/me",
        "/v1/me/tenants",
        "/v1/me/sessions",
        "/v1/tenants/me",
        "/v1/tenants/me/members",
        "/v1/tenants/me/keys",
        "/v1/tenants/me/projects",
        "/v1/tenants/me/roles",
        "/v1/tenants/me/invitations",
        "/v1/tenants/me/tokens",
        "/v1/tenants/me/usage",
        "/v1/tenants/me/audit",
        "/v1/tenants/me/audit?action=key.*",
        "/v1/tenants/me/audit/verify",
    ] {
        let mut latencies = Latencies::default();
        for _ in 0..ROUNDS {
            for owner in &owners {
                get(owner, path, &mut latencies).await;
            }
        }
        latencies.print(path);
    }
    for search in ["tenant-77", "Tenant%2099", "person-777", "person-4321@example.com"] {
        let path = format!("/v1/operator/tenants?q={search}");
        let mut latencies = Latencies::default();
        for _ in 0..100 {
            get(&operator, &path, &mut latencies).await;
        }
        latencies.print(&path);
    }
    for path in [
        "/v1/operator/tenants",
        "/v1/operator/people?q=person-12",
        "/v1/operator/audit",
        "/v1/operator/river",
    ] {
        let mut latencies = Latencies::default();
        for _ in 0..100 {
            get(&operator, path, &mut latencies).await;
        }
        latencies.print(path);
    }
    river.stop().await;
}

async fn flood() {
    println!("from one address, which has the limits that are installed:");
    flood_with(&[("WEIR_SIGN_IN_ADDRESS_RATE", "120"), ("WEIR_ADMIN_ADDRESS_RATE", "0")]).await;
    println!("from so many addresses that only the pool of hashes bounds them:");
    flood_with(&[]).await;
}

async fn flood_with(limits: &[(&'static str, &str)]) {
    const PHASE: Duration = Duration::from_secs(15);
    let river = crowded(1_000, limits).await;
    let customer = river.customer("acme", None).await;
    let signed_in = login(&Client::new(river.admin, None), "person-1@example.com").await;
    let token = signed_in["access_token"].as_str().unwrap().to_owned();
    for attackers in [0, 64] {
        let (over, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut crowd = Vec::new();
        for attacker in 0..attackers {
            let (client, over, tried) =
                (Client::new(river.admin, None), Arc::clone(&over), Arc::clone(&tried));
            crowd.push(tokio::spawn(async move {
                let mut number = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    // Another address each time: attempts at one address are slowed down.
                    number += 1;
                    let body =
                        json!({"email": format!("x{attacker}-{number}@example.com"), "password": "wrong"});
                    client.post_json("/v1/auth/login", body.to_string()).await;
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let ends = Instant::now() + PHASE;
        let (ingest, reads) = (river.client(&customer.key), Client::new(river.admin, Some(&token)));
        let posting = tokio::spawn(async move {
            let mut latencies = Latencies::default();
            let mut number = 0_u64;
            while Instant::now() < ends {
                let begun = Instant::now();
                let reply =
                    ingest.post_ids((number..number + 10).map(|id| format!("{attackers}-{id}"))).await;
                assert_eq!(reply.status, 202, "{reply:?}");
                latencies.0.push(begun.elapsed());
                number += 10;
                // A request each 10 ms.
                tokio::time::sleep(Duration::from_millis(10).saturating_sub(begun.elapsed())).await;
            }
            latencies
        });
        let reading = tokio::spawn(async move {
            let mut latencies = Latencies::default();
            while Instant::now() < ends {
                get(&reads, "/v1/tenants/me", &mut latencies).await;
                // A reader's pause.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            latencies
        });
        let (posted, read) = (posting.await.unwrap(), reading.await.unwrap());
        over.store(true, Ordering::Relaxed);
        for task in crowd {
            task.await.unwrap();
        }
        println!(
            "{attackers} clients at the login: {} tries a second",
            tried.load(Ordering::Relaxed) / PHASE.as_secs()
        );
        posted.print("  ingest, 10 events a request");
        read.print("  GET /v1/tenants/me");
    }
    river.stop().await;
}

/// Seconds of CPU that this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks: f64 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

async fn mails() {
    const MAILS: usize = 500;
    let (database, catcher) = (Database::fresh().await, Catcher::start_with(&[]).await);
    let pool = database.pool_of(8, Role::Api);
    let auth = Authenticator::new(AuthParts {
        pool: pool.clone(),
        clock: Clock::system(),
        random: Random::system(),
        hasher: Hasher::new(HashCost { memory_kib: 64, passes: 1, lanes: 1 }, 2).unwrap(),
        seal: SealKey::read(&Secret::from(KEY)).unwrap(),
        issuer: String::new(),
    });
    for number in 0..MAILS {
        auth.register(registration(&format!("p{number}@example.com")), &Sender::default()).await.unwrap();
    }
    let (url, from) = (catcher.url(), "weir <weir@weir.example>".to_owned());
    let pairs = [("WEIR_SMTP_URL".to_owned(), url), ("WEIR_MAIL_FROM".to_owned(), from)];
    let mut settings = Settings::new(pairs);
    let config =
        WorkerConfig::read(&mut settings, Some(Secret::from(KEY)), "https://weir.example".to_owned());
    settings.finish().unwrap();
    let working = Working::build(&config, pool, Clock::system()).unwrap();
    let mut tasks = Tasks::default();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    tasks.try_spawn("the worker", working.run(tasks.shutdown()));
    eventually("all mails are caught", Duration::from_secs(300), async || catcher.count() >= MAILS).await;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mails = f64::from(u32::try_from(MAILS).unwrap());
    println!("{MAILS} mails in {took:.1} s: {:.0} an hour", mails / took * 3_600.0);
    println!(
        "CPU: {:.2} ms a mail; 10,000 an hour take {:.1} % of a core",
        cpu / mails * 1_000.0,
        cpu / mails * 10_000.0 / 36.0
    );
    tasks.stop().await.unwrap();
}
