use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use schemas::address::AddressPolicy;

use super::{HEAD, Head};
use crate::directory::Directory;
use crate::directory::keys::KeyEntry;
use crate::tenant::Tenant;

/// Only the owner may read it.
const MODE: u32 = 0o600;

/// Writes everything, and puts it in the place of what was there.
pub(super) fn to_file(directory: &Directory, head: &Head, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    // Of a process that was killed while it wrote; it might have other rights.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
    let mut to = Summed { to: BufWriter::with_capacity(1 << 16, file), crc: 0 };
    write(directory, head, &mut to)?;
    let file = to.to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// No lock is held while bytes are written: keys are copied by the chunk.
fn write(directory: &Directory, head: &Head, to: &mut Summed<impl Write>) -> io::Result<()> {
    to.write_all(HEAD)?;
    to.write_all(&head.saved_at.0.to_le_bytes())?;
    to.text(&head.log)?;
    to.write_all(&u32::try_from(head.ends.len()).unwrap_or(u32::MAX).to_le_bytes())?;
    for end in &head.ends {
        to.write_all(&end.to_le_bytes())?;
    }
    let mut bytes = Vec::new();
    let tenants: Vec<Arc<Tenant>> = directory.entries.read().tenants.values().cloned().collect();
    for known in &tenants {
        bytes.clear();
        tenant(known, &mut bytes);
        to.write_all(&bytes)?;
    }
    let mut keys = 0_u64;
    for number in 0.. {
        bytes.clear();
        match directory.entries.read().keys.chunk(number) {
            Some(chunk) => chunk.iter().for_each(|entry| key(entry, &mut bytes)),
            None => break,
        }
        keys += u64::try_from(bytes.len() / KEY_BYTES).unwrap_or(0);
        to.write_all(&bytes)?;
    }
    to.write_all(b"E")?;
    to.write_all(&keys.to_le_bytes())?;
    to.write_all(&u64::try_from(tenants.len()).unwrap_or(0).to_le_bytes())?;
    let crc = to.crc;
    to.write_all(&crc.to_le_bytes())?;
    to.flush()
}

/// A key as it is written, its letter included.
const KEY_BYTES: usize = 1 + 8 * 4 + 1 + 32;

fn key(entry: &KeyEntry, bytes: &mut Vec<u8>) {
    bytes.push(b'K');
    for number in [entry.id.number(), entry.tenant.id.0, entry.project.0, entry.expires_at.0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.push(u8::from(entry.revoked));
    bytes.extend_from_slice(&entry.hash.0);
}

/// A limit that is not there is -1.
fn tenant(tenant: &Tenant, bytes: &mut Vec<u8>) {
    let terms = tenant.terms.read().clone();
    bytes.push(b'T');
    bytes.extend_from_slice(&tenant.id.0.to_le_bytes());
    bytes.push(u8::from(terms.active));
    bytes.extend_from_slice(&terms.quota.unwrap_or(-1).to_le_bytes());
    bytes.extend_from_slice(&terms.rate.map_or(-1, i64::from).to_le_bytes());
    let zone = terms.zone.name();
    bytes.push(u8::try_from(zone.len()).unwrap_or(0));
    bytes.extend_from_slice(zone.as_bytes());
    bytes.push(match terms.client_ip {
        AddressPolicy::Full => b'F',
        AddressPolicy::Truncated => b'T',
        AddressPolicy::None => b'N',
    });
}

/// Sums up what goes through it.
struct Summed<W> {
    to: W,
    crc: u32,
}

impl<W: Write> Summed<W> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.write_all(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
