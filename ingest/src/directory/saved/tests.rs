use schemas::address::AddressPolicy;
use schemas::id::TenantId;

use super::*;
use crate::tenant::Terms;

const POLICIES: [AddressPolicy; 3] = [AddressPolicy::Full, AddressPolicy::Truncated, AddressPolicy::None];

fn head() -> Head {
    Head { saved_at: Micros(7), log: "log".to_owned(), ends: vec![1, 2] }
}

fn terms(client_ip: AddressPolicy) -> Terms {
    Terms { active: true, quota: Some(5), rate: None, zone: chrono_tz::Tz::UTC, client_ip }
}

#[test]
fn a_copy_keeps_how_much_of_an_address_a_tenant_keeps() {
    let path = tempfile::tempdir().unwrap().path().join("directory");
    let tenants = POLICIES.map(terms);
    let directory = Directory::of((0..).map(TenantId).zip(tenants.clone()), []);
    write::to_file(&directory, &head(), &path).unwrap();
    let (found, entries) = read::from_file(&path).unwrap();
    assert_eq!(found, head());
    for (id, terms) in (0..).map(TenantId).zip(tenants) {
        assert_eq!(*entries.tenants[&id].terms.read(), terms);
    }
}

#[test]
fn a_copy_of_the_version_before_is_read_and_one_of_a_later_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory");
    let directory = Directory::of([(TenantId(1), terms(AddressPolicy::Truncated))], []);
    write::to_file(&directory, &head(), &path).unwrap();
    let written = std::fs::read(&path).unwrap();
    // The tenant's last byte stands before the letter, two counts and the checksum.
    let (before, end) = written.split_at(written.len() - (1 + 8 + 8 + 4));
    let mut old = before[..before.len() - 1].to_vec();
    old.extend_from_slice(&end[..end.len() - 4]);
    old[..HEAD_V1.len()].copy_from_slice(HEAD_V1);
    old.extend_from_slice(&crc32c::crc32c(&old).to_le_bytes());
    std::fs::write(&path, old).unwrap();
    let (_, entries) = read::from_file(&path).unwrap();
    assert_eq!(*entries.tenants[&TenantId(1)].terms.read(), terms(AddressPolicy::Full));

    let mut later = written;
    later[HEAD.len() - 2] = b'3';
    std::fs::write(&path, later).unwrap();
    assert!(matches!(read::from_file(&path), Err(SavedError::Version)));
}
