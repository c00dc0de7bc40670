//! Recognising formats.

use std::path::Path;

use tastemaker_core::prepare::{self, PrepareOptions};
use tastemaker_core::sources::{AnySource, Demo, Table, detect};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs_err::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check(files: &[(&str, &str)], expected: Result<&str, &str>) {
    let folder = folder(files);
    match (detect(folder.path(), &Table::default()), expected) {
        (Ok(detected), Ok(name)) => {
            assert_eq!(detected.source.name(), name, "{}", detected.because);
        }
        (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
        (found, expected) => panic!("{files:?}: found {found:?}, expected {expected:?}"),
    }
}

const REVIEW: &str =
    "{\"reviewerID\": \"u\", \"asin\": \"i\", \"overall\": 5.0, \"unixReviewTime\": 1}\n";

#[test]
fn every_format_is_recognised_by_its_files() {
    check(&[("a.inter", "user_id:token\titem_id:token\n")], Ok("recbole"));
    let histories = "user_id:token\titem_id_list:token_seq\titem_id:token\n";
    check(&[("a.inter", histories)], Ok("recbole-sequences"));
    check(&[("u.data", "1\t2\t3\t4\n")], Ok("movielens"));
    check(&[("ratings.dat", "1::2::3::4\n"), ("movies.dat", "")], Ok("movielens"));
    check(&[("ratings.csv", "userId,movieId,rating,timestamp\n")], Ok("movielens"));
    check(&[("ratings.csv", "RatingID,UserID,WineID\n")], Ok("table"));
    check(&[("x.json", REVIEW), ("meta_x.json", "{\"asin\": \"i\"}\n")], Ok("amazon-reviews"));
    check(&[("a.txt", "1 5 6 7\n2 5\n")], Ok("sequence-lines"));
    check(&[("a.tsv", "user\titem\n1\t2\n")], Ok("table"));
    check(&[("a.jsonl", "{\"user\": 1, \"item\": 2}\n")], Ok("table"));
}

#[test]
fn what_is_not_recognised_is_said_with_what_is_known() {
    check(&[], Err("has no files, which is no format that is known"));
    check(&[("a.txt", "Dear reader,\nhello\n")], Err("has a.txt, which is no format"));
    check(&[("a.csv", "user,item\n"), ("b.csv", "user,item\n")], Err("name one of them"));
    let folder = folder(&[("a.csv", "buyer,thing\n1,2\n")]);
    let error = detect(&folder.path().join("a.csv"), &Table::default()).unwrap_err().to_string();
    assert!(error.contains("starts with \"buyer,thing\""), "{error}");
    let error = detect(Path::new("no/demmo"), &Table::default()).unwrap_err().to_string();
    assert!(error.contains("no/demmo: does not exist, expected a file"), "{error}");
}

#[test]
fn the_data_inside_the_program_goes_by_name() {
    let source = |name: &str| detect(Path::new(name), &Table::default()).unwrap().source;
    assert_eq!(source("demo"), AnySource::Demo(Demo::default()));
    assert_eq!(source("synthetic").name(), "synthetic");
    let error = detect(Path::new("demoo"), &Table::default()).unwrap_err().to_string();
    assert!(error.contains("did you mean \"demo\"?"), "{error}");
}

#[test]
fn named_columns_make_a_table_of_anything() {
    let folder = folder(&[("a.csv", "buyer,thing\n1,2\n")]);
    let columns =
        Table { user: Some("buyer".into()), item: Some("thing".into()), ..Table::default() };
    let detected = detect(&folder.path().join("a.csv"), &columns).unwrap();
    let prepared = prepare::prepare(&detected.source, &PrepareOptions::default()).unwrap();
    assert_eq!(prepared.dataset.n_users(), 1);
}

#[test]
fn sources_survive_a_study_file() {
    let text = "[recbole]\npath = \"data/ml-100k\"\n";
    let source: AnySource = toml::from_str(text).unwrap();
    let again: AnySource = toml::from_str(&toml::to_string(&source).unwrap()).unwrap();
    assert_eq!((source.name(), again), ("recbole", source.clone()));
    let wrong = toml::from_str::<AnySource>("[table]\npaht = \"x\"\n").unwrap_err().to_string();
    assert!(wrong.contains("paht"), "{wrong}");
}
