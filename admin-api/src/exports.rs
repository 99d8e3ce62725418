//! Exports under way. Each holds a page in memory for as long as its client takes to read it, so they are counted; and
//! reading a page takes a connection, so few are read at once. No connection is held while a client reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemas::id::TenantId;
use schemas::problem::{Code, Problem};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::reply::Refused;

/// Exports of one tenant at once.
pub(crate) const OF_TENANT_MAX: usize = 2;
/// Exports of a listener of this process at once. The last place is for a tenant that has none.
const ALL_MAX: usize = 16;
/// Pages that are read at once.
const READING_MAX: usize = 2;
/// From its begin to its end: a client that reads slowly, or not at all, does not keep a place.
const WHOLE: Duration = Duration::from_secs(10 * 60);
/// Seconds after which who found no room may ask again.
const RETRY_AFTER: i64 = 10;

/// All exports of a listener.
pub(crate) struct Exports {
    of_tenants: Mutex<HashMap<TenantId, usize>>,
    reading: Semaphore,
}

/// The place of one export. Dropping it gives it back.
pub(crate) struct Exporting {
    exports: Arc<Exports>,
    tenant: TenantId,
    begun: Instant,
}

impl Default for Exports {
    fn default() -> Self {
        Self { of_tenants: Mutex::default(), reading: Semaphore::new(READING_MAX) }
    }
}

impl Exports {
    /// Takes a place for an export of that tenant.
    ///
    /// # Errors
    /// 429, if there is none.
    pub(crate) fn begin(self: &Arc<Self>, tenant: TenantId) -> Result<Exporting, Refused> {
        let mut of_tenants = self.of_tenants.lock();
        let own = of_tenants.get(&tenant).copied().unwrap_or_default();
        let all_max = if own == 0 { ALL_MAX } else { ALL_MAX - 1 };
        if own >= OF_TENANT_MAX || of_tenants.values().sum::<usize>() >= all_max {
            let detail = format!(
                "too many exports at once: a tenant may have {OF_TENANT_MAX}, and all of them {ALL_MAX}"
            );
            return Err(Refused::new(Problem::new(Code::TooManyRequests, detail)).after(RETRY_AFTER));
        }
        of_tenants.insert(tenant, own + 1);
        Ok(Exporting { exports: Arc::clone(self), tenant, begun: Instant::now() })
    }
}

impl Exporting {
    /// Whether it has taken as long as one may, at that time.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WHOLE
    }

    /// A turn to read a page; `None` never comes, since nobody closes the turns.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.exports.reading.acquire().await.ok()
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        let mut of_tenants = self.exports.of_tenants.lock();
        match of_tenants.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(of_tenants.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_and_all_of_them_have_so_many_places_and_not_one_more() {
        let exports = Arc::new(Exports::default());
        let begin = |tenant: i64| exports.begin(TenantId(tenant));
        let mut places: Vec<Exporting> = (0..OF_TENANT_MAX).map(|_| begin(0).unwrap()).collect();
        assert_eq!(begin(0).err().unwrap().problem().code, Code::TooManyRequests);
        for other in OF_TENANT_MAX..ALL_MAX - 1 {
            places.push(begin(i64::try_from(other).unwrap()).unwrap());
        }
        assert!(begin(2).is_err(), "the last place is for a tenant that has none");
        places.push(begin(98).unwrap());
        assert!(begin(99).is_err());
        let (place, second) = (&places[0], Duration::from_secs(1));
        assert!(!place.is_over(place.begun + WHOLE - second) && place.is_over(place.begun + WHOLE));
        places.clear();
        assert!(exports.of_tenants.lock().is_empty());
        assert!(begin(0).is_ok() && begin(99).is_ok());
    }
}
