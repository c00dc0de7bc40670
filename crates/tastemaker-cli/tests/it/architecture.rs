use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Our crates, the lowest first; a crate may depend on those before it only.
const LAYERS: [&str; 7] = [
    "tastemaker-core",
    "tastemaker-endpoint",
    "tastemaker-eval",
    "tastemaker-audit",
    "tastemaker-nn",
    "tastemaker",
    "tastemaker-cli",
];

/// Arrows between neighbours that must not be there all the same.
const FORBIDDEN: [(&str, &str); 5] = [
    ("tastemaker-nn", "tastemaker-eval"),
    ("tastemaker-nn", "tastemaker-audit"),
    ("tastemaker-nn", "tastemaker-endpoint"),
    ("tastemaker-eval", "tastemaker-endpoint"),
    ("tastemaker-audit", "tastemaker-endpoint"),
];

/// Licences under which a dependency can be taken.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Of data: the table of root certificates.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Lines of code a file may have, tests and comments not counted.
const MOST_LINES: usize = 600;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    let manifest = workspace().join("Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".to_owned()])
        .exec()
        .unwrap()
}

/// Every Rust file of our crates, sources and tests.
fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![workspace().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_crate_depends_on_crates_below_it_only() {
    let metadata = metadata();
    let layer = |name: &str| LAYERS.iter().position(|known| *known == name);
    for package in metadata.workspace_packages() {
        let own = layer(&package.name).unwrap_or_else(|| panic!("{} has no layer", package.name));
        for dependency in &package.dependencies {
            if let Some(below) = layer(&dependency.name) {
                assert!(below < own, "{} depends on {}", package.name, dependency.name);
                let arrow = (package.name.as_str(), dependency.name.as_str());
                assert!(!FORBIDDEN.contains(&arrow), "{arrow:?}");
            }
        }
    }
}

#[test]
fn core_eval_and_audit_never_see_the_tensor_library() {
    let metadata = metadata();
    let nodes: BTreeMap<&PackageId, _> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    for name in ["tastemaker-core", "tastemaker-eval", "tastemaker-audit"] {
        let start = metadata.workspace_packages().into_iter().find(|p| p.name == name).unwrap();
        let (mut seen, mut open) = (BTreeSet::new(), vec![&start.id]);
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                assert!(
                    !metadata[id].name.starts_with("candle"),
                    "{name} reaches {}",
                    metadata[id].name
                );
                let normal = nodes[id].deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                });
                open.extend(normal.map(|dependency| &dependency.pkg));
            }
        }
    }
}

#[test]
fn every_dependency_has_a_licence_that_can_be_taken() {
    for package in &metadata().packages {
        let licence = package.license.clone().unwrap_or_default().replace('/', " OR ");
        let can_be_taken = |alternative: &str| {
            let all = alternative.split(" AND ").map(|part| part.trim_matches([' ', '(', ')']));
            all.into_iter().all(|part| LICENCES.contains(&part))
        };
        // "A AND (B OR C)" is read as "(A AND B) OR C", which takes no more than it should where
        // A alone could be taken.
        assert!(licence.split(" OR ").any(can_be_taken), "{} is under {licence:?}", package.name);
    }
}

#[test]
fn unsafe_code_stays_with_the_fused_operations() {
    let word = concat!("unsafe", " {");
    for path in rust_files() {
        let text = fs_err::read_to_string(&path).unwrap();
        if text.contains(word) {
            assert!(
                path.to_string_lossy().contains("tastemaker-nn/src/fused"),
                "{}",
                path.display()
            );
            assert!(text.contains("// SAFETY:"), "{} does not say why", path.display());
        }
    }
}

#[test]
fn the_tensor_crate_names_no_user_and_no_item() {
    for path in rust_files() {
        if path.to_string_lossy().contains("tastemaker-nn/src") {
            let text = fs_err::read_to_string(&path).unwrap();
            for name in ["UserId", "ItemId", "Interactions", "Dataset", "RecQuery"] {
                assert!(!text.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn libraries_do_not_print() {
    for path in rust_files() {
        let library = path.to_string_lossy().contains("/src/")
            && !path.to_string_lossy().contains("tastemaker-cli");
        if library {
            let text = fs_err::read_to_string(&path).unwrap();
            for word in [concat!("println", "!("), concat!("eprintln", "!("), concat!("dbg", "!(")]
            {
                let outside_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!outside_tests.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn files_fit_a_sitting() {
    for path in rust_files() {
        let text = fs_err::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines().filter(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        });
        let n = code.count();
        assert!(n <= MOST_LINES, "{} has {n} lines of code", path.display());
    }
}

#[test]
fn every_table_is_sorted_and_every_entry_has_its_line() {
    for (kind, entries) in tastemaker::tables() {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        assert!(names.is_sorted(), "{kind}: {names:?}");
        for entry in entries {
            assert!(
                entry.summary.ends_with(['.', ')']) && entry.summary.len() < 110,
                "{kind}: {entry:?}"
            );
        }
    }
}

#[test]
fn every_file_of_a_kind_stands_in_its_table() {
    let folders = [
        ("metrics", "crates/tastemaker-eval/src/metrics", ""),
        ("recommenders", "crates/tastemaker/src/recommenders", ""),
        ("objectives", "crates/tastemaker/src/objectives", "next_item pieces yes_no"),
        ("paradigms", "crates/tastemaker/src/paradigms", "item_prompt learns prompt"),
        ("adapters", "crates/tastemaker-nn/src/adapters", "inserted place vectors"),
        ("backbones", "crates/tastemaker-nn/src/backbones", "shape views"),
        ("splits", "crates/tastemaker-core/src/splits", "sets testkit"),
        ("sources", "crates/tastemaker-core/src/sources", ""),
    ];
    let tables: BTreeMap<_, _> = tastemaker::tables().into_iter().collect();
    for (kind, folder, helpers) in folders {
        let entries: BTreeSet<String> =
            tables[kind].iter().map(|entry| entry.name.replace('-', "_")).collect();
        for file in fs_err::read_dir(workspace().join(folder)).unwrap() {
            let path = file.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if stem != "mod" && !helpers.split(' ').any(|helper| helper == stem) {
                assert!(entries.contains(&stem), "{} is in no table of {kind}", path.display());
            }
        }
    }
}

#[test]
fn the_paths_in_the_documents_are_there() {
    let words = |text: &str| -> Vec<String> {
        text.split(['`', '(', ')', ' ', '\n', ',', ';'])
            .map(|word| word.trim_end_matches(['.', ':']).to_owned())
            .collect()
    };
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs_err::read_to_string(workspace().join(document)).unwrap();
        for word in words(&text) {
            let ours = ["crates/", "studies/", "docs/"].iter().any(|start| word.starts_with(start));
            let file = word.split('#').next().unwrap_or_default();
            assert!(!ours || workspace().join(file).exists(), "{document} names {word}");
        }
    }
}

#[test]
fn the_reference_page_is_what_the_tables_say() {
    let mut page = String::from(
        "# Reference: what a study can name\n\nMade from the tables; `UPDATE_DOCS=1 cargo test -p tastemaker-cli` makes it anew.\n",
    );
    for (kind, entries) in tastemaker::tables() {
        writeln!(page, "\n## {kind}\n\n| name | what it is | settings, as they are where nothing is said |\n|---|---|---|").unwrap();
        for entry in entries {
            let settings = match tastemaker::usual_settings(kind, entry.name) {
                Some(settings) if settings.as_object().is_some_and(|all| !all.is_empty()) => {
                    format!("`{}`", inline(&settings))
                }
                Some(_) => "–".to_owned(),
                None => "some must be said".to_owned(),
            };
            writeln!(page, "| `{}` | {} | {settings} |", entry.name, entry.summary).unwrap();
        }
    }
    let path = workspace().join("docs/reference/tables.md");
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    let update = std::env::var("UPDATE_DOCS").is_ok();
    if update {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &page).unwrap();
    }
    assert_eq!(fs_err::read_to_string(&path).unwrap_or_default(), page, "run with UPDATE_DOCS=1");
}

/// A table's settings as they are written in a study file, in one line.
fn inline(settings: &serde_json::Value) -> String {
    let pairs = settings.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key} = {}", written(value))).collect::<Vec<_>>().join(", ")
}

fn written(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(all) if all.is_empty() => "{}".to_owned(),
        serde_json::Value::Object(_) => format!("{{ {} }}", inline(value)),
        serde_json::Value::Array(all) => {
            format!("[{}]", all.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

#[test]
fn every_toml_block_in_the_documents_resolves() {
    let mut n = 0;
    let guide = ["paradigms", "quickstart", "study-files", "texts"]
        .map(|page| format!("docs/guide/{page}.md"));
    for document in guide.into_iter().chain(["README.md".to_owned()]) {
        let text = fs_err::read_to_string(workspace().join(&document)).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            tastemaker::study::parse_all(&document, block, &[])
                .unwrap_or_else(|error| panic!("{error}"));
            n += 1;
        }
    }
    assert!(n > 0);
}
