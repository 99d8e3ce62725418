//! The operator's pages say what the binary does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Place;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_stands_in_the_operators_page() {
    let place = Place::new(None).await;
    let settings = place.run_json(&["config"]).await;
    let page = page("operations.md");
    for name in settings.as_object().unwrap().keys() {
        assert!(page.contains(&format!("| `{name}` |")), "docs/operations.md has no row for {name}");
    }
    let known = |name: &&str| settings.get(name).is_none();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let unknown: Vec<&str> =
        rows.filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).filter(known).collect();
    assert!(unknown.is_empty(), "docs/operations.md has rows for {unknown:?}, which are no settings");
}

#[test]
fn defaults_and_meanings_in_the_operators_page_are_those_of_the_binary() {
    let mut config = Command::new(env!("CARGO_BIN_EXE_weir"));
    config.arg("config").env_clear().env("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d");
    let output = config.env("WEIR_OPERATOR_TOKEN", "0".repeat(32)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let page = page("operations.md");
    let mut wrong = Vec::new();
    for pair in lines.chunks(2) {
        let (name, value) = pair[0].split_once('=').unwrap();
        let (meaning, source) = pair[1].trim().rsplit_once(" (").unwrap();
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("| `{name}` | "))).unwrap();
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [_, default, shown] = cells[..] else { panic!("{name} has other cells: {row}") };
        let is_default = match default {
            "must be set" => source == "environment)",
            "not set" | "none" => value.is_empty(),
            // Of another setting.
            "a quarter of that" => !value.is_empty(),
            known => known.trim_matches('`') == value,
        };
        // "as `ANOTHER`" stands for its meaning.
        let is_meant = shown.starts_with("as `") || shown.replace('`', "") == meaning.replace('`', "");
        if !(is_default && is_meant) {
            wrong.push(format!("{name}: {default}, {shown}; in the binary: {value}, {meaning}"));
        }
    }
    assert!(lines.len() > 100, "the settings were not read");
    assert!(wrong.is_empty(), "docs/operations.md has other settings:\n{}", wrong.join("\n"));
}

#[test]
fn every_metric_stands_in_the_metrics_page() {
    let page = page("metrics.md");
    let mut metrics = 0;
    let members = [
        "eventlog",
        "ingest",
        "processor/seen",
        "processor",
        "processor/proof",
        "service",
        "service/jobs",
        "admin-api/notify",
    ];
    for member in members {
        let source = std::fs::read_to_string(root().join(member).join("src/metrics.rs")).unwrap();
        for name in source.split('"').filter(|text| text.starts_with("weir_")) {
            assert!(page.contains(&format!("`{name}`")), "docs/metrics.md has no row for {name}");
            metrics += 1;
        }
    }
    assert!(metrics > 10, "the constants were not found");
}
