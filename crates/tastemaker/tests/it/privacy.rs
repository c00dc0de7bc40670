use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use tastemaker::nn::backbones::{AnyBackbone, Decoder, View, Views};
use tastemaker::objectives::{
    AnyObjective, Gbce, NextSequence, SequenceContrast, SequenceItemContrast, Softmax,
};
use tastemaker::paradigms::{AnyParadigm, FinetuneFull, PromptFree};
use tastemaker::recommenders::{
    Auxiliary, FewShot, FitRecommender, Given, LanguageModel, MODEL_FILE, Others, Pretraining,
};
use tastemaker::tokenisations::{CollaborativeIds, Tokenisation};
use tastemaker::train::{Event, Observer, Privacy, Schedule, Silent, Spent, Training};

use super::training::{Dies, fit, model, rounds};

fn private(objective: AnyObjective, epochs: usize) -> LanguageModel {
    let mut model = model(objective, epochs);
    model.training.privacy = Some(Privacy { noise: 0.7, clip: 0.5, delta: 1e-3 });
    model
}

fn softmax() -> AnyObjective {
    AnyObjective::Softmax(Softmax::default())
}

fn bytes(folder: &Path) -> Vec<u8> {
    fs_err::read(folder.join(MODEL_FILE)).unwrap()
}

/// Keeps what was told.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Observer for Told {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[test]
fn private_training_is_the_same_bytes_with_other_threads_and_after_a_break() {
    let data = rounds(60, 9..13);
    let gbce = AnyObjective::Gbce(Gbce { negatives: 2, calibration: 0.75 });
    for model in [private(softmax(), 4), private(gbce, 4)] {
        let folders = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
        for (folder, threads) in folders.iter().zip([1, 2]) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&model, &data, Some(folder.path()), &Silent));
        }
        let broken = folders[2].path();
        let killed = AssertUnwindSafe(|| fit(&model, &data, Some(broken), &Dies { at_step: 9 }));
        assert!(catch_unwind(killed).is_err());
        fit(&model, &data, Some(broken), &Silent);
        let [one, two, broken] = folders.each_ref().map(|folder| bytes(folder.path()));
        assert!(one == two && one == broken);
    }
}

#[test]
fn private_training_keeps_its_last_epoch_and_says_what_it_spent() {
    let data = rounds(60, 9..13);
    let told = Told::default();
    fit(&private(softmax(), 4), &data, None, &told);
    let events = told.0.into_inner().unwrap();
    let validated = |event: &Event| matches!(event, Event::Epoch { validation: Some(_), .. });
    assert!(!events.iter().any(validated));
    assert!(events.iter().any(|event| matches!(event, Event::Finished { best_epoch: 3, .. })));
    let Some(Event::Spent(spent)) = events.last() else { panic!("{:?}", events.last()) };
    let Spent { epsilon, delta, noise, rate, steps } = *spent;
    // 16 of 60 users a step, so 4 steps an epoch.
    assert_eq!((delta, noise, rate, steps), (1e-3, 0.7, 16.0 / 60.0, 16));
    // compute_rdp and get_privacy_spent of Opacus 1.6.0 with these numbers.
    assert!((epsilon.unwrap() - 11.729_437_5).abs() < 1e-6, "{epsilon:?}");
    let text = serde_json::to_string(events.last().unwrap()).unwrap();
    assert!(text.contains("\"event\":\"spent\",\"epsilon\":11.7"), "{text}");
    assert!(matches!(serde_json::from_str(&text).unwrap(), Event::Spent(_)));
}

#[test]
fn noise_makes_another_model() {
    let data = rounds(60, 9..10);
    let of = |noise| {
        let folder = tempfile::tempdir().unwrap();
        let mut model = private(softmax(), 1);
        model.training.privacy = Some(Privacy { noise, delta: 1e-3, ..Privacy::default() });
        fit(&model, &data, Some(folder.path()), &Silent);
        bytes(folder.path())
    };
    assert!(of(0.5) != of(0.0));
}

#[test]
fn what_looks_at_several_users_is_refused_in_private_training() {
    let problems = |change: &dyn Fn(&mut LanguageModel)| -> Vec<String> {
        let mut model = private(softmax(), 1);
        assert_eq!(model.problems().len(), 0);
        change(&mut model);
        model.problems().iter().map(ToString::to_string).collect()
    };
    let one = |found: Vec<String>, expected: &str| {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    let of_training = |change: fn(&mut Training)| problems(&|model| change(&mut model.training));
    one(of_training(|t| t.batch_tokens = 9), "batch-tokens is 9, expected 0 with privacy");
    one(
        of_training(|t| t.privacy = Some(Privacy { noise: -1.0, ..Privacy::default() })),
        "privacy.noise is -1, expected 0 or a number above it",
    );
    one(
        of_training(|t| t.privacy = Some(Privacy { clip: 0.0, ..Privacy::default() })),
        "privacy.clip is 0, expected a number above 0",
    );
    for objective in [
        AnyObjective::NextSequence(NextSequence::default()),
        AnyObjective::SequenceContrast(SequenceContrast::default()),
        AnyObjective::SequenceItemContrast(SequenceItemContrast::default()),
    ] {
        let name = objective.name();
        let found = problems(&|model| {
            let (objective, schedule) = (objective.clone(), Schedule::default());
            model.auxiliary = vec![Auxiliary { objective, schedule }];
        });
        let expected = format!("private training is with objective {name}, expected one that sets");
        assert!(found.iter().any(|problem| problem.contains(&expected)), "{found:?}");
    }
    one(problems(&|m| m.few_shot = Some(FewShot::Users(3))), "private training is with few-shot");
    let ids = || Tokenisation::CollaborativeIds(CollaborativeIds::default());
    one(problems(&|model| model.tokenisation = Some(ids())), "these follow from who has met what");
    let views = problems(&|model| {
        let views = Views::from(vec![View::Return]);
        model.backbone = AnyBackbone::Decoder(Decoder { views, ..Decoder::default() });
    });
    assert!(views.iter().any(|problem| problem.contains("found among all users")), "{views:?}");
}

#[test]
fn only_one_private_stage_learns_from_the_same_users() {
    let with = |paradigm, pretraining| {
        let pretraining = Some(pretraining);
        let model = LanguageModel { paradigm, pretraining, ..private(softmax(), 1) };
        let problems = model.problems();
        problems.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    let full = || AnyParadigm::FinetuneFull(FinetuneFull::default());
    let found = with(full(), Pretraining::default());
    let expected = "private training is in a plan whose 2 stages learn from the same users";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    assert_eq!(with(full(), Pretraining { skip: true, ..Pretraining::default() }).len(), 0);
    let free = AnyParadigm::PromptFree(PromptFree::default());
    assert_eq!(with(free, Pretraining::default()).len(), 0);
}

#[test]
fn a_delta_that_gives_a_user_away_is_refused() {
    let (data, split) = rounds(60, 9..10);
    let mut model = private(softmax(), 1);
    let given = Given { data: &data, split: &split, others: &Others::default() };
    assert_eq!(model.unsuitable(&given).len(), 0);
    model.training.privacy = Some(Privacy { delta: 0.1, ..Privacy::default() });
    let problems = model.unsuitable(&given);
    assert!(problems[0].to_string().contains("1 / 60 users"), "{problems:?}");
}
