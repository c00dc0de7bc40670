//! Which format a file or folder is in.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::reading::files;
use crate::reading::lines::{Encoding, Lines};
use crate::reading::table_file::{Layout, TableFile};
use crate::sources::{
    self, AmazonReviews, AnySource, Demo, Movielens, PreparedFolder, Recbole, RecboleSequences,
    SequenceLines, Synthetic, Table,
};

/// A format that was recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// The source that reads it.
    pub source: AnySource,
    /// What was recognised and by what, in a sentence.
    pub because: String,
}

/// The formats that are recognised, for the message where none is.
const KNOWN: &str = "prepared data (manifest.json), RecBole atomic files (X.inter), MovieLens \
                     (u.data, ratings.dat, ratings.csv), Amazon reviews (JSON lines), one user a \
                     line (text), or a table with a header (CSV, TSV, JSON lines, Parquet)";

/// Finds out what `path` is; `demo` and `synthetic` are the data inside the program where no
/// such path exists.
///
/// `columns` is what was said about the columns of a table (its `path` does not count): whoever
/// says anything has a table.
pub fn detect(path: &Path, columns: &Table) -> Result<Detected> {
    let detected = |source: AnySource, because: String| Ok(Detected { source, because });
    let said = Table { path: PathBuf::new(), ..columns.clone() } != Table::default();
    if !path.exists() {
        return match path.to_str() {
            Some("demo") => detected(
                AnySource::Demo(Demo::default()),
                "demo: readers of Goodreads and their books, inside the program".to_owned(),
            ),
            Some("synthetic") => detected(
                AnySource::Synthetic(Synthetic::default()),
                "synthetic: generated data with a known structure".to_owned(),
            ),
            written => {
                let written = written.unwrap_or_default();
                let hint = crate::suggest::hint(written, ["demo", "synthetic"]);
                Err(Error::file(
                    path,
                    format!(
                        "does not exist, expected a file, a folder, \"demo\" or \"synthetic\"{hint}"
                    ),
                ))
            }
        };
    }
    if said {
        let table = Table { path: path.to_owned(), ..columns.clone() };
        return detected(AnySource::Table(table), "a table, since columns were named".to_owned());
    }
    if path.is_dir() { detect_folder(path) } else { detect_file(path) }
}

/// Finds out what a folder is by the names of its files.
fn detect_folder(folder: &Path) -> Result<Detected> {
    let path = folder.to_owned();
    let all = files::list(folder)?;
    let detected = |source: AnySource, file: &Path, what: &str| {
        Ok(Detected { source, because: format!("{what}, since there is {}", files::name(file)) })
    };
    if let Some(manifest) = files::find(folder, "manifest.json")
        && crate::prepare::read_manifest(folder).is_ok()
    {
        let source = AnySource::Prepared(PreparedFolder { path });
        return detected(source, &manifest, "prepared data");
    }
    if let Some(inter) = all.iter().find(|path| files::has_extension(path, "inter")) {
        return detect_inter(inter, path);
    }
    let movielens = ["u.data", "ratings.dat", "ratings.csv"];
    let rated = movielens.iter().find_map(|name| files::find(folder, name));
    let sampled = || {
        all.iter().find(|path| {
            files::stem(path).starts_with("ratings") && files::has_extension(path, "dat")
        })
    };
    if let Some(ratings) = rated.as_ref().or_else(sampled)
        && (files::stem(ratings) != "ratings" || is_movielens_csv(ratings))
    {
        return detected(AnySource::Movielens(Movielens { path }), ratings, "MovieLens");
    }
    let reviews = all.iter().find(|path| {
        sources::is_json_lines(path)
            && first_line(path).is_some_and(|line| sources::is_review(&line))
    });
    if let Some(reviews) = reviews {
        let source =
            AnySource::AmazonReviews(AmazonReviews { path, metadata: None, reviews: false });
        return detected(source, reviews, "Amazon reviews");
    }
    // Or a folder with only one file that is something.
    let known: Vec<Detected> = all.iter().filter_map(|path| detect_file(path).ok()).collect();
    match known.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::file(
            folder,
            format!("has {}, which is no format that is known: {KNOWN}", files::names(&all)),
        )),
        _ => Err(Error::file(
            folder,
            format!(
                "has {}, of which several could be meant: name one of them",
                files::names(&all)
            ),
        )),
    }
}

/// An `.inter` file has interactions or histories.
fn detect_inter(inter: &Path, path: PathBuf) -> Result<Detected> {
    let name = files::name(inter);
    if sources::has_histories(inter)? {
        let source = AnySource::RecboleSequences(RecboleSequences { path });
        let because = format!("RecBole sequence files, since {name} has item_id_list:token_seq");
        return Ok(Detected { source, because });
    }
    let because = format!("RecBole atomic files, since there is {name}");
    Ok(Detected { source: AnySource::Recbole(Recbole::at(path)), because })
}

/// Whether a `ratings.csv` is MovieLens' (others call theirs so too); other names pass.
fn is_movielens_csv(ratings: &Path) -> bool {
    !files::has_extension(ratings, "csv")
        || first_line(ratings).is_some_and(|line| line.starts_with("userId,movieId,"))
}

/// Finds out what a file is by its name and its first lines.
fn detect_file(path: &Path) -> Result<Detected> {
    let name = files::unpacked_name(path);
    let owned = path.to_owned();
    let detected = |source: AnySource, because: &str| {
        Ok(Detected { source, because: format!("{because}, since this is {name}") })
    };
    if files::has_extension(path, "inter") {
        return detect_inter(path, owned);
    }
    if name == "u.data" || name.starts_with("ratings") && files::has_extension(path, "dat") {
        return detected(AnySource::Movielens(Movielens { path: owned }), "MovieLens");
    }
    if name == "ratings.csv" && is_movielens_csv(path) {
        return detected(AnySource::Movielens(Movielens { path: owned }), "MovieLens");
    }
    if name == "manifest.json" {
        let folder = files::folder_of(path);
        crate::prepare::read_manifest(folder)?;
        let source = AnySource::Prepared(PreparedFolder { path: folder.to_owned() });
        return detected(source, "prepared data");
    }
    if sources::is_json_lines(path)
        && first_line(path).is_some_and(|line| sources::is_review(&line))
    {
        let source =
            AnySource::AmazonReviews(AmazonReviews { path: owned, metadata: None, reviews: false });
        let because = "Amazon reviews, since the first line is one".to_owned();
        return Ok(Detected { source, because });
    }
    if let Ok(file) = TableFile::open(path, &Layout::default())
        && sources::is_interactions(file.columns())
    {
        let columns = file.columns().join(", ");
        let source = AnySource::Table(Table { path: owned, ..Table::default() });
        let because = format!("a table ({}), since it has the columns {columns}", file.format);
        return Ok(Detected { source, because });
    }
    if is_sequence_lines(path)? {
        let source = AnySource::SequenceLines(SequenceLines::at(owned));
        let because = "one user a line, since the lines start with different words and are of \
                       different lengths"
            .to_owned();
        return Ok(Detected { source, because });
    }
    let start = first_line(path).unwrap_or_default();
    let start = crate::reading::lines::quoted(&start);
    Err(Error::file(
        path,
        format!(
            "starts with {start}, which is no format that is known: {KNOWN}; a table whose \
                 columns are called otherwise is read when they are named"
        ),
    ))
}

/// The first line, where the file has one that is text.
fn first_line(path: &Path) -> Option<String> {
    let mut lines = Lines::open(path, Encoding::Utf8).ok()?;
    Some(lines.next_filled().ok()??.text.to_owned())
}

/// How many lines are looked at.
const LOOK: usize = 200;

/// Whether the first lines look like `user item item …`: words separated by single spaces, each
/// line with a first word of its own, and not all of the same length.
fn is_sequence_lines(path: &Path) -> Result<bool> {
    let mut lines = Lines::open(path, Encoding::Utf8)?;
    let (mut users, mut lengths) = (Vec::new(), Vec::new());
    while users.len() < LOOK
        && let Some(line) = lines.next_filled()?
    {
        let words: Vec<&str> = line.text.trim_end().split(' ').collect();
        let plain = |word: &&str| !word.is_empty() && !word.contains(['\t', ',', ';', '{', '"']);
        if words.len() < 2 || !words.iter().all(plain) {
            return Ok(false);
        }
        users.push(words[0].to_owned());
        lengths.push(words.len());
    }
    let n = users.len();
    users.sort_unstable();
    users.dedup();
    lengths.sort_unstable();
    lengths.dedup();
    Ok(n > 0 && users.len() == n && (n == 1 || lengths.len() > 1))
}
