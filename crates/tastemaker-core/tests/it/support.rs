//! Where the real data is.

use std::path::{Path, PathBuf};

use tastemaker_core::Dataset;
use tastemaker_core::prepare::{Manifest, PrepareOptions};
use tastemaker_core::sources::{self, AnySource, Table};

/// The file or folder `name` of the real data, or `None`, said loudly, where there is none.
#[expect(clippy::disallowed_methods, reason = "tests find the data through the environment")]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("TASTEMAKER_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("TASTEMAKER_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!required, "{} is not there and TASTEMAKER_REQUIRE_DATA=1", path.display());
    eprintln!(
        "SKIPPED: {} is not there; set TASTEMAKER_DATA to the folder with it",
        path.display()
    );
    None
}

/// Detects, reads and prepares `path`.
pub(crate) fn load(path: &Path, options: &PrepareOptions) -> (Dataset, Manifest) {
    let detected = sources::detect(path, &Table::default()).unwrap();
    sources::load(&detected.source, options).unwrap()
}

/// Users, items and interactions.
pub(crate) fn counts(data: &Dataset) -> (usize, usize, usize) {
    (data.n_users(), data.n_items(), data.interactions.len())
}

/// A table source for text written to a file in `folder`.
pub(crate) fn table(folder: &Path, text: &str) -> AnySource {
    let path = folder.join("t.csv");
    fs_err::write(&path, text).unwrap();
    AnySource::Table(Table { path, ..Table::default() })
}

/// Every user's sequence as outside ids: `u: a b c`.
pub(crate) fn sequences(data: &Dataset) -> Vec<String> {
    let users = data.interactions.users();
    let lines = users.map(|user| {
        let items = data.interactions.sequence(user).iter();
        let items: Vec<&str> = items.map(|item| data.items.id(item.index()).unwrap()).collect();
        format!("{}: {}", data.users.id(user.index()).unwrap(), items.join(" "))
    });
    lines.collect()
}
