//! The operator's pages say what the binary does.

use std::path::{Path, PathBuf};

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
fn every_metric_stands_in_the_metrics_page() {
    let page = page("metrics.md");
    let mut metrics = 0;
    for member in ["eventlog", "ingest", "processor/seen", "processor", "processor/proof", "service"] {
        let source = std::fs::read_to_string(root().join(member).join("src/metrics.rs")).unwrap();
        for name in source.split('"').filter(|text| text.starts_with("weir_")) {
            assert!(page.contains(&format!("`{name}`")), "docs/metrics.md has no row for {name}");
            metrics += 1;
        }
    }
    assert!(metrics > 10, "the constants were not found");
}
