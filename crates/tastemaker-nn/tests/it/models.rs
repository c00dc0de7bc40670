//! Where pre-trained models are.

use std::path::{Path, PathBuf};

/// The folder of a pre-trained model, or `None`, said loudly, where there is none.
#[expect(clippy::disallowed_methods, reason = "tests find the models through the environment")]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn model(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("TASTEMAKER_MODELS")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("TASTEMAKER_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!required, "{} is not there and TASTEMAKER_REQUIRE_DATA=1", path.display());
    eprintln!("SKIPPED: {} is not there; run scripts/fetch-models.sh", path.display());
    None
}
