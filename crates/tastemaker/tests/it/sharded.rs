use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tastemaker::audits::Findings;
use tastemaker::audits::harms::{AnyHarm, Privacy};
use tastemaker::core::prepare::{Prepared, read_manifest};
use tastemaker::core::splits::SplitSets;
use tastemaker::core::{
    Dataset, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree, TieOrder,
};
use tastemaker::endpoint::Endpoint;
use tastemaker::memorisation::MemorisationProbe;
use tastemaker::objectives::{AnyObjective, Softmax};
use tastemaker::recommenders::{
    AnyRecommender, Ease, FewShot, FitContext, FitRecommender, Given, LanguageModel, Others,
    Sharded, TextLanguageModel,
};
use tastemaker::study::{self, RunFolder, Study};
use tastemaker::train::{Event, Observer};
use tastemaker::{AuditOf, Leaving, StudyObserver, check, train, unlearn};

use crate::auditing::{audited, titled};
use crate::server::server;
use crate::text::context;
use crate::training::{model, rounds};

const STUDY: &str = r#"
[study]
name = "sharded"
seeds = [1]
[dataset.synthetic]
users = 120
items = 100
[training]
epochs = 2
batch-size = 16
[[arm]]
name = "decoders"
[arm.recommender.sharded]
shards = 4
[arm.recommender.sharded.recommender.language-model]
backbone = { decoder = { embedding-size = 16, max-length = 8 } }
[[arm]]
name = "ease"
recommender = { ease = {} }
[[arm]]
name = "eases"
recommender = { sharded = { shards = 4, recommender = { ease = {} } } }
"#;

pub(crate) struct Quiet;

impl Observer for Quiet {
    fn observe(&self, _event: &Event) {}
}

impl StudyObserver for Quiet {
    fn data(&self, _data: &Prepared, _split: &SplitSets) {}
    fn run(&self, _arm: &str, _seed: u64, _folder: &Path, _ended: bool) {}
}

fn ease_in(shards: usize) -> Sharded {
    Sharded { shards, recommender: Box::new(AnyRecommender::Ease(Ease::default())) }
}

fn lists(recommender: &dyn Recommender, data: &Dataset, candidates: bool) -> Vec<RankedList> {
    let ties = TieOrder::new(data.n_items(), &SeedTree::new(1));
    let options = RankOptions { n: 10, allow_seen: false, ties: &ties };
    let some: Vec<ItemId> = (0..12).map(ItemId).collect();
    let queries: Vec<RecQuery<'_>> = data
        .interactions
        .users()
        .map(|user| RecQuery {
            user: Some(user),
            history: &data.interactions.sequence(user)[..3],
            candidates: candidates.then_some(&some),
        })
        .collect();
    recommender.recommend(&queries, &options).unwrap()
}

/// The files of each shard of a run, by their names.
pub(crate) fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let shards = fs_err::read_dir(run.join("shards")).unwrap().map(|shard| shard.unwrap().path());
    let all = shards.flat_map(|shard| fs_err::read_dir(shard).unwrap());
    all.map(|file| file.unwrap().path())
        .map(|path| (path.strip_prefix(run).unwrap().to_owned(), fs_err::read(&path).unwrap()))
        .collect()
}

/// The study with one of its arms.
pub(crate) fn study(arm: &str) -> Study {
    let mut study = study::parse("a.toml", STUDY, &[]).unwrap();
    study.arm.retain(|known| known.name == arm);
    study
}

/// What an audit of a run of this arm finds of its privacy.
fn privacy(arm: &str) -> Findings {
    let out = tempfile::tempdir().unwrap();
    train(&study(arm), out.path(), &Quiet).unwrap();
    let run = out.path().join("sharded").join(arm).join("seed-1");
    let harm = AnyHarm::Privacy(Privacy::default());
    audited(AuditOf::Run(&run), harm).unwrap().audit.findings.remove(0)
}

#[test]
fn the_lists_of_one_shard_are_those_of_what_is_in_it() {
    let (data, split) = rounds(60, 10..14);
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    let (whole, one) = (Ease::default().fit(&context).unwrap(), ease_in(1).fit(&context).unwrap());
    let five = ease_in(5).fit(&context).unwrap();
    for candidates in [false, true] {
        let items = |recommender| -> Vec<_> {
            lists(recommender, &data, candidates).into_iter().map(|list| list.items).collect()
        };
        assert_eq!(items(&*one), items(&*whole));
        assert_ne!(items(&*five), items(&*whole));
    }
}

#[test]
fn after_unlearning_the_shards_are_those_of_a_run_that_never_met_the_users() {
    let out = tempfile::tempdir().unwrap();
    train(&study("decoders"), out.path(), &Quiet).unwrap();
    let old = out.path().join("sharded/decoders/seed-1");
    let new = out.path().join("unlearnt");
    let users = ["u3", "u17"].map(str::to_owned).to_vec();
    let unlearnt = unlearn(&old, &Leaving::Users(users), &new, &Quiet).unwrap();
    assert_eq!((unlearnt.users, unlearnt.shards), (2, Some(4)));

    // Only their shards have changed.
    let (before, after) = (files(&old), files(&new));
    for number in 1..=4 {
        let of = |files: &BTreeMap<PathBuf, Vec<u8>>| {
            files[&PathBuf::from(format!("shards/{number}/model.safetensors"))].clone()
        };
        let anew = unlearnt.learnt_anew.contains(&number);
        assert_eq!(of(&before) != of(&after), anew, "shard {number} of {:?}", unlearnt.learnt_anew);
    }
    assert!((1..=2).contains(&unlearnt.learnt_anew.len()), "{:?}", unlearnt.learnt_anew);

    // The data that is left, learnt from the beginning, leaves the same bytes.
    let again = RunFolder::open(&new).unwrap().study().unwrap();
    train(&again, &out.path().join("again"), &Quiet).unwrap();
    let again = out.path().join("again/sharded/decoders/seed-1");
    assert_eq!(files(&again), after);
    assert_eq!(
        RunFolder::open(&again).unwrap().result().unwrap(),
        RunFolder::open(&new).unwrap().result().unwrap()
    );

    // Nothing tells who they were.
    let manifest = read_manifest(&new.join("data")).unwrap();
    assert_eq!((manifest.counts.users, manifest.counts.items), {
        let before = read_manifest(&old.join("data")).unwrap().counts;
        (before.users - 2, before.items)
    });
    assert!(manifest.steps.last().unwrap().what.starts_with("2 users unlearnt, SHA-256"));
    assert_eq!(RunFolder::open(&new).unwrap().data().unwrap().dataset.users.get("u3"), None);
}

#[test]
fn what_has_no_shards_is_learnt_anew_as_a_whole() {
    let out = tempfile::tempdir().unwrap();
    train(&study("ease"), out.path(), &Quiet).unwrap();
    let old = out.path().join("sharded/ease/seed-1");
    let file = out.path().join("users.txt");
    fs_err::write(&file, "u3\n\n u17 \nu3\n").unwrap();
    let new = out.path().join("unlearnt");
    let unlearnt = unlearn(&old, &Leaving::File(file.clone()), &new, &Quiet).unwrap();
    assert_eq!((unlearnt.users, unlearnt.shards, unlearnt.learnt_anew), (2, None, vec![]));

    fs_err::write(&file, "u3\nu17x\n").unwrap();
    let refused = |leaving: Leaving, new: &str| {
        unlearn(&old, &leaving, &out.path().join(new), &Quiet).unwrap_err().to_string()
    };
    let error = refused(Leaving::File(file), "other");
    assert!(
        error.contains("users.txt, line 2") && error.contains("did you mean \"u17\""),
        "{error}"
    );
    let error = refused(Leaving::Users(vec![]), "other");
    assert!(error.contains("somebody must be left"), "{error}");
    let error = refused(Leaving::Users(vec!["u5".to_owned()]), "unlearnt");
    assert!(error.contains("expected a new folder"), "{error}");
}

#[test]
fn an_audit_finds_nothing_left_in_shards_and_compares_no_model_with_itself() {
    let found = privacy("eases").indicators;
    let residue = found.iter().find(|found| found.name == "unlearning-residue").unwrap();
    assert!(residue.value.abs() < 1e-12, "{residue:?}");
    let reason = |arm: &str| {
        let not = privacy(arm).not_measured;
        not.into_iter().find(|not| not.name == "unlearning-residue").unwrap().reason
    };
    assert!(reason("ease").contains("learning anew from all others"), "{}", reason("ease"));
    // A language model would have to be trained again.
    assert!(reason("decoders").contains("no lists from before and after"));
}

#[test]
fn every_user_is_in_one_shard_whoever_else_there_is() {
    let (data, split) = rounds(60, 10..14);
    let (fewer, _) = rounds(40, 10..14);
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    let sharded = ease_in(4);
    let shards = sharded.divide(&context).unwrap();
    let mut all: Vec<_> = shards.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, data.interactions.users().collect::<Vec<_>>());
    let cut = split.of_users(&fewer.interactions.users().collect::<Vec<_>>(), &fewer);
    let of_fewer = FitContext { data: &fewer, split: &cut, ..context };
    for (shard, of_fewer) in shards.iter().zip(sharded.divide(&of_fewer).unwrap()) {
        let kept: Vec<_> = shard.iter().copied().filter(|user| user.index() < 40).collect();
        assert_eq!(kept, of_fewer);
    }
}

#[test]
fn shards_that_cannot_be_are_refused() {
    let (data, split) = rounds(60, 10..14);
    let others = Others::default();
    let given = Given { data: &data, split: &split, others: &others };
    let error = ease_in(61).unsuitable(&given)[0].to_string();
    assert!(error.contains("shards is 61, expected at most 60"), "{error}");
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    let error = ease_in(60).fit(&context).err().unwrap().to_string();
    assert!(error.contains("has nobody to learn from"), "{error}");
    let within = Sharded { shards: 2, recommender: Box::new(AnyRecommender::Sharded(ease_in(2))) };
    assert!(within.problems()[0].to_string().contains("any other recommender"));

    let wrong = STUDY.replace("shards = 4", "shards = 0");
    let error = study::parse("a.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("a.toml:14") && error.contains("shards"), "{error}");
}

#[test]
fn what_learns_from_nobody_is_not_divided() {
    let of = |recommender: &str| {
        let (study, _) = STUDY.split_once("[training]").unwrap();
        let arm = format!("shards = 2, recommender = {{ {recommender} }}");
        let arm = format!("[[arm]]\nname = \"a\"\nrecommender = {{ sharded = {{ {arm} }} }}\n");
        study::parse("a.toml", &format!("{study}{arm}"), &[])
    };
    let endpoint = "endpoint = { url = \"http://127.0.0.1:1/v1\", model = \"m\" }";
    let endpoint =
        format!("text-language-model = {{ {endpoint}, verbalizer = {{ written-titles = {{}} }} }}");
    for recommender in ["bm25 = {}", "text-similarity = {}", "text-language-model = {}", &endpoint]
    {
        let error = of(recommender).unwrap_err().to_string();
        assert!(
            error.contains("a.toml:10:") && error.contains("expected one that learns from users"),
            "{recommender}: {error}"
        );
    }
    assert!(of("most-popular = {}").is_ok());
    let error = of("text-language-model = { tuning = {} }").unwrap_err().to_string();
    assert!(!error.contains("learns from users"), "{error}");
}

/// The study with its decoders, changed by `change`.
fn decoders(change: impl Fn(&mut LanguageModel)) -> Study {
    let mut study = study("decoders");
    let AnyRecommender::Sharded(sharded) = &mut study.arm[0].recommender else { panic!() };
    let AnyRecommender::LanguageModel(model) = &mut *sharded.recommender else { panic!() };
    change(model);
    study
}

const HOLDOUT: &str = "[split.user-holdout]\nvalidation = 0.1\ntest = 0.2\n[training]";

#[test]
fn a_shard_that_cannot_learn_is_found_before_any_is_fitted() {
    let refused = |study: &Study| {
        let error = check(study).unwrap_err().to_string();
        assert!(error.contains("shard ") && error.contains(" of "), "{error}");
        let out = tempfile::tempdir().unwrap();
        assert_eq!(train(study, out.path(), &Quiet).unwrap_err().to_string(), error);
        assert!(!out.path().join("sharded").exists());
        error
    };
    // Of 120 users in 12 shards, 12 validate.
    let text = STUDY.replace("[training]", HOLDOUT).replacen("shards = 4", "shards = 12", 1);
    let mut study = study::parse("a.toml", &text, &[]).unwrap();
    study.arm.truncate(1);
    let error = refused(&study);
    assert!(error.contains("no user has a validation target"), "{error}");
    // So it is where it is fitted by itself.
    let AnyRecommender::Sharded(sharded) = &study.arm[0].recommender else { panic!() };
    let data = tastemaker::core::prepare::prepare(&study.dataset, &study.prepare).unwrap().dataset;
    let split = study.split.as_dyn().split(&data, &SeedTree::new(0)).unwrap();
    let (others, run) = (Others::default(), tempfile::tempdir().unwrap());
    let context = context((&data, &split, &others), SeedTree::new(1), None);
    let error = sharded.fit(&FitContext { checkpoints: Some(run.path()), ..context });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("no user has a validation target"), "{error}");
    assert!(!run.path().join("shards").exists());

    // The shards are not all of the same size.
    let study = decoders(|model| model.few_shot = Some(FewShot::Users(120)));
    let error = refused(&study);
    assert!(error.contains("few-shot is 30 users, expected at most"), "{error}");
}

/// How many users each stage learns from.
#[derive(Default)]
struct Users(std::sync::Mutex<Vec<usize>>);

impl Observer for Users {
    fn observe(&self, event: &Event) {
        if let Event::Started { users, .. } = event {
            self.0.lock().unwrap().push(*users);
        }
    }
}

#[test]
fn few_shots_are_divided_among_the_shards() {
    let (data, split) = rounds(60, 10..14);
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    let sharded = |few_shot| {
        let model = model(AnyObjective::Softmax(Softmax::default()), 1);
        let model = LanguageModel { few_shot: Some(few_shot), ..model };
        Sharded { shards: 4, recommender: Box::new(AnyRecommender::LanguageModel(model)) }
    };
    let learnt_from = |few_shot| {
        let users = Users::default();
        sharded(few_shot).fit(&FitContext { observer: &users, ..context }).unwrap();
        users.0.into_inner().unwrap()
    };
    assert_eq!(learnt_from(FewShot::Users(6)), [2, 2, 1, 1]);
    let quarters = learnt_from(FewShot::Share(0.25));
    let sizes = sharded(FewShot::Users(4)).divide(&context).unwrap();
    let expected: Vec<usize> = sizes.iter().map(|users| users.len().div_ceil(4)).collect();
    assert_eq!(quarters, expected);

    let problems = sharded(FewShot::Users(3)).problems();
    let problem = problems[0].to_string();
    assert_eq!(problem, "shard 4 of 4: few-shot is 0 users, expected 1 or more");
    assert_eq!(problems.len(), 1);
    assert!(sharded(FewShot::Users(4)).problems().is_empty());
}

#[test]
fn what_a_model_in_shards_knows_by_heart_can_be_asked() {
    let (data, split) = rounds(20, 10..14);
    let data = titled(data);
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    let body = "{\"choices\": [{\"message\": {\"content\": \"I do not know.\"}}]}".to_owned();
    let (url, _asked) = server(vec![(200, "", body)]);
    let endpoint: Endpoint =
        toml::from_str(&format!("url = {url:?}\nmodel = \"m\"\nretries = 0")).unwrap();
    let told = TextLanguageModel { endpoint: Some(endpoint), ..TextLanguageModel::default() };
    let sharded =
        Sharded { shards: 2, recommender: Box::new(AnyRecommender::TextLanguageModel(told)) };
    let probe = MemorisationProbe { items: 1, examples: 1, others: 1, ..Default::default() };
    let memorised = sharded.memorised(&context, &probe).unwrap().unwrap();
    assert_eq!((memorised.items, &memorised.answer[..]), (1, "I do not know."));
    // What is no model over text cannot be asked.
    assert!(ease_in(2).memorised(&context, &probe).unwrap().is_none());
}
