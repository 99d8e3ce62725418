use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use schemas::address::AddressPolicy;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::KeyHash;
use schemas::time::Micros;

use super::{HEAD, HEAD_V1, Head, SavedError};
use crate::directory::Entries;
use crate::directory::keys::KeyEntry;
use crate::tenant::Terms;

/// Longer names than any log has.
const TEXT_BYTES_MAX: u32 = 4_096;
const PARTITIONS_MAX: u32 = 100_000;

/// Reads a whole file, or nothing of it.
pub(super) fn from_file(path: &Path) -> Result<(Head, Entries), SavedError> {
    let mut from = Summed { from: BufReader::with_capacity(1 << 16, File::open(path)?), crc: 0 };
    let found = from.bytes::<{ HEAD.len() }>()?;
    let has_policies = &found == HEAD;
    if !has_policies && &found != HEAD_V1 {
        return Err(if found.starts_with(b"weir directory ") {
            SavedError::Version
        } else {
            SavedError::Damaged
        });
    }
    let head = from.head()?;
    let (mut entries, mut keys) = (Entries::default(), 0_i64);
    loop {
        match from.bytes::<1>()?[0] {
            b'T' => {
                let (id, terms) = from.tenant(has_policies)?;
                entries.put_tenant(id, terms, None);
            }
            b'K' => {
                keys += 1;
                if let Some(entry) = from.key(&entries)? {
                    entries.keys.put(entry);
                }
            }
            b'E' => break,
            _ => return Err(SavedError::Damaged),
        }
    }
    let counts = [from.number()?, from.number()?];
    let crc = from.crc;
    let tenants = i64::try_from(entries.tenants.len()).unwrap_or(-1);
    let is_whole = u32::from_le_bytes(from.bytes()?) == crc && counts == [keys, tenants];
    if is_whole { Ok((head, entries)) } else { Err(SavedError::Damaged) }
}

/// Sums up what goes through it.
struct Summed<R> {
    from: R,
    crc: u32,
}

impl<R: Read> Summed<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SavedError> {
        match self.from.read_exact(bytes) {
            Ok(()) => {
                self.crc = crc32c::crc32c_append(self.crc, bytes);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(SavedError::Damaged),
            Err(error) => Err(error.into()),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], SavedError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<i64, SavedError> {
        Ok(i64::from_le_bytes(self.bytes()?))
    }

    fn flag(&mut self) -> Result<bool, SavedError> {
        match self.bytes::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(SavedError::Damaged),
        }
    }

    fn length(&mut self, most: u32) -> Result<usize, SavedError> {
        let length = u32::from_le_bytes(self.bytes()?);
        if length > most {
            Err(SavedError::Damaged)
        } else {
            usize::try_from(length).map_err(|_| SavedError::Damaged)
        }
    }

    fn text(&mut self, length: usize) -> Result<String, SavedError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| SavedError::Damaged)
    }

    fn head(&mut self) -> Result<Head, SavedError> {
        let saved_at = Micros(self.number()?);
        let length = self.length(TEXT_BYTES_MAX)?;
        let log = self.text(length)?;
        let partitions = self.length(PARTITIONS_MAX)?;
        let end = |_| Ok(u64::from_le_bytes(self.bytes()?));
        let ends = (0..partitions).map(end).collect::<Result<_, SavedError>>()?;
        Ok(Head { saved_at, log, ends })
    }

    fn key(&mut self, entries: &Entries) -> Result<Option<KeyEntry>, SavedError> {
        let id = KeyId::from_number(self.number()?).ok_or(SavedError::Damaged)?;
        let tenant = TenantId(self.number()?);
        let (project, expires_at) = (ProjectId(self.number()?), Micros(self.number()?));
        let (revoked, hash) = (self.flag()?, KeyHash(self.bytes()?));
        let used = AtomicBool::new(false);
        let tenant = entries.tenants.get(&tenant).cloned();
        Ok(tenant.map(|tenant| KeyEntry { id, hash, tenant, project, expires_at, revoked, used }))
    }

    fn tenant(&mut self, has_policy: bool) -> Result<(TenantId, Terms), SavedError> {
        let (id, active) = (TenantId(self.number()?), self.flag()?);
        let (quota, rate) = (self.number()?, self.number()?);
        let length = usize::from(self.bytes::<1>()?[0]);
        let zone = self.text(length)?.parse().map_err(|_| SavedError::Damaged)?;
        let (quota, rate) = ((quota >= 0).then_some(quota), u32::try_from(rate).ok());
        let client_ip = match if has_policy { self.bytes::<1>()?[0] } else { b'F' } {
            b'F' => AddressPolicy::Full,
            b'T' => AddressPolicy::Truncated,
            b'N' => AddressPolicy::None,
            _ => return Err(SavedError::Damaged),
        };
        Ok((id, Terms { active, quota, rate, zone, client_ip }))
    }
}
