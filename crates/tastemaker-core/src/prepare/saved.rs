//! The prepared folder: `manifest.json` and Parquet files beside it.

use std::path::Path;

use serde::Deserialize;

use super::manifest::{KIND, Manifest, OutputFile, VERSION};
use super::{Prepared, parquet_columns, tables};
use crate::artifact::{sha256, write_atomically};
use crate::dataset::Dataset;
use crate::error::{Error, Result};

const MANIFEST: &str = "manifest.json";

/// Writes `prepared` as the folder `path`: first under a temporary name beside it, which takes
/// the name only when everything is on disk.
///
/// A folder that was written by this function before is replaced. Any other folder with
/// something in it is only replaced with `overwrite`, and a file never.
///
/// Returns the manifest as it was written, with the files and their hashes.
pub fn write(prepared: &Prepared, path: &Path, overwrite: bool) -> Result<Manifest> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    check_target(path, overwrite)?;
    let absolute = std::path::absolute(path).map_err(failed)?;
    let parent =
        absolute.parent().ok_or_else(|| Error::file(path, "is not the name of a folder"))?;
    fs_err::create_dir_all(parent).map_err(failed)?;
    let temporary = folder_builder().tempdir_in(parent).map_err(failed)?;
    let mut manifest = prepared.manifest.clone();
    manifest.files.clear();
    for (name, columns) in tables::all(&prepared.dataset) {
        let mut bytes = Vec::new();
        parquet_columns::write(&mut bytes, &columns(&prepared.dataset))
            .map_err(|source| failed(std::io::Error::other(source)))?;
        write_atomically(&temporary.path().join(name), |file| {
            std::io::Write::write_all(file, &bytes)
        })
        .map_err(|error| rename(error, path))?;
        manifest.files.push(OutputFile {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        });
    }
    let mut json = serde_json::to_vec_pretty(&manifest)
        .map_err(|source| failed(std::io::Error::other(source)))?;
    json.push(b'\n');
    write_atomically(&temporary.path().join(MANIFEST), |file| {
        std::io::Write::write_all(file, &json)
    })
    .map_err(|error| rename(error, path))?;
    put_in_place(temporary, &absolute).map_err(failed)?;
    Ok(manifest)
}

/// Says the folder the user named instead of the temporary one.
fn rename(error: Error, path: &Path) -> Error {
    match error {
        Error::Write { source, .. } => Error::Write { path: path.to_owned(), source },
        other => other,
    }
}

/// Temporary folders of ours.
fn folder_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tastemaker-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o755));
    }
    builder
}

/// Moves the finished folder to its place; an old one is moved aside first and then removed.
fn put_in_place(finished: tempfile::TempDir, path: &Path) -> std::io::Result<()> {
    let aside = match path.parent() {
        Some(parent) if path.exists() => {
            let aside = folder_builder().tempdir_in(parent)?;
            fs_err::rename(path, aside.path().join("old"))?;
            Some(aside)
        }
        _ => None,
    };
    if let Err(error) = fs_err::rename(finished.path(), path) {
        if let Some(aside) = &aside {
            fs_err::rename(aside.path().join("old"), path)?;
        }
        return Err(error);
    }
    let _ = finished.keep(); // it has its new name: nothing to remove
    Ok(())
}

/// Refuses to replace what is not ours.
fn check_target(path: &Path, overwrite: bool) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if !path.is_dir() {
        return Err(Error::file(path, "is a file, expected a folder or nothing"));
    }
    let failed = |source| Error::read(path, source);
    let empty = fs_err::read_dir(path).map_err(failed)?.next().is_none();
    if empty || overwrite || read_manifest(path).is_ok() {
        return Ok(());
    }
    Err(Error::file(
        path,
        "has other files in it, expected a new folder, an empty one or one with prepared data; \
         choose another or say to overwrite it",
    ))
}

/// Only what says whether the rest can be read.
#[derive(Deserialize)]
struct Header {
    kind: String,
    version: u32,
}

/// Reads the manifest of a prepared folder.
pub fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text = fs_err::read_to_string(&path).map_err(|source| Error::read(&path, source))?;
    let problem =
        |error: serde_json::Error| Error::line(&path, error.line() as u64, error.to_string());
    let header: Header = serde_json::from_str(&text).map_err(|error| {
        let expected = "expected the manifest of a folder with prepared data";
        Error::line(&path, error.line() as u64, format!("{error}; {expected}"))
    })?;
    if header.kind != KIND {
        return Err(Error::file(&path, format!("is of kind {:?}, expected {KIND:?}", header.kind)));
    }
    if header.version != VERSION {
        return Err(Error::file(
            &path,
            format!("has version {}, expected {VERSION}: prepare the data again", header.version),
        ));
    }
    serde_json::from_str(&text).map_err(problem)
}

/// Reads a folder that [`write()`] made; every file must have the size and the hash that the
/// manifest says.
pub fn read(folder: &Path) -> Result<Prepared> {
    if !folder.is_dir() {
        return Err(Error::file(folder, "is not a folder, expected one with prepared data"));
    }
    let manifest = read_manifest(folder)?;
    let dataset = tables::read(folder, &manifest)?;
    let computed = super::hash::content(&dataset);
    if computed != manifest.hash {
        return Err(Error::file(
            folder,
            format!("holds data with hash {computed}, expected {}", manifest.hash),
        ));
    }
    Ok(Prepared { dataset: Dataset { hash: computed, ..dataset }, manifest })
}
