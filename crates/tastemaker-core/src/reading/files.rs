//! Finding files in folders.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files in `folder`, by name.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::read(folder, source);
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file's name without folder; bytes that are not UTF-8 are replaced.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The file's name without folder and without `.gz` or `.zst`.
pub(crate) fn unpacked_name(path: &Path) -> String {
    let name = name(path);
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    bare.map(str::to_owned).unwrap_or(name)
}

/// Whether the file's name, without `.gz` or `.zst`, ends with a dot and `extension`.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    let name = unpacked_name(path);
    name.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(extension))
}

/// The file's name without folder, compression and extension.
pub(crate) fn stem(path: &Path) -> String {
    let name = unpacked_name(path);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name,
    }
}

/// The file `name` in `folder`, plain or else compressed, if it is there.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|packed| folder.join(format!("{name}{packed}")))
        .find(|path| path.is_file())
}

/// The folder a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What the data set at `path` is called: the folder's name, or the file's without extensions.
pub(crate) fn data_set_name(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    if path.is_dir() { name(path) } else { stem(path) }
}

/// The names of `files` for an error message.
pub(crate) fn names(files: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = files.iter().take(SHOWN).map(|path| name(path)).collect();
    if files.is_empty() {
        names.push("no files".to_owned());
    }
    if files.len() > SHOWN {
        names.push(format!("and {} more", files.len() - SHOWN));
    }
    names.join(", ")
}
