use tastemaker::core::SeedTree;
use tastemaker::core::splits::{LeaveLastOut, Part, Split};
use tastemaker::recommenders::{AnyRecommender, Others};
use tastemaker::study::{self, RunFolder, Study};
use tastemaker::{Leaving, Whose, evaluate, recommend, train, unlearn};

use crate::sharded::{Quiet, files, study};
use crate::text::context;

fn leaving(users: &[&str]) -> Leaving {
    Leaving::Users(users.iter().map(|user| (*user).to_owned()).collect())
}

/// Decoders that are pre-trained, in two shards, tested on users who are held out.
fn pretrained() -> Study {
    let text = r#"
[study]
name = "pretrained"
seeds = [1]
[dataset.synthetic]
users = 120
items = 100
[split.user-holdout]
[training]
epochs = 2
batch-size = 16
[pretraining]
[[arm]]
name = "tuned"
[arm.recommender.sharded]
shards = 2
[arm.recommender.sharded.recommender.language-model]
paradigm = { finetune-full = {} }
backbone = { decoder = { embedding-size = 16, max-length = 8 } }
"#;
    study::parse("a.toml", text, &[]).unwrap()
}

#[test]
fn pre_trained_shards_are_the_same_when_they_are_opened_again() {
    let out = tempfile::tempdir().unwrap();
    train(&pretrained(), out.path(), &Quiet).unwrap();
    let run = out.path().join("pretrained/tuned/seed-1");
    let again = |run: &std::path::Path| {
        let folder = RunFolder::open(run).unwrap();
        assert_eq!(
            evaluate(run, Part::Test, None).unwrap(),
            folder.result().unwrap().unwrap().test
        );
        let listed = recommend(run, &Whose::User("u5".to_owned()), 3).unwrap();
        assert_eq!(listed.items.len(), 3);
        folder
    };
    let models = fs_err::read_dir(again(&run).pretrained()).unwrap().count();
    assert_eq!(models, 2, "each shard begins with a model of its own");

    // Who is held out is drawn among all, so that both shards can be others.
    let new = out.path().join("left/of/them");
    unlearn(&run, &leaving(&["u3"]), &new, &Quiet).unwrap();
    let folder = again(&new);
    assert_eq!(folder.pretrained(), new.join("pretrained"));
    let anew = out.path().join("anew");
    train(&folder.study().unwrap(), &anew, &Quiet).unwrap();
    let anew = anew.join("pretrained/tuned/seed-1");
    assert_eq!(files(&new), files(&anew));
    assert_eq!(again(&anew).result().unwrap(), folder.result().unwrap());
}

#[test]
fn what_was_kept_beside_runs_is_found_where_nothing_is_beside() {
    // Nothing is pre-trained here; the runs of another study are beside.
    let out = tempfile::tempdir().unwrap();
    train(&study("ease"), out.path(), &Quiet).unwrap();
    fs_err::create_dir_all(out.path().join("sharded/pretrained")).unwrap();
    let new = out.path().join("sharded/ease/unlearnt");
    unlearn(&out.path().join("sharded/ease/seed-1"), &leaving(&["u3"]), &new, &Quiet).unwrap();
    assert_eq!(RunFolder::open(&new).unwrap().pretrained(), new.join("pretrained"));
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let out = tempfile::tempdir().unwrap();
    let of = |arm: &str| out.path().join(format!("sharded/{arm}/seed-1"));
    for arm in ["ease", "decoders", "eases"] {
        train(&study(arm), out.path(), &Quiet).unwrap();
    }
    // Everybody in a shard leaves.
    let study = study("eases");
    let AnyRecommender::Sharded(sharded) = &study.arm[0].recommender else { panic!() };
    let data = RunFolder::open(&of("eases")).unwrap().data().unwrap().dataset;
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(0)).unwrap();
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(1), None);
    let first = sharded.divide(&context).unwrap().remove(0);
    let first: Vec<&str> = first.iter().map(|user| data.users.id(user.index()).unwrap()).collect();
    let new = out.path().join("new");
    let error = unlearn(&of("eases"), &leaving(&first), &new, &Quiet).unwrap_err().to_string();
    assert!(error.contains("number 1 has nobody to learn from"), "{error}");
    assert!(!new.exists());

    // The same data is there, but of another run.
    unlearn(&of("ease"), &leaving(&["u3"]), &new, &Quiet).unwrap();
    let error = unlearn(&of("decoders"), &leaving(&["u3"]), &new, &Quiet).unwrap_err().to_string();
    assert!(error.contains("expected a new folder"), "{error}");
    assert!(!new.join("shards").exists());
    // The same again is what is there.
    unlearn(&of("ease"), &leaving(&["u3"]), &new, &Quiet).unwrap();
}

#[test]
fn controls_in_shards_learn_anew_in_all_of_them() {
    let out = tempfile::tempdir().unwrap();
    train(&study("eases"), out.path(), &Quiet).unwrap();
    let old = out.path().join("sharded/eases/seed-1");
    let unlearnt = unlearn(&old, &leaving(&["u3"]), &out.path().join("new"), &Quiet).unwrap();
    assert_eq!(unlearnt.learnt_anew, [1, 2, 3, 4]);
}
