//! Every byte of every file.

use std::fs;
use std::path::{Path, PathBuf};

use schemas::id::Position;
use tempfile::TempDir;

use super::{IdStores, again, event, events, new_store, see_one, stores};

const IDS: u64 = 40;

/// A small store on disk, with the bytes of its files.
fn small_store(stores: &IdStores, root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut store = new_store(stores);
    store.see(&events(0..IDS, 1)).unwrap();
    store.flush().unwrap();
    drop(store);
    let files = fs::read_dir(root.join("0")).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// What became of a store with these files.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Dropped,
    FailedAndDropped,
    Right,
}

fn open_and_ask(stores: &IdStores) -> Ended {
    let opened = stores.open(0, 0).unwrap();
    let mut store = opened.store;
    if opened.holds_below.is_none() {
        assert_eq!(store.len(), 0);
        return Ended::Dropped;
    }
    store.filled(Position::from_number(IDS + 1)).unwrap();
    match store.see(&events(0..IDS + 20, 1_000)) {
        Ok(answers) => {
            let expected: Vec<bool> = (0..IDS + 20).map(|n| n < IDS).collect();
            assert_eq!(answers, expected);
            Ended::Right
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
            assert!(store.see(&[]).is_ok() && store.see(&events(0..1, 2_000)).is_err(), "and it stays so");
            drop(store);
            assert_eq!(stores.open(0, 0).unwrap().holds_below, None);
            Ended::FailedAndDropped
        }
    }
}

#[test]
fn every_changed_byte_is_noticed_or_harmless() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let files = small_store(&stores, folder.path());
    assert_eq!(files.len(), 2);
    let (mut dropped, mut failed, mut harmless) = (0, 0, 0);
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            for (other, bytes) in &files {
                fs::write(other, bytes).unwrap();
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(path, changed).unwrap();
            match open_and_ask(&stores) {
                Ended::Dropped => dropped += 1,
                Ended::FailedAndDropped => failed += 1,
                Ended::Right => harmless += 1,
            }
        }
    }
    // The header, the filter, the index and the manifest; the block; the room between filter and block.
    let manifest: usize = files.iter().map(|(_, bytes)| bytes.len()).min().unwrap();
    let filter = 2 * 64;
    assert_eq!((dropped, failed, harmless), (4_096 + filter + 8 + manifest, 4_096, 4_096 - filter));
}

#[test]
fn every_file_that_was_cut_is_noticed() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let files = small_store(&stores, folder.path());
    for (path, bytes) in &files {
        for len in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
            for (other, bytes) in &files {
                fs::write(other, bytes).unwrap();
            }
            fs::write(path, &bytes[..len]).unwrap();
            assert_eq!(open_and_ask(&stores), Ended::Dropped, "{} cut at {len}", path.display());
        }
        for (other, bytes) in &files {
            fs::write(other, bytes).unwrap();
        }
        fs::remove_file(path).unwrap();
        assert_eq!(open_and_ask(&stores), Ended::Dropped, "without {}", path.display());
    }
    for (other, bytes) in &files {
        fs::write(other, bytes).unwrap();
    }
    assert_eq!(open_and_ask(&stores), Ended::Right);
}

#[test]
fn a_run_of_another_store_is_not_taken_for_its_own() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let stores_of_ours = stores(&ours);
    let files = small_store(&stores_of_ours, &ours);
    small_store(&stores(&theirs), &theirs);
    let (run, _) = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    fs::copy(theirs.join("0").join(run.file_name().unwrap()), run).unwrap();
    assert_eq!(open_and_ask(&stores_of_ours), Ended::Dropped);
}

#[test]
fn a_block_that_a_merge_finds_damaged_is_an_error_too() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    let files = small_store(&stores, folder.path());
    let (run, mut bytes) = files.into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    bytes[8_192] ^= 1;
    fs::write(run, bytes).unwrap();
    let mut store = again(&stores);
    let noticed = (1..20).find(|round| {
        let ids = event(0, 0).hash.0;
        let far = round * 10_000;
        let seen =
            store.see(&events(far..far + 60, 1)).and_then(|_| store.flush()).and_then(|()| store.settle());
        ids > 0 && seen.is_err()
    });
    assert!(noticed.is_some_and(|round| round > 1), "{noticed:?}");
    drop(store);
    assert_eq!(stores.open(0, 0).unwrap().holds_below, None);
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    small_store(&stores, folder.path());
    for name in ["77.ids", "manifest.tmp"] {
        fs::write(folder.path().join("0").join(name), "half").unwrap();
    }
    let mut store = again(&stores);
    assert!(see_one(&mut store, event(3, 900)));
    assert!(!folder.path().join("0/77.ids").exists());
    store.see(&events(100..200, 1_000)).unwrap();
    store.flush().unwrap();
    assert!(!folder.path().join("0/manifest.tmp").exists());
}

#[test]
fn a_disk_that_takes_nothing_is_an_error_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let stores = stores(folder.path());
    small_store(&stores, folder.path());
    let mut store = again(&stores);
    let (there, away) = (folder.path().join("0"), folder.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let failed = store.see(&events(100..300, 1)).and_then(|_| store.flush());
    assert!(failed.is_err());
    drop(store);
    fs::rename(&away, &there).unwrap();
    let opened = stores.open(0, 0).unwrap();
    assert_eq!(opened.holds_below, Some(Position::from_number(IDS + 1)), "all since is asked for again");
}
