//! Rules of the house that the compiler does not hold.
//!
//! # Circles
//! Arrows point down, within a crate, too. A module is a box with all modules inside it, `foo.rs` with `foo/`. At each
//! level of a crate, boxes that stand side by side must not import each other in a circle, whether from the box's own
//! file or from deep inside. What a module and those inside it take from each other is no circle: they are one piece,
//! cut into files. An import through a re-export counts for the module that holds the thing. Tests do not count.
//!
//! Imports are read from the text: `use` items, and paths that begin with `crate::` or `super::`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// `["dead", "replay"]` for `src/dead/replay.rs`; nothing for the crate itself.
type Module = Vec<String>;

/// A crate's modules, with what each imports: paths as they are written, and the name under which it is known here.
struct Imports(BTreeMap<Module, Vec<(Vec<String>, String)>>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn members() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, list) = manifest.split_once("members = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Imports {
    fn of(source: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![(source.to_owned(), Module::new())];
        while let Some((folder, path)) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let entry = entry.unwrap().path();
                let name = entry.file_stem().unwrap().to_str().unwrap().to_owned();
                let inner: Module = path.iter().cloned().chain([name.clone()]).collect();
                if name == "tests" {
                } else if entry.is_dir() {
                    folders.push((entry, inner));
                } else if entry.extension().is_some_and(|ending| ending == "rs") {
                    let module =
                        if path.is_empty() && name == "lib" || name == "main" { path.clone() } else { inner };
                    modules.insert(module, imports(&fs::read_to_string(&entry).unwrap()));
                }
            }
        }
        Self(modules)
    }

    /// The module in which the thing is that `path`, written in `module`, names: nothing if it is another crate's.
    fn holder(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut at = module.clone();
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            rest = others;
        }
        let is_local = rest.len() < path.len();
        while let Some((first, others)) = rest.split_first() {
            let inner: Module = at.iter().cloned().chain([first.clone()]).collect();
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, others);
                continue;
            }
            let again = self.0.get(&at).and_then(|uses| uses.iter().find(|(_, name)| name == first));
            return match again {
                Some((other, _)) if depth < 8 && other.as_slice() != path => {
                    self.holder(&at, other, depth + 1)
                }
                _ => (is_local || at != *module).then_some(at),
            };
        }
        Some(at)
    }

    /// By module: of those inside it that stand side by side, who imports whom.
    fn arrows(&self) -> BTreeMap<Module, BTreeSet<(String, String)>> {
        let mut arrows: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
        for (module, uses) in &self.0 {
            for (path, _) in uses {
                let Some(holder) = self.holder(module, path, 0) else { continue };
                let common = module.iter().zip(&holder).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (module.get(common), holder.get(common)) {
                    let level = arrows.entry(module[..common].to_vec()).or_default();
                    level.insert((from.clone(), to.clone()));
                }
            }
        }
        arrows
    }
}

/// What a file imports, without its tests.
fn imports(text: &str) -> Vec<(Vec<String>, String)> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut others = String::new();
    for item in code.split_inclusive(';') {
        let at = item.rfind("use ").filter(|at| {
            let before = item[..*at].trim_end_matches(|c| c != '\n').trim_end_matches('\n');
            let same_line = item[before.len()..*at].trim();
            same_line.is_empty() || same_line.starts_with("pub")
        });
        match at {
            Some(at) => {
                expand(&item[at + 4..].replace(';', ""), &[], &mut found);
                others.push_str(&item[..at]);
            }
            None => others.push_str(item),
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in others.match_indices(start) {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            if !others[..at].ends_with(word) {
                let path: String = others[at..].chars().take_while(|c| word(*c)).collect();
                let path: Vec<String> =
                    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
                found.push((path, String::new()));
            }
        }
    }
    found
}

/// `a::{b, c as d}` as `a::b` and `a::c`, with the names `b` and `d`.
fn expand(tree: &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut depth = 0;
    let parts = tree.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (head, inner) =
            part.split_once('{').map_or((part, None), |(head, inner)| (head, inner.rsplit_once('}')));
        let (head, name) = head.split_once(" as ").unwrap_or((head, ""));
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        match inner {
            Some((inner, _)) => expand(inner, &path, found),
            None => {
                path.retain(|part| part != "self" || before.is_empty());
                let name =
                    if name.is_empty() { path.last().cloned().unwrap_or_default() } else { name.to_owned() };
                found.push((path, name));
            }
        }
    }
}

/// Names that reach themselves along the arrows.
fn on_circles(arrows: &BTreeSet<(String, String)>) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (name, _) in arrows {
        let (mut reached, mut next) = (BTreeSet::new(), vec![name.as_str()]);
        while let Some(at) = next.pop() {
            let onward = arrows.iter().filter(|(from, _)| from == at).map(|(_, to)| to.as_str());
            next.extend(onward.filter(|to| reached.insert(*to)));
        }
        if reached.contains(name.as_str()) {
            found.insert(name.as_str());
        }
    }
    found
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for member in members() {
        let imports = Imports::of(&root().join(&member).join("src"));
        assert!(!imports.0.is_empty(), "{member} has no modules");
        for (level, arrows) in imports.arrows() {
            let names = on_circles(&arrows);
            let among = |name: &String| names.contains(name.as_str());
            for (from, to) in arrows.iter().filter(|(from, to)| among(from) && among(to)) {
                circles.push(format!("{member}/src/{}: {from} -> {to}", level.join("/")));
            }
        }
    }
    assert!(circles.is_empty(), "modules import each other in circles:\n{}", circles.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "//! use crate::no;\npub use a::{self, B, c::D as E};\nuse crate::f::{\n    g,\n};\nfn h() { \
        super::i::j(); }\n#[cfg(test)]\nmod tests { use crate::no; }";
    let found: Vec<String> =
        imports(text).into_iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect();
    assert_eq!(found, ["a a", "a::B B", "a::c::D E", "crate::f::g g", "super::i::j "]);
    let arrows = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect::<BTreeSet<_>>()
    };
    assert!(on_circles(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(on_circles(&arrows(&[("a", "b"), ("b", "c"), ("c", "b")])), BTreeSet::from(["b", "c"]));
}

/// Every Rust file below the folder, with its path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn the_sql_of_a_table_stands_in_the_file_of_its_name() {
    // What makes the tables; a check that relies on nothing of what it checks.
    let elsewhere = ["service/src/migrate.rs", "weir/src/command/load.rs"];
    let mut strays = Vec::new();
    for crate_ in ["admin-api", "billing", "ingest", "processor", "service", "weir/src"] {
        for (name, text) in sources(crate_) {
            let is_test = name.contains("/tests/") || name.contains("/benches/");
            if is_test || name.contains("/src/db/") || elsewhere.iter().any(|path| name.starts_with(path)) {
                continue;
            }
            let has_sql = ["sqlx::query", ".query(\"", ".query(\n", ".query(&format"]
                .iter()
                .any(|call| text.contains(call));
            if has_sql {
                strays.push(name);
            }
        }
    }
    assert!(strays.is_empty(), "SQL outside of src/db/: {strays:?}");
}

#[test]
fn a_test_that_sleeps_says_why() {
    let (mut silent, sleep) = (Vec::new(), concat!("time::", "sleep("));
    for folder in ["testkit", "weir/tests", "billing", "admin-api", "service/tests"] {
        for (name, text) in sources(folder) {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (number, pair) in (2..).zip(lines.windows(2)) {
                if pair[1].contains(sleep) && !pair[0].starts_with("//") {
                    silent.push(format!("{name}:{number}"));
                }
            }
        }
    }
    assert!(silent.is_empty(), "wait for something (`eventually`), or say why not: {silent:?}");
}
