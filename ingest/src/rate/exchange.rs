use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{IntoConnectionInfo, RedisResult};
use schemas::id::TenantId;
use service::config::Secret;
use service::error::Chain;
use service::shutdown::Shutdown;
use uuid::Uuid;

use super::Rates;
use super::shares::{Demand, Nodes, Shares};
use crate::directory::Directory;
use crate::metrics;
use crate::tenant::Tenant;

const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);
/// Seconds after which Redis forgets a second by itself.
const KEPT_SECONDS: i64 = 10;
/// Tenants in one message; of more, the rest counts as not asked for.
const TENANTS_MAX: usize = 100_000;
/// The layout of a message: this byte, then 12 for each tenant (id, events; little-endian).
const LAYOUT: u8 = 1;
const ENTRY_BYTES: usize = 12;

/// `REDIS_URL` is not the URL of a Redis.
#[derive(Debug, thiserror::Error)]
#[error("REDIS_URL can't be used: it is redis://[user:password@]host:port[/number]")]
pub struct RedisError(#[source] redis::RedisError);

/// Writes once a second for the other nodes what this one is asked for, reads what they are asked for, and shares rates
/// accordingly.
///
/// In Redis there is a hash for each second (of Redis's clock), with a field for each node; it expires by itself.
/// One round trip a second, whatever the number of tenants: this node's field of the second that runs is written,
/// and the whole hash of the second before is read, into which every node has written. If that does not work, or
/// what this node wrote is gone, shares stay as they are.
pub struct Exchange {
    me: Uuid,
    prefix: String,
    manager: ConnectionManager,
    rates: Arc<Rates>,
    directory: Arc<Directory>,
    nodes: Nodes,
    /// What this node is asked for: a second counts half in the next.
    asked: HashMap<TenantId, (Arc<Tenant>, u32)>,
    /// Tenants with a share of their own.
    shared: HashMap<TenantId, Arc<Tenant>>,
    clock: Option<RedisClock>,
    /// The second into which this node wrote last, and what.
    wrote: Option<(u64, Demand)>,
    heard_at: Instant,
}

/// What time it is in Redis.
#[derive(Debug, Clone, Copy)]
struct RedisClock {
    micros: u64,
    at: Instant,
}

impl RedisClock {
    fn now(&self) -> u64 {
        self.micros + u64::try_from(self.at.elapsed().as_micros()).unwrap_or(0)
    }

    /// Until the middle of the next second, when all nodes act.
    fn until_next(&self) -> Duration {
        let into = (self.now() + 500_000) % 1_000_000;
        Duration::from_micros(1_000_000 - into)
    }
}

/// A second's hash: a node's id, and its message.
type Fields = HashMap<Vec<u8>, Vec<u8>>;
/// That, and Redis's clock (seconds, microseconds).
type Answer = (Fields, (u64, u64));

impl Exchange {
    /// For the nodes that write to the log `log`. Connects when it runs.
    ///
    /// # Errors
    /// If the URL is not one.
    pub fn new(
        url: &Secret,
        log: &str,
        rates: Arc<Rates>,
        directory: Arc<Directory>,
    ) -> Result<Self, RedisError> {
        let connection = url.expose().into_connection_info().map_err(RedisError)?;
        let connection = connection.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = redis::Client::open(connection).map_err(RedisError)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(ANSWER_DEADLINE))
            .set_number_of_retries(0);
        let manager = ConnectionManager::new_lazy_with_config(client, config).map_err(RedisError)?;
        Ok(Self {
            me: Uuid::now_v7(),
            prefix: format!("weir:{log}:rate"),
            manager,
            rates,
            directory,
            nodes: Nodes::default(),
            asked: HashMap::new(),
            shared: HashMap::new(),
            clock: None,
            wrote: None,
            heard_at: Instant::now(),
        })
    }

    /// Runs until `shutdown` is ordered.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut is_away = false;
        while !shutdown.is_ordered() {
            match self.round().await {
                Ok(()) => is_away = false,
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(
                        error = %Chain(&error),
                        "Redis does not answer: this node keeps its shares of rates"
                    );
                }
                Err(_) => {}
            }
            let result = if is_away { "failed" } else { "ok" };
            ::metrics::counter!(metrics::RATE_ROUNDS, "result" => result).increment(1);
            ::metrics::gauge!(metrics::RATE_AGE_SECONDS).set(self.heard_at.elapsed().as_secs_f64());
            let pause = self.clock.map_or(Duration::from_secs(1), |clock| clock.until_next());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.ordered() => {}
            }
        }
    }

    /// Hears what the other nodes are asked for, before this one takes its first request. Without Redis it takes whole
    /// rates.
    pub async fn join(&mut self) {
        if let Err(error) = self.listen().await {
            tracing::warn!(
                error = %Chain(&error),
                "Redis does not answer: this node has tenants' whole rates until it does"
            );
        }
    }

    async fn listen(&mut self) -> RedisResult<()> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.manager).await?;
        let clock = RedisClock { micros: seconds * 1_000_000 + micros, at: Instant::now() };
        let mut pipe = redis::pipe();
        pipe.hgetall(self.key(seconds)).hgetall(self.key(seconds - 1));
        // What a node wrote in this second stands for more than what it wrote in the one before.
        let (now, mut fields): (Fields, Fields) = pipe.query_async(&mut self.manager).await?;
        fields.extend(now);
        self.clock = Some(clock);
        let shares = self.nodes.round(self.me, read(fields));
        self.apply(shares);
        Ok(())
    }

    async fn round(&mut self) -> RedisResult<()> {
        let Some(clock) = self.clock else { return self.listen().await };
        let demand = self.demand();
        let second = clock.now() / 1_000_000;
        let (fields, time) = self.write_and_read(second, &demand).await?;
        self.clock = Some(RedisClock { micros: time.0 * 1_000_000 + time.1, at: Instant::now() });
        let before = self.wrote.replace((second, demand));
        if let Some(shares) = self.hear(fields, second, before) {
            self.heard_at = Instant::now();
            self.apply(shares);
        }
        Ok(())
    }

    async fn write_and_read(&mut self, second: u64, demand: &Demand) -> RedisResult<Answer> {
        let (now, before) = (self.key(second), self.key(second - 1));
        redis::pipe()
            .hset(&now, self.me.as_bytes(), encode(demand))
            .ignore()
            .expire(&now, KEPT_SECONDS)
            .ignore()
            .hgetall(before)
            .cmd("TIME")
            .query_async(&mut self.manager)
            .await
    }

    fn key(&self, second: u64) -> String {
        format!("{}:{second}", self.prefix)
    }

    /// What each tenant with a rate has asked this node for.
    fn demand(&mut self) -> Demand {
        for (_, events) in self.asked.values_mut() {
            *events /= 2;
        }
        for tenant in std::mem::take(&mut *self.rates.active.lock()) {
            let asked = tenant.rate.asked();
            let (_, events) = self.asked.entry(tenant.id).or_insert((tenant, 0));
            *events = events.saturating_add(asked);
        }
        self.asked.retain(|_, (_, events)| *events > 0);
        self.asked.iter().take(TENANTS_MAX).map(|(id, (_, events))| (*id, *events)).collect()
    }

    /// `None` if what was heard can't be trusted: Redis has lost what this node itself had written.
    fn hear(&mut self, fields: Fields, second: u64, before: Option<(u64, Demand)>) -> Option<Shares> {
        let mut heard = read(fields);
        let (wrote_at, wrote) = before.unwrap_or_default();
        if wrote_at == second - 1 && !heard.contains_key(&self.me) {
            tracing::debug!("Redis has lost what was just written: this node keeps its shares of rates");
            return None;
        }
        heard.insert(self.me, wrote);
        Some(self.nodes.round(self.me, heard))
    }

    fn apply(&mut self, shares: Shares) {
        let Shares { mut own, idle, nodes } = shares;
        if let Some(idle) = idle {
            self.rates.idle.store(idle.ppm(), Ordering::Relaxed);
        }
        let idle = self.rates.idle();
        self.shared.retain(|id, tenant| {
            let share = own.remove(id);
            tenant.rate.set_share(share, idle);
            share.is_some()
        });
        for (id, share) in own {
            if let Some(tenant) = self.directory.tenant(id) {
                tenant.rate.set_share(Some(share), idle);
                self.shared.insert(id, tenant);
            }
        }
        ::metrics::gauge!(metrics::RATE_NODES).set(f64::from(u32::try_from(nodes).unwrap_or(u32::MAX)));
        ::metrics::gauge!(metrics::RATE_TENANTS)
            .set(f64::from(u32::try_from(self.shared.len()).unwrap_or(u32::MAX)));
    }
}

fn read(fields: Fields) -> HashMap<Uuid, Demand> {
    let read = |(node, message): (Vec<u8>, Vec<u8>)| Some((Uuid::from_slice(&node).ok()?, decode(&message)?));
    fields.into_iter().filter_map(read).collect()
}

fn encode(demand: &Demand) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 + demand.len() * ENTRY_BYTES);
    message.push(LAYOUT);
    for (tenant, events) in demand {
        message.extend_from_slice(&tenant.0.to_le_bytes());
        message.extend_from_slice(&events.to_le_bytes());
    }
    message
}

fn decode(message: &[u8]) -> Option<Demand> {
    let (&LAYOUT, entries) = message.split_first()? else { return None };
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    let entry = |entry: &[u8; ENTRY_BYTES]| {
        let (tenant, events) = entry.split_first_chunk::<8>()?;
        Some((TenantId(i64::from_le_bytes(*tenant)), u32::from_le_bytes(events.try_into().ok()?)))
    };
    if rest.is_empty() { entries.iter().map(entry).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_says_what_was_meant(entries in proptest::collection::hash_map(any::<i64>(), any::<u32>(), 0..50)) {
            let demand: Demand = entries.into_iter().map(|(id, events)| (TenantId(id), events)).collect();
            prop_assert_eq!(decode(&encode(&demand)), Some(demand));
        }

        #[test]
        fn no_message_breaks_the_reader(message in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&message);
        }
    }
}
