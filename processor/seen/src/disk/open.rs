//! Opening what is on disk, or finding out why it can't be used.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::{Condvar, Mutex};

use super::{Disk, Work};
use crate::background::Background;
use crate::folder::Folder;
use crate::hours::Hours;
use crate::manifest::{Binding, MANIFEST, Manifest};
use crate::memory::Memory;
use crate::run::Run;

/// Opens the store of a partition, empty if what is there can't be used, with what its manifest says.
///
/// # Errors
/// If the file system does not let us have a folder.
pub(crate) fn open(
    root: &Path,
    binding: &Binding,
    memory: &Arc<Memory>,
    background: Background,
    smallest: u64,
) -> io::Result<(Arc<Disk>, Manifest)> {
    let folder = Folder::take(root, binding.partition)?;
    let (manifest, runs) = match load(&folder, binding, memory) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => empty(binding),
        Err(reason) => {
            tracing::warn!(
                partition = binding.partition,
                folder = %folder.path().display(),
                reason,
                "the ids on disk can't be used: they are read from ClickHouse again"
            );
            folder.clear()?;
            empty(binding)
        }
    };
    let kept: Vec<u64> = runs.iter().map(|run| run.number).collect();
    folder.remove_runs_but(&kept)?;
    let disk = Disk {
        folder,
        memory: Arc::clone(memory),
        background,
        runs: Mutex::new(Arc::new(runs)),
        manifest: Mutex::new(manifest.clone()),
        next_run: AtomicU64::new(manifest.next_run),
        keep_from: AtomicU64::new(manifest.hours.keep_from),
        span: AtomicI64::new(i64::MIN),
        smallest,
        work: Mutex::new(Work::default()),
        changed: Condvar::new(),
    };
    Ok((Arc::new(disk), manifest))
}

type Loaded = (Manifest, Vec<Arc<Run>>);

fn empty(binding: &Binding) -> Loaded {
    let hours = Hours::default();
    (Manifest { binding: binding.clone(), holds_below: 0, hours, next_run: 1, runs: Vec::new() }, Vec::new())
}

/// `Ok(None)`: there is nothing yet. The error says why what is there can't be used.
fn load(folder: &Folder, binding: &Binding, memory: &Arc<Memory>) -> Result<Option<Loaded>, String> {
    let text = match fs::read(folder.path().join(MANIFEST)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let runs = folder.runs().map_err(|error| error.to_string())?;
            return if runs.is_empty() { Ok(None) } else { Err("its manifest is missing".to_owned()) };
        }
        Err(error) => return Err(format!("its manifest can't be read: {error}")),
    };
    let mut manifest = Manifest::parse(&text)?;
    check(&manifest, binding)?;
    manifest.binding = binding.clone();
    let mut runs = Vec::with_capacity(manifest.runs.len());
    for listed in &manifest.runs {
        let wrong = |why: &str| format!("its run {} can't be used: {why}", listed.number);
        let run = Run::open(&folder.run(listed.number), listed.number, listed.span, memory);
        let run = run.map_err(|error| wrong(&error.to_string()))?;
        if run.header.crc() != listed.header_crc {
            return Err(wrong("it is not the one that the manifest names"));
        }
        runs.push(Arc::new(run));
    }
    Ok(Some((manifest, runs)))
}

fn check(manifest: &Manifest, binding: &Binding) -> Result<(), String> {
    let found = &manifest.binding;
    if found.log != binding.log {
        return Err(format!("they are of the log {}, and the log here is {}", found.log, binding.log));
    }
    if found.partition != binding.partition {
        return Err(format!("they are of partition {}", found.partition));
    }
    if found.generation != binding.generation {
        return Err(format!(
            "ids became known behind the cursor (generation {}, and here is {})",
            binding.generation, found.generation
        ));
    }
    if found.window_hours < binding.window_hours {
        return Err(format!(
            "they go back {} hours, and {} are asked for",
            found.window_hours, binding.window_hours
        ));
    }
    if manifest.holds_below == 0 {
        return Err("it was not filled to its end".to_owned());
    }
    let numbers: BTreeSet<u64> = manifest.runs.iter().map(|run| run.number).collect();
    if numbers.len() != manifest.runs.len() || numbers.last().is_some_and(|last| *last >= manifest.next_run) {
        return Err("its manifest names a run twice".to_owned());
    }
    Ok(())
}
