//! Arbitrary and mutated bytes through every reader: never a panic, and every error names the
//! file. `corpus/` keeps inputs that were once of interest; each goes through all readers.

use std::path::Path;

use proptest::prelude::*;
use tastemaker_core::prepare::{self, PrepareOptions};
use tastemaker_core::sources::{
    AmazonReviews, AnySource, Movielens, PreparedFolder, Recbole, RecboleSequences, SequenceLines,
    Synthetic, Table, detect,
};

const INTER: &[u8] = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                       u1\ta\t4.5\t100\nu2\tb\t3\t50\nu1\tb\t1\t101\n";
const ITEM: &[u8] =
    b"item_id:token\ttitle:token_seq\tclass:token_seq\tv:float_seq\nb\tThe End\tDrama\t1 2\n";
const HISTORIES: &[u8] =
    b"user_id:token\titem_id_list:token_seq\titem_id:token\nu\ta b\tc\nu\ta\tb\n";
const LINES: &[u8] = b"u1 a b c\nu2 b\n";
const ATTRIBUTES: &[u8] = b"{\"a\": [1, 2], \"b\": [\"x\"]}";
const TEXTS: &[u8] = b"a red soap\nb\n";
const COLONS: &[u8] = b"1::10::4::978300760\n2::10::5::978300761\n";
const REVIEWS: &[u8] =
    b"{\"reviewerID\": \"u\", \"asin\": \"i\", \"overall\": 5.0, \"unixReviewTime\": 1}\n";
const CSV: &[u8] =
    b"user,item,rating,timestamp,title\r\n1,2,3,4,\"a, \"\"b\"\"\"\r\n2,2,3,2016-08-08,x\r\n";
const JSONL: &[u8] =
    b"{\"user\": 1, \"item\": [\"x\"], \"title\": null}\n{\"user\": 2, \"item\": \"y\"}\n";

/// A file's name with valid content, and the source that reads it.
type Case = (&'static str, &'static [u8], fn(&Path) -> AnySource);

/// Every reader with a valid file; the files beside it are written too.
fn cases() -> Vec<Case> {
    vec![
        ("s.inter", INTER, |path| AnySource::Recbole(Recbole::at(path))),
        ("s.item", ITEM, |path| AnySource::Recbole(Recbole::at(path.with_file_name("s.inter")))),
        ("h.inter", HISTORIES, |path| {
            AnySource::RecboleSequences(RecboleSequences { path: path.to_owned() })
        }),
        ("l.txt", LINES, |path| AnySource::SequenceLines(SequenceLines::at(path))),
        ("l_item2attributes.json", ATTRIBUTES, |path| {
            AnySource::SequenceLines(SequenceLines::at(path.with_file_name("l.txt")))
        }),
        ("textual_ids.txt", TEXTS, |path| {
            let texts = Some(path.to_owned());
            let lines = SequenceLines::at(path.with_file_name("l.txt"));
            AnySource::SequenceLines(SequenceLines { texts, ..lines })
        }),
        ("u.data", b"1\t7\t5\t881250949\n", movielens),
        ("u.item", b"7|Mis\xe9rables (1995)|01-Jan-1995||http://x|0|1\n", |path| {
            movielens(&path.with_file_name("u.data"))
        }),
        ("u.genre", b"unknown|0\nDrama|1\n", |path| movielens(&path.with_file_name("u.data"))),
        ("u.user", b"1|24|M|technician|85711\n", |path| movielens(&path.with_file_name("u.data"))),
        ("ratings.dat", COLONS, movielens),
        ("movies.dat", b"10::Heat (1995)::Action|Crime\n", |path| {
            movielens(&path.with_file_name("ratings.dat"))
        }),
        ("users.dat", b"1::F::1::10::48067\n", |path| {
            movielens(&path.with_file_name("ratings.dat"))
        }),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,3,4.0,9\n", movielens),
        ("movies.csv", b"movieId,title,genres\n3,\"Odd, (1995)\",A|B\n", |path| {
            movielens(&path.with_file_name("ratings.csv"))
        }),
        ("r.json", REVIEWS, |path| {
            AnySource::AmazonReviews(AmazonReviews {
                path: path.to_owned(),
                metadata: None,
                reviews: false,
            })
        }),
        ("meta_r.json", b"{\"asin\": \"i\", \"title\": \"T\", \"category\": [\"X\"]}\n", |path| {
            let path = path.with_file_name("r.json");
            AnySource::AmazonReviews(AmazonReviews { path, metadata: None, reviews: false })
        }),
        ("t.csv", CSV, table),
        ("t.jsonl", JSONL, table),
        ("t.parquet", &[], table),
    ]
}

fn movielens(path: &Path) -> AnySource {
    AnySource::Movielens(Movielens { path: path.to_owned() })
}

fn table(path: &Path) -> AnySource {
    AnySource::Table(Table { path: path.to_owned(), ..Table::default() })
}

/// A Parquet file, which cannot be written by hand.
fn parquet() -> Vec<u8> {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(make_parquet).clone()
}

fn make_parquet() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = AnySource::Synthetic(Synthetic { users: 3, ..Synthetic::default() });
    let prepared = prepare::prepare(&source, &PrepareOptions::default()).unwrap();
    prepare::write(&prepared, &folder.path().join("p"), false).unwrap();
    fs_err::read(folder.path().join("p/interactions.parquet")).unwrap()
}

/// A folder with all valid files.
fn valid_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        fs_err::write(folder.path().join(case.0), valid(&case)).unwrap();
    }
    folder
}

/// The valid content of the file of `case`.
fn valid(case: &Case) -> Vec<u8> {
    if case.0 == "t.parquet" { parquet() } else { case.1.to_vec() }
}

/// Reads the file of `case` with `bytes` in it, among valid files in `folder`: data, or an error
/// that names a file.
fn read(folder: &Path, case: &Case, bytes: &[u8]) -> Result<(), TestCaseError> {
    let path = folder.join(case.0);
    fs_err::write(&path, bytes).unwrap();
    let results = [
        prepare::prepare(&case.2(&path), &PrepareOptions::default()).map(|_| ()),
        detect(&path, &Table::default()).map(|_| ()),
    ];
    fs_err::write(&path, valid(case)).unwrap();
    for error in results.into_iter().filter_map(Result::err) {
        let words = error.to_string();
        let named = words.contains(&folder.display().to_string());
        prop_assert!(named, "{} does not name the file: {words}", case.0);
    }
    Ok(())
}

/// Changes that break formats: bytes replaced, cut out, repeated, put in.
fn mutate(mut bytes: Vec<u8>, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\t\n\r ,:|\"'{}[]0-.eN\xff\x00\xc3\x1f";
    for &(place, what, how) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = place % bytes.len();
        let special = SPECIAL[what as usize % SPECIAL.len()];
        match how % 5 {
            0 => bytes[at] = what,
            1 => bytes[at] = special,
            2 => bytes.insert(at, special),
            3 => bytes.truncate(at),
            _ => {
                let end = (at + what as usize % 16).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

#[test]
fn valid_files_are_read() {
    let folder = valid_folder();
    for case in cases() {
        let source = case.2(&folder.path().join(case.0));
        let read = prepare::prepare(&source, &PrepareOptions::default());
        assert!(read.is_ok(), "{}: {}", case.0, read.unwrap_err());
    }
}

#[test]
fn a_file_that_is_not_there_is_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        let path = folder.path().join(case.0);
        let read = prepare::prepare(&case.2(&path), &PrepareOptions::default());
        let error = read.unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let all: Vec<String> = causes.map(ToString::to_string).collect();
        let said = all.join(": ");
        let is_said = said.contains("does not exist") || said.contains("No such file");
        assert!(is_said && said.contains(&*folder.path().to_string_lossy()), "{}: {said}", case.0);
    }
}

#[test]
fn the_corpus_goes_through_every_reader() {
    let folder = valid_folder();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus");
    let mut inputs: Vec<_> =
        fs_err::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10);
    for input in inputs {
        let bytes = fs_err::read(&input).unwrap();
        for case in cases() {
            read(folder.path(), &case, &bytes).unwrap();
        }
    }
}

#[test]
fn a_gzip_file_cut_anywhere_names_file_and_line() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(INTER).unwrap();
    let packed = packed.finish().unwrap();
    let path = folder.path().join("s.inter.gz");
    for end in 2..packed.len() {
        fs_err::write(&path, &packed[..end]).unwrap();
        let source = AnySource::Recbole(Recbole::at(&path));
        let error = prepare::prepare(&source, &PrepareOptions::default()).unwrap_err().to_string();
        assert!(error.contains("s.inter.gz, line ") && error.contains("truncated"), "{error}");
    }
}

#[test]
fn a_prepared_folder_with_foreign_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("manifest.json"), b"\xff\xfe").unwrap();
    let source = AnySource::Prepared(PreparedFolder { path: folder.path().to_owned() });
    let error = prepare::prepare(&source, &PrepareOptions::default()).unwrap_err().to_string();
    assert!(error.contains("manifest.json"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = valid_folder();
        for case in cases() {
            read(folder.path(), &case, &bytes)?;
        }
    }

    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        let folder = valid_folder();
        for case in cases() {
            read(folder.path(), &case, &mutate(valid(&case), &changes))?;
        }
    }
}
