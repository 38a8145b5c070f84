//! docs/metrics.md names every metric in the code, and no other.

use std::{collections::BTreeSet, fs, path::Path};

const DOCUMENTED: &str = include_str!("../../../docs/metrics.md");

/// The names between quotes in a source file that look like a metric of ours and are no crate's.
fn names_in(source: &str, crates: &BTreeSet<String>) -> BTreeSet<String> {
    let quoted = source.split('"').filter(|text| text.starts_with("galerie_") || text.starts_with("process_"));
    let is_name = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    quoted.filter(is_name).map(str::to_owned).filter(|name| !crates.contains(name)).collect()
}

fn collect(folder: &Path, crates: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(&entry, crates, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.extend(names_in(&fs::read_to_string(&entry).expect("a source file"), crates));
        }
    }
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    let folders: Vec<_> = fs::read_dir(root).expect("crates").map(|entry| entry.expect("an entry").path()).collect();
    let named =
        |folder: &std::path::PathBuf| format!("galerie_{}", folder.file_name().unwrap_or_default().to_string_lossy());
    let crates: BTreeSet<String> = folders.iter().map(named).collect();
    let mut in_code = BTreeSet::new();
    for folder in &folders {
        collect(&folder.join("src"), &crates, &mut in_code);
    }
    let rows = DOCUMENTED.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert!(in_code.len() > 10, "the code's metrics are not found: {in_code:?}");
    assert_eq!(documented, in_code);
}
