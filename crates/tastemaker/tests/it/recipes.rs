use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tastemaker::core::prepare::Prepared;
use tastemaker::core::splits::SplitSets;
use tastemaker::train::{Event, Observer};
use tastemaker::{StudyObserver, study};

use crate::models::model;

/// Users of a file of sequences that a recipe is tried on.
const USERS: usize = 300;

struct Quiet;

impl Observer for Quiet {
    fn observe(&self, _event: &Event) {}
}

impl StudyObserver for Quiet {
    fn data(&self, _data: &Prepared, _split: &SplitSets) {}
    fn run(&self, _arm: &str, _seed: u64, _folder: &Path, _ended: bool) {}
}

/// Every recipe is trained as it stands, but for an epoch a stage and, where its data is large, on
/// the first users of it.
#[test]
fn every_recipe_trains() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scratch = tempfile::tempdir().unwrap();
    for entry in fs_err::read_dir(root.join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs_err::read_to_string(&path).unwrap();
        let Some(text) = on_less_data(&text, &root, &scratch.path().join(&name)) else { continue };
        let study = study::parse(&name, &text, &["evaluate.users=50".to_owned()]).unwrap();
        let report = tastemaker::train(&study, &scratch.path().join("runs"), &Quiet);
        let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.arms.len(), study.arm.len(), "{name}");
    }
}

/// The recipe with an epoch a stage, and paths to the beginning of its data below `folder` and to its
/// model. `None` where one of them is absent.
fn on_less_data(text: &str, root: &Path, folder: &Path) -> Option<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some((before, name)) = line.split_once("\"models/") {
            let (name, after) = name.split_once('"').unwrap();
            lines.push(format!("{before}{:?}{after}", model(name)?.display().to_string()));
            continue;
        }
        let Some((before, rest)) = line.split_once("path = \"") else {
            let epochs = line.trim_start().starts_with("epochs = ");
            lines.push(if epochs { "epochs = 1".to_owned() } else { one_epoch(line) });
            continue;
        };
        let (path, after) = rest.split_once('"').unwrap();
        let path = present(root.join(path))?;
        let path = beginning(&path, &folder.join(lines.len().to_string()));
        lines.push(format!("{before}path = {:?}{after}", path.display().to_string()));
    }
    Some(lines.join("\n"))
}

/// The path, or `None`, said loudly, where nothing is there.
#[expect(clippy::disallowed_methods, reason = "tests are told through the environment")]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("TASTEMAKER_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!required, "{} is not there and TASTEMAKER_REQUIRE_DATA=1", path.display());
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

/// The line with every `epochs = …` within it 1.
fn one_epoch(line: &str) -> String {
    let mut parts = line.split("epochs = ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        format!("{line}epochs = 1{}", part.trim_start_matches(|c: char| c.is_ascii_digit()))
    })
}

/// A copy below `folder` of the first users of a file of sequences, with the texts beside it whole;
/// other data as it is.
fn beginning(path: &Path, folder: &Path) -> PathBuf {
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let unpacked = if packed { path.with_extension("") } else { path.to_owned() };
    if unpacked.extension().is_none_or(|extension| extension != "txt") {
        return path.to_owned();
    }
    fs_err::create_dir_all(folder).unwrap();
    let file = fs_err::File::open(path).unwrap();
    let reader: Box<dyn Read> =
        if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let copy = folder.join(unpacked.file_name().unwrap());
    let mut out = fs_err::File::create(&copy).unwrap();
    for line in BufReader::new(reader).lines().take(USERS) {
        writeln!(out, "{}", line.unwrap()).unwrap();
    }
    let texts = path.with_file_name("textual_ids.txt.gz");
    if texts.exists() {
        fs_err::copy(&texts, folder.join("textual_ids.txt.gz")).unwrap();
    }
    copy
}
