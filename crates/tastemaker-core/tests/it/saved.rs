//! The prepared folder.

use std::path::Path;

use tastemaker_core::prepare::{self, PrepareOptions, Prepared};
use tastemaker_core::sources::{
    self, AmazonReviews, AnySource, Demo, PreparedFolder, Recbole, Synthetic,
};

/// A small data set that has everything: times, values, all kinds of attributes, a graph.
fn everything(folder: &Path) -> Prepared {
    for (name, text) in [
        (
            "s.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ta\t1\t5\nu\tb\t2\t4\n",
        ),
        ("s.item", "item_id:token\ttitle:token_seq\tkind:token_seq\tyear:float\na\tÄ\tx y\t1999\n"),
        ("s.user", "user_id:token\tage:float\tjob:token\nu\t31\tclerk\n"),
        ("s.kg", "head_id:token\trelation_id:token\ttail_id:token\nm\tby\tn\n"),
        ("s.link", "item_id:token\tentity_id:token\nb\tm\n"),
    ] {
        fs_err::write(folder.join(name), text).unwrap();
    }
    prepare::prepare(&AnySource::Recbole(Recbole::at(folder)), &PrepareOptions::default()).unwrap()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into(), fs_err::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// A line of Amazon's reviews.
fn review(user: &str, item: &str, time: u32, text: &str) -> String {
    let ids = format!("\"reviewerID\": {user:?}, \"asin\": {item:?}, \"reviewText\": {text:?}");
    format!("{{{ids}, \"overall\": 4, \"unixReviewTime\": {time}}}\n")
}

#[test]
fn what_is_read_back_is_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let synthetic = AnySource::Synthetic(Synthetic { users: 50, ..Synthetic::default() });
    let demo = AnySource::Demo(Demo::default());
    let path = folder.path().join("r.json");
    let lines = [review("u", "a", 9, "later"), review("u", "b", 3, ""), review("v", "a", 5, "v's")];
    fs_err::write(&path, lines.concat()).unwrap();
    let reviews = AnySource::AmazonReviews(AmazonReviews { path, metadata: None, reviews: true });
    let of = |source| prepare::prepare(source, &PrepareOptions::default()).unwrap();
    for (number, prepared) in
        [everything(folder.path()), of(&synthetic), of(&demo), of(&reviews)].into_iter().enumerate()
    {
        let out = folder.path().join(format!("out{number}"));
        let manifest = prepare::write(&prepared, &out, false).unwrap();
        let read = prepare::read(&out).unwrap();
        assert_eq!(read.dataset, prepared.dataset);
        assert_eq!(read.manifest, manifest);
        // And as a source: as it is, and through the steps once more.
        let source = AnySource::Prepared(PreparedFolder { path: out });
        assert_eq!(sources::load(&source, &PrepareOptions::default()).unwrap().0, prepared.dataset);
        let options = PrepareOptions { user_core: 1, ..PrepareOptions::default() };
        let again = sources::load(&source, &options).unwrap().0;
        assert_eq!(again.interactions.len(), prepared.dataset.interactions.len());
    }
}

#[test]
fn what_was_written_stays_with_its_interaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    let lines =
        [review("u", "a", 9, "later"), review("v", "a", 5, "v's"), review("u", "b", 3, "first")];
    fs_err::write(&path, lines.concat()).unwrap();
    let of = |reviews| {
        let source = AmazonReviews { path: path.clone(), metadata: None, reviews };
        let source = AnySource::AmazonReviews(source);
        prepare::prepare(&source, &PrepareOptions::default()).unwrap().dataset
    };
    let (with, without) = (of(true), of(false));
    let texts: Vec<_> = (0..3).map(|place| with.interactions.text("review", place)).collect();
    assert_eq!(texts, [Some("first"), Some("later"), Some("v's")]);
    assert_eq!(with.interactions.text("summary", 0), None);
    assert_eq!(without.interactions.text("review", 0), None);
    assert_ne!(with.hash, without.hash);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = everything(folder.path());
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    prepare::write(&prepared, &one, false).unwrap();
    prepare::write(&everything(folder.path()), &two, false).unwrap();
    assert_eq!(files(&one), files(&two));
    assert_eq!(files(&one).len(), 8);
}

#[test]
fn damaged_folders_are_refused_and_say_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let prepared = everything(folder.path());
    let damage = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        prepare::write(&prepared, &out, false).unwrap();
        let path = out.join(name);
        let bytes = change(fs_err::read(&path).unwrap());
        fs_err::write(&path, bytes).unwrap();
        let error = prepare::read(&out).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        // Without its manifest the folder is not known as ours and would not be replaced.
        fs_err::remove_dir_all(&out).unwrap();
        error
    };
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 3].to_vec();
    assert!(damage("items.parquet", &cut).contains("bytes long, expected"));
    let flipped = |mut bytes: Vec<u8>| {
        bytes[9] ^= 1;
        bytes
    };
    assert!(damage("users.parquet", &flipped).contains("it was changed"));
    damage("manifest.json", &cut);
    damage("manifest.json", &|_| b"{}".to_vec());
    damage("manifest.json", &|_| b"{\"kind\": \"x\", \"version\": 1}".to_vec());
    let newer = |bytes: Vec<u8>| {
        String::from_utf8(bytes).unwrap().replace("\"version\": 1", "\"version\": 9").into_bytes()
    };
    assert!(damage("manifest.json", &newer).contains("has version 9, expected 1"));
    let error = prepare::read(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn other_peoples_folders_are_not_replaced_and_ours_are() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = everything(folder.path());
    let out = folder.path().join("thesis");
    fs_err::create_dir(&out).unwrap();
    prepare::write(&prepared, &out, false).unwrap(); // empty: nothing to lose
    prepare::write(&prepared, &out, false).unwrap(); // ours
    fs_err::remove_file(out.join("manifest.json")).unwrap();
    let error = prepare::write(&prepared, &out, false).unwrap_err().to_string();
    assert!(error.contains("has other files in it"), "{error}");
    prepare::write(&prepared, &out, true).unwrap();
    let error = prepare::write(&prepared, &folder.path().join("s.inter"), true).unwrap_err();
    assert!(error.to_string().contains("is a file, expected a folder"), "{error}");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = everything(folder.path());
    let blocked = folder.path().join("s.inter").join("below"); // a file is no parent
    assert!(prepare::write(&prepared, &blocked, false).is_err());
    let left = files(folder.path());
    assert!(left.iter().all(|(name, _)| name.starts_with("s.")), "{left:?}");
}
