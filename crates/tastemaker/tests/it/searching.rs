use std::path::Path;
use std::sync::Mutex;

use tastemaker::core::prepare::Prepared;
use tastemaker::core::splits::SplitSets;
use tastemaker::search::{Searched, Trial, read};
use tastemaker::study::{self, Study};
use tastemaker::train::{Event, Observer};
use tastemaker::{Error, StudyObserver, train};

const STUDY: &str = r#"
[study]
name = "searched"
seeds = [1, 2]
[dataset.synthetic]
users = 120
items = 100
[search]
trials = 6
strategy = { STRATEGY }
[[arm]]
name = "item-knn"
recommender = { item-knn = {} }
space = { neighbours = { log-whole = [1, 60] } }
[[arm]]
name = "decoder"
space = { "training.learning-rate" = { log = [1e-5, 1e-2] }, "training.batch-size" = { one-of = [16, 64] } }
[arm.recommender.language-model]
backbone = { decoder = { embedding-size = 16, max-length = 16 } }
training = { epochs = 4 }
"#;

/// Counts trials, and fails the test where more are told than allowed.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn observe(&self, _event: &Event) {}
}

impl StudyObserver for Told {
    fn data(&self, _data: &Prepared, _split: &SplitSets) {}
    fn run(&self, _arm: &str, _seed: u64, _folder: &Path, _ended: bool) {}
    fn trial(&self, arm: &str, _trial: &Trial) {
        self.0.lock().unwrap().push(arm.to_owned());
    }
}

fn study(strategy: &str, overrides: &[&str]) -> Study {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    study::parse("a.toml", &STUDY.replace("STRATEGY", strategy), &overrides).unwrap()
}

fn searched(out: &Path, arm: &str) -> Searched {
    read(&out.join("searched/search").join(arm)).unwrap().unwrap()
}

#[test]
fn every_arm_has_the_same_budget_and_the_best_over_validation_is_run() {
    for strategy in ["random = {}", "tpe = { startup = 3 }"] {
        let (folder, told) = (tempfile::tempdir().unwrap(), Told::default());
        let report = train(&study(strategy, &[]), folder.path(), &told).unwrap();
        let told = told.0.into_inner().unwrap();
        for (arm, of_arm) in ["item-knn", "decoder"].into_iter().zip(&report.arms) {
            assert_eq!(told.iter().filter(|told| *told == arm).count(), 6, "{strategy}");
            let Searched { trials, best, .. } = searched(folder.path(), arm);
            assert!(trials[0].settings.is_empty(), "the first is the arm as it was written");
            let validations: Vec<f64> = trials.iter().map(|trial| trial.validation).collect();
            assert!(validations.iter().all(|value| *value <= validations[best]));
            // The run of the first seed has learnt with the best settings.
            let ndcg = of_arm.validation.iter().find(|cell| cell.metric == "NDCG@10").unwrap();
            assert!((ndcg.values[0] - validations[best]).abs() < 1e-12, "{arm}");
        }
    }
}

#[test]
fn halving_gives_all_a_few_epochs_and_the_best_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let study = study("halving = { eta = 2 }", &[]);
    train(&study, folder.path(), &Told::default()).unwrap();
    let Searched { trials, best, .. } = searched(folder.path(), "decoder");
    let epochs: Vec<usize> = trials.iter().map(|trial| trial.epochs.unwrap()).collect();
    assert_eq!(epochs, [vec![2; 6], vec![4; 3]].concat());
    let best_of = |epochs: usize, n: usize| {
        let mut rung: Vec<&Trial> =
            trials.iter().filter(|trial| trial.epochs == Some(epochs)).collect();
        rung.sort_by(|a, b| b.validation.total_cmp(&a.validation));
        rung[..n].iter().map(|trial| trial.settings.clone()).collect::<Vec<_>>()
    };
    let kept: Vec<_> = trials[6..].iter().map(|trial| trial.settings.clone()).collect();
    assert_eq!(kept, best_of(2, 3));
    assert_eq!(trials[best].settings, best_of(4, 1)[0]);
    // What has no epochs tries everything in full.
    let knn = searched(folder.path(), "item-knn");
    assert!(knn.trials.len() == 6 && knn.trials.iter().all(|trial| trial.epochs.is_none()));
}

#[test]
fn a_search_that_was_interrupted_ends_in_the_same_bytes_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let study = study("tpe = { startup = 3 }", &[]);
    train(&study, folder.path(), &Told::default()).unwrap();
    let search = folder.path().join("searched/search/decoder");
    let whole = fs_err::read(search.join("trials.json")).unwrap();
    for name in ["trials.json", "trial-004.json", "trial-005.json"] {
        fs_err::remove_file(search.join(name)).unwrap();
    }
    fs_err::remove_dir_all(folder.path().join("searched/decoder")).unwrap();
    let told = Told::default();
    train(&study, folder.path(), &told).unwrap();
    assert_eq!(told.0.into_inner().unwrap(), ["decoder"; 2]);
    assert_eq!(fs_err::read(search.join("trials.json")).unwrap(), whole);
}

/// Two data sets that differ in every user's last interaction alone: a search that saw a test figure
/// would not find the same in both.
#[test]
fn the_test_targets_change_nothing_of_a_search() {
    let (folder, mut found) = (tempfile::tempdir().unwrap(), Vec::new());
    for (name, last) in [("one", 7), ("two", 31)] {
        let mut lines = vec!["user,item,time".to_owned()];
        // Items are numbered as they are met, so one user meets all of them first.
        lines.extend((0..80).map(|item| format!("all,i{item},{item}")));
        for user in 0..80 {
            let walk = (0..8).map(|i| (user * 5 + i * 3) % 40);
            for (i, item) in walk.chain([40 + (user + last) % 40]).enumerate() {
                lines.push(format!("u{user},i{item},{i}"));
            }
        }
        let path = folder.path().join(format!("{name}.csv"));
        fs_err::write(&path, lines.join("\n")).unwrap();
        let mut study = study("tpe = { startup = 2 }", &["study.seeds=[1]"]);
        let table = format!(
            "[study]\nname=\"x\"\nseeds=[1]\n[dataset.table]\npath={:?}\nuser=\"user\"\nitem=\"item\"\ntime=\"time\"\n[[arm]]\nname=\"p\"\nrecommender={{most-popular={{}}}}",
            path.display().to_string()
        );
        study.dataset = study::parse("b.toml", &table, &[]).unwrap().dataset;
        let out = folder.path().join(name);
        train(&study, &out, &Told::default()).unwrap();
        found.push(["item-knn", "decoder"].map(|arm| {
            let Searched { trials, best, .. } = searched(&out, arm);
            (trials, best)
        }));
    }
    assert_eq!(found[0], found[1]);
}

#[test]
fn spaces_that_cannot_be_searched_are_refused_at_once() {
    let problems = |from: &str, to: &str| {
        let text = STUDY.replace("STRATEGY", "random = {}").replace(from, to);
        match study::parse("a.toml", &text, &[]).unwrap_err() {
            Error::Study(problems) => {
                problems.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n")
            }
            error => panic!("{error}"),
        }
    };
    let says = |from: &str, to: &str, expected: &str| {
        let found = problems(from, to);
        assert!(found.contains(expected), "{expected}: {found}");
    };
    says("neighbours =", "neighbors =", "here one of neighbours");
    says("[1, 60]", "[60, 1]", "the smaller one first");
    says("log = [1e-5, 1e-2]", "log = [0, 1e-2]", "two numbers above 0");
    says("log = [1e-5, 1e-2]", "uniform = [-1.0, 1.0]", "learning-rate");
    says("one-of = [16, 64]", "one-of = [16, \"many\"]", "many");
    says("trials = 6", "trials = 0", "1 or more");
    says("[search]\ntrials = 6\nstrategy = { random = {} }\n", "", "there is no section `search`");
}
