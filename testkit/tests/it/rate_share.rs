//! A tenant's rate is one rate, however many nodes it sends to; and who has no key is held to the rate of its
//! address.

use std::time::{Duration, Instant};

use schemas::key::ApiKey;
use testkit::river::{Customer, RiverConfig};
use testkit::stores::optional;
use testkit::{Client, River, eventually};

use crate::river::metered;

/// The burst that each test spends first, and the rate.
const RATE: u32 = 600;
const BURST: u64 = 1_200;

fn redis_url() -> Option<String> {
    let url = optional("WEIR_TEST_REDIS_URL");
    if url.is_none() {
        println!("NO REDIS: the tests of shared rates were not run, see `make test`");
    }
    url
}

async fn river_with(settings: Vec<(&'static str, String)>) -> (River, Customer) {
    let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
    let customer = river.customer("acme", None).await;
    sqlx::query("UPDATE tenant SET rate = $1")
        .bind(i64::from(RATE))
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let client = river.client(&customer.key);
    eventually("ingest knows the rate", Duration::from_secs(5), async || {
        client.post_json("/v1/events", "").await.headers.contains_key("ratelimit-policy")
    })
    .await;
    (river, customer)
}

/// Sends batches of 20 until `until`, one after the other; how many events were accepted.
async fn send(client: Client, name: &'static str, until: Instant) -> u64 {
    let (mut accepted, mut batch) = (0, 0);
    while Instant::now() < until {
        batch += 1;
        let reply = client.post_ids((0..20).map(|n| format!("{name}-{batch}-{n}"))).await;
        match reply.status {
            202 => accepted += 20,
            429 => assert!(reply.headers.contains_key("retry-after")),
            status => panic!("{status}: {reply:?}"),
        }
    }
    accepted
}

/// Sends to all of `clients` at once for so long; how many events each accepted.
async fn flood(clients: &[&Client], seconds: u64) -> Vec<u64> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let name: &'static str = format!("{until:?}").leak();
    let mut accepted = Vec::new();
    let sending: Vec<_> =
        clients.iter().map(|client| tokio::spawn(send((*client).clone(), name, until))).collect();
    for sent in sending {
        accepted.push(sent.await.unwrap());
    }
    accepted
}

/// All that the nodes accepted since a moment: together never more than the rate, whatever each did.
struct Sum {
    since: Instant,
    accepted: u64,
}

impl Sum {
    fn begin() -> Self {
        Self { since: Instant::now(), accepted: 0 }
    }

    /// Floods, and holds the sum against the rate: to that, add a burst for each of two nodes, and the two
    /// seconds in which they do not know of each other.
    async fn flood(&mut self, clients: &[&Client], seconds: u64) -> Vec<u64> {
        let accepted = flood(clients, seconds).await;
        self.accepted += accepted.iter().sum::<u64>();
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap();
        let most = 2 * BURST + u64::from(RATE) * (elapsed_ms + 2_000) / 1_000 + 40;
        assert!(self.accepted <= most, "{} were accepted where {most} are the most", self.accepted);
        accepted
    }

    /// Floods again and again until it is so: a busy machine may need more than one window.
    async fn until(&mut self, what: &str, clients: &[&Client], is_so: impl Fn(&[u64], u64) -> bool) {
        let mut seen = Vec::new();
        for _ in 0..6 {
            let accepted = self.flood(clients, 4).await;
            if is_so(&accepted, accepted.iter().sum()) {
                return;
            }
            seen.push(accepted);
        }
        panic!("{what}: {seen:?}");
    }
}

/// So many percent of what the rate lets pass in a window.
fn percent(percent: u64) -> u64 {
    u64::from(RATE) * 4 * percent / 100
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_together_hold_a_tenant_to_its_rate_and_share_it_by_demand() {
    let Some(redis) = redis_url() else { return };
    let (river, customer) = river_with(vec![("REDIS_URL", redis.clone())]).await;
    let second = river.second_node(vec![("REDIS_URL", redis.clone())]).await;
    let (one, other) = (river.client(&customer.key), second.client(&customer.key));
    let mut sum = Sum::begin();
    // The burst is spent, and shares come to rest.
    sum.flood(&[&one, &other], 4).await;
    sum.until("both are asked for as much", &[&one, &other], |accepted, both| {
        both >= percent(70) && accepted.iter().all(|one| *one >= both / 4)
    })
    .await;
    sum.until("all of the demand goes to one node: it gets nearly all of the rate", &[&one], |_, alone| {
        alone >= percent(80)
    })
    .await;
    second.stop().await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_in_a_loop_and_a_redis_that_is_gone_leave_shares_as_they_are() {
    let Some(redis) = redis_url() else { return };
    let proxy = testkit::Proxy::to(redis.trim_start_matches("redis://")).await;
    // A number of its own: other tests use the same Redis.
    let (redis, through) = (format!("{redis}/1"), format!("redis://{}/1", proxy.address()));
    let (river, customer) = river_with(vec![("REDIS_URL", through.clone())]).await;
    let second = river.second_node(vec![("REDIS_URL", through.clone())]).await;
    let (one, other) = (river.client(&customer.key), second.client(&customer.key));
    let mut sum = Sum::begin();
    sum.flood(&[&one, &other], 5).await;

    let mut connection =
        redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await.unwrap();
    let flushing = tokio::spawn(async move {
        loop {
            redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await.unwrap();
        }
    });
    sum.until("the rate is there to be used while Redis is emptied", &[&one, &other], |_, both| {
        both >= percent(60)
    })
    .await;
    flushing.abort();

    proxy.cut();
    sum.until("and while it is gone", &[&one, &other], |_, both| both >= percent(60)).await;

    proxy.mend();
    sum.until("shares follow demand again", &[&one], |_, alone| alone >= percent(80)).await;
    second.stop().await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_holds_goes_by_itself() {
    let Some(redis) = redis_url() else { return };
    let (river, customer) = river_with(vec![("REDIS_URL", redis.clone())]).await;
    let pattern = format!("weir:{}:*", river.log.identity());
    let mut connection =
        redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut keys = async || -> Vec<String> {
        redis::cmd("KEYS").arg(&pattern).query_async(&mut connection).await.unwrap()
    };
    river.client(&customer.key).post_ids(0..10).await;
    eventually("the node has written what it was asked for", Duration::from_secs(5), async || {
        !keys().await.is_empty()
    })
    .await;
    assert!(keys().await.len() <= 12);
    river.stop().await;
    eventually("it is forgotten", Duration::from_secs(15), async || keys().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_says_what_is_left() {
    let (river, customer) = river_with(vec![]).await;
    sqlx::query("UPDATE tenant SET quota = 1000").execute(&river.stores.pool).await.unwrap();
    let client = river.client(&customer.key);
    let header = |reply: &testkit::Reply, name| reply.headers.get(name).unwrap().to_str().unwrap().to_owned();
    eventually("ingest knows the quota", Duration::from_secs(5), async || {
        header(&client.post_json("/v1/events", "").await, "ratelimit-policy").contains(r#""quota";q=1000;w="#)
    })
    .await;
    let reply = client.post_ids(0..100).await;
    assert_eq!(reply.status, 202);
    assert!(header(&reply, "ratelimit-policy").starts_with(r#""rate";q=600;w=1, "quota";q=1000;w=2"#));
    let state = header(&reply, "ratelimit");
    assert!(state.starts_with(r#""rate";r=600;t=0, "quota";r=900;t="#), "{state}");
    let refused = client.post_json("/v1/events", "{").await;
    assert_eq!(refused.status, 400);
    assert!(header(&refused, "ratelimit").contains(r#""quota";r=900;t="#));
    let stranger = Client::new(river.ingest, None).post_json("/v1/events", "{}").await;
    assert!(!stranger.headers.contains_key("ratelimit"), "nobody's limits are nobody's business");
    metered(&river, &customer, 100).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_is_held_up_and_who_has_one_is_not() {
    let (river, customer) = river_with(vec![("WEIR_ADDRESS_RATE", "2".to_owned())]).await;
    let body = r#"{"event":"x"}"#;
    let guess = async || {
        Client::new(river.ingest, Some(ApiKey::generate().expose())).post_json("/v1/events", body).await
    };
    // A burst of five seconds' worth.
    eventually("guesses are held up", Duration::from_secs(5), async || guess().await.status == 429).await;
    let reply = guess().await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "address_limited"));
    assert!(!reply.json()["title"].as_str().unwrap().contains("tenant"), "{reply:?}");
    assert_eq!(reply.headers.get("retry-after").unwrap(), "1");
    let garbage = Client::new(river.ingest, None).post_json("/v1/batch", "garbage").await;
    assert_eq!(garbage.status, 429, "the body is not even read");
    assert_eq!(river.client(&customer.key).post_ids(["good"]).await.status, 202);
    river.stop().await;
}

/// As PostHog's SDKs on a server do, whose key stands in the body.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_feature_flags_may_still_send_events() {
    let (river, customer) = river_with(vec![("WEIR_ADDRESS_RATE", "2".to_owned())]).await;
    let client = Client::new(river.ingest, None);
    for number in 0..30 {
        assert_eq!(client.post_json("/flags/?v=2", "{}").await.status, 404);
        let key = &customer.key;
        let body = format!(r#"{{"api_key":"{key}","batch":[{{"event":"x","uuid":"flags-{number}"}}]}}"#);
        assert_eq!(client.post_json("/batch/", body).await.status, 200, "after {number} questions");
    }
    metered(&river, &customer, 30).await;
    river.stop().await;
}
