use tastemaker::core::Dataset;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::people::{UserAttribute, UserAttributes};
use tastemaker::nn::adapters::{AnyAdapter, Lora, SoftPrompt, Target};
use tastemaker::nn::backbones::{AnyBackbone, Encoder};
use tastemaker::objectives::{AnyObjective, Bce, GroupGap, NextSequence, S3Rec, Softmax};
use tastemaker::paradigms::{
    AnyParadigm, FinetuneExtra, FinetuneFull, FinetunePartial, FixedPromptTuning, ItemPrompt,
    Learns, Pretrain, Prompt, PromptAndModelTuning, PromptFree, PromptTuning,
};
use tastemaker::recommenders::{
    Auxiliary, FewShot, FitRecommender, Given, ItemFeatures, LanguageModel, Others, Pretraining,
};
use tastemaker::train::Schedule;

use super::paradigms::{around, data, hstu, hybrid, model, personal, soft_after};

#[test]
fn paradigms_that_cannot_be_are_refused_with_the_reason() {
    let problems = |model: &LanguageModel| -> Vec<String> {
        model.problems().iter().map(ToString::to_string).collect()
    };
    let with = |paradigm| problems(&model(paradigm, false));
    let partial = |learns| AnyParadigm::FinetunePartial(FinetunePartial { learns });
    let lora = || AnyAdapter::Lora(Lora::default());
    let one = |found: Vec<String>, expected: &str| {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    one(
        with(partial(vec![Learns::Named("blocks.*".to_owned())])),
        "learns is {\"named\":\"blocks.*\"}",
    );
    one(
        with(partial(vec![Learns::Head])),
        "expected something that the model has, which is block.*.",
    );
    one(
        with(partial(vec![Learns::TopLayers(3)])),
        "top-layers is 3, expected a number from 1 to 2",
    );
    one(with(AnyParadigm::PromptTuning(PromptTuning { prompt: lora().into() })), "prompt is lora");
    prompts_that_cannot_be(&with);
    one(
        with(AnyParadigm::FinetuneExtra(FinetuneExtra { insert: vec![], embeddings: false })),
        "insert is []",
    );
    let mut untargeted = hstu(AnyParadigm::Pretrain(Pretrain::default()));
    let targets = vec![Target::FeedForwardIn];
    let insert = vec![AnyAdapter::Lora(Lora { targets, ..Lora::default() })];
    untargeted.paradigm = AnyParadigm::FinetuneFull(FinetuneFull { insert });
    untargeted.pretraining = Some(Pretraining::default());
    one(
        problems(&untargeted),
        "targets is [\"feed-forward-in\"], expected [\"qkv\", \"attention-out\"]",
    );
    let twice = FinetuneFull { insert: vec![lora(), lora()] };
    one(with(AnyParadigm::FinetuneFull(twice)), "an adapter is lora, expected one of each kind");
    let mut alone = model(AnyParadigm::FinetuneFull(FinetuneFull::default()), false);
    let mut wrong = alone.clone();
    alone.pretraining = None;
    one(problems(&alone), "paradigm finetune-full is without pretraining");
    wrong.objective = AnyObjective::NextSequence(NextSequence::default());
    wrong.backbone = AnyBackbone::Encoder(Encoder::default());
    one(problems(&wrong), "objective is next-sequence, expected one that foretells items");
    wrong.objective = AnyObjective::Softmax(Softmax::default());
    one(problems(&wrong), "the backbone of objective softmax is encoder");
    let schedule = Schedule { from: 0.5, until: 0.2, ..Schedule::default() };
    let objective = AnyObjective::S3Rec(S3Rec::default());
    let mut scheduled = model(AnyParadigm::Pretrain(Pretrain::default()), false);
    scheduled.auxiliary = vec![Auxiliary { objective, schedule }];
    one(problems(&scheduled), "until is 0.2, expected a share above `from`");
    let ((data, split), others) = (data(), Others::default());
    let bare = Dataset { catalog: Catalog::default(), ..data };
    let given = Given { data: &bare, split: &split, others: &others };
    let unsuitable: Vec<String> =
        scheduled.unsuitable(&given).iter().map(ToString::to_string).collect();
    one(unsuitable, "objective s3-rec: the items have no attributes with categories");
    let mut much = alone;
    (much.paradigm, much.pretraining) =
        (AnyParadigm::Pretrain(Pretrain::default()), Some(Pretraining::default()));
    one(problems(&much), "paradigm pretrain is with pretraining");
    let free = || AnyParadigm::PromptFree(PromptFree::default());
    let mut untaught = model(free(), false);
    untaught.pretraining = Some(Pretraining { skip: true, ..Pretraining::default() });
    one(problems(&untaught), "paradigm prompt-free is without pre-training that foretells items");
    let objective = Some(AnyObjective::S3Rec(S3Rec::default()));
    untaught.pretraining = Some(Pretraining { objective, ..Pretraining::default() });
    one(problems(&untaught), "paradigm prompt-free is without pre-training that foretells items");
    much.pretraining = None;
    much.few_shot = Some(FewShot::Share(0.0));
    one(problems(&much), "few-shot is a share of 0");
}

fn prompts_that_cannot_be(with: &impl Fn(AnyParadigm) -> Vec<String>) {
    let tuning = |pieces| AnyParadigm::PromptTuning(PromptTuning { prompt: Prompt { pieces } });
    let both = |pieces| {
        let prompt = Prompt { pieces };
        AnyParadigm::PromptAndModelTuning(PromptAndModelTuning { prompt, staged: false })
    };
    let fixed = |prompt| AnyParadigm::FixedPromptTuning(FixedPromptTuning { prompt });
    let long = SoftPrompt { tokens: 10, ..SoftPrompt::default() };
    for (paradigm, expected) in [
        (tuning(vec![]), "prompt is [], expected one or more of soft-prompt"),
        (tuning(around().pieces), "prompt is special-tokens and nothing that learns"),
        (both(around().pieces), "prompt is special-tokens and nothing that learns"),
        (fixed(hybrid()), "prompt is soft-prompt, expected special-tokens"),
        (fixed(personal(&["age"]).into()), "prompt is personal-prompt, expected special-tokens"),
        (tuning(vec![soft_after(), soft_after()]), "an adapter is soft-prompt, expected one of"),
        (tuning(vec![personal(&[])]), "attributes is [], expected one of the users' or more"),
        (
            tuning(vec![AnyAdapter::SoftPrompt(long)]),
            "the number of a prompt's tokens is 10, expected 1 to 9, the backbone's max-length",
        ),
    ] {
        let problems = with(paradigm);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
    }
}

#[test]
fn attributes_that_the_users_lack_are_refused_before_training() {
    let (data, split) = data();
    let why = |attributes: &[&str], data: &Dataset| {
        let given = Given { data, split: &split, others: &Others::default() };
        let prompt = personal(attributes).into();
        let model = model(AnyParadigm::PromptTuning(PromptTuning { prompt }), false);
        model.unsuitable(&given).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(why(&["age", "gender"], &data), Vec::<String>::new());
    let expected = "holds categories or numbers, only age, gender; did you mean \"gender\"?";
    let found = why(&["age", "gneder"], &data);
    assert!(found.len() == 1 && found[0].contains("no attribute \"gneder\""), "{found:?}");
    assert!(found[0].contains(expected), "{found:?}");
    assert!(why(&["motto"], &data)[0].contains("no attribute \"motto\" of users"));
    let nobody = Dataset { people: UserAttributes::default(), ..data };
    let found = why(&["age"], &nobody);
    assert!(found[0].contains("personal-prompt: the users have no attributes"), "{found:?}");
}

#[test]
fn users_who_cannot_be_balanced_or_exchanged_are_refused_before_training() {
    let (data, split) = data();
    let with = |change: &dyn Fn(&mut LanguageModel)| {
        let mut model = model(AnyParadigm::Pretrain(Pretrain::default()), false);
        change(&mut model);
        let given = Given { data: &data, split: &split, others: &Others::default() };
        let problems = model.problems().into_iter().chain(model.unsuitable(&given));
        problems.map(|problem| problem.to_string()).collect::<Vec<_>>()
    };
    let balanced = |name: &str| with(&|model| model.training.balance = Some(name.to_owned()));
    assert_eq!(balanced("gender"), Vec::<String>::new());
    let one = |found: Vec<String>, expected: &str| {
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    one(
        balanced("gendre"),
        "balance: no attribute \"gendre\" of users holds categories, only gender; did you mean \
         \"gender\"?",
    );
    // A number and a text.
    one(balanced("age"), "no attribute \"age\" of users holds categories, only gender");
    one(balanced("motto"), "no attribute \"motto\" of users holds categories, only gender");
    let gap = |attribute: &str| {
        let objective = AnyObjective::GroupGap(GroupGap { attribute: attribute.to_owned() });
        with(&|model| {
            let (objective, schedule) = (objective.clone(), Schedule::default());
            model.auxiliary = vec![Auxiliary { objective, schedule }];
        })
    };
    assert_eq!(gap("gender"), Vec::<String>::new());
    one(gap("age"), "objective group-gap: no attribute \"age\" of users holds categories");
    assert!(gap("")[0].contains("attribute is empty, expected an attribute of users"));
    let exchanged = |prompt: Option<&[&str]>, names: &[&str]| {
        with(&|of| {
            if let Some(attributes) = prompt {
                let prompt = personal(attributes).into();
                *of = model(AnyParadigm::PromptTuning(PromptTuning { prompt }), false);
            }
            of.training.counterfactual = names.iter().map(|name| (*name).to_owned()).collect();
        })
    };
    assert_eq!(exchanged(Some(&["age", "gender"]), &["gender", "age"]), Vec::<String>::new());
    one(exchanged(None, &["gender"]), "without a personal-prompt the model is told nothing");
    one(
        exchanged(Some(&["gender", "age"]), &["gneder"]),
        "what the personal-prompt is made of: gender, age; did you mean \"gender\"?",
    );
    let same = |user| if user == 3 { vec![] } else { vec!["all".to_owned()] };
    let column = Column::Categories((0..48).map(same).collect());
    let attribute = Attribute { name: "gender".to_owned(), column };
    let people = UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }]);
    let alike = Dataset { people, ..data.clone() };
    let mut model = model(AnyParadigm::Pretrain(Pretrain::default()), false);
    model.training.balance = Some("gender".to_owned());
    let given = Given { data: &alike, split: &split, others: &Others::default() };
    let found = model.unsuitable(&given).iter().map(ToString::to_string).collect();
    one(found, "balance: all users of whom \"gender\" is known have the same");
}

#[test]
fn settings_without_effect_are_refused() {
    let one = |model: &LanguageModel, expected: &str| {
        let found: Vec<String> = model.problems().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    let free = || model(AnyParadigm::PromptFree(PromptFree::default()), false);
    let few_shot = Some(FewShot::Users(5));
    one(&LanguageModel { few_shot, ..free() }, "few-shot is set, expected none: paradigm");
    let objective = || AnyObjective::Bce(Bce { negatives: 1 });
    let counting = |schedule| vec![Auxiliary { objective: objective(), schedule }];
    let auxiliary = counting(Schedule::default());
    one(&LanguageModel { auxiliary, ..free() }, "auxiliary is 1 objectives, expected none");
    let plain = || model(AnyParadigm::Pretrain(Pretrain::default()), false);
    let never = "weight is 0 in each of 2 epochs";
    for schedule in [
        Schedule { weight: 0.0, ..Schedule::default() },
        // Neither of two epochs has its middle there.
        Schedule { from: 0.3, until: 0.7, ..Schedule::default() },
    ] {
        one(&LanguageModel { auxiliary: counting(schedule), ..plain() }, never);
        let mut before = model(AnyParadigm::FinetuneFull(FinetuneFull::default()), false);
        before.pretraining.as_mut().unwrap().auxiliary = counting(schedule);
        one(&before, never);
    }
    let mut again = plain();
    again.auxiliary = vec![Auxiliary {
        objective: again.objective.clone(),
        schedule: Schedule { weight: 0.5, ..Schedule::default() },
    }];
    one(&again, "once more with the same settings");
    let prompt = ItemPrompt { last: 11, repeat: 0 };
    let mut long = free();
    long.paradigm = AnyParadigm::PromptFree(PromptFree { prompt });
    one(&long, "last is 11, expected at most 9, as many items as the backbone reads");
    let attributes = ["genre", "title", "genre"].map(str::to_owned).to_vec();
    let features = Some(ItemFeatures { attributes, ..ItemFeatures::default() });
    one(&LanguageModel { features, ..plain() }, "attributes is \"genre\" twice");
    let nothing = S3Rec {
        associated_attributes: 0.0,
        masked_item: 0.0,
        masked_attributes: 0.0,
        segment: 0.0,
        ..S3Rec::default()
    };
    let mut idle = model(AnyParadigm::FinetuneFull(FinetuneFull::default()), false);
    idle.pretraining.as_mut().unwrap().objective = Some(AnyObjective::S3Rec(nothing));
    one(&idle, "the weights of s3-rec is all 0");
}

#[test]
fn a_filter_that_matches_nothing_says_what_was_perhaps_meant() {
    let named = |pattern: &str| {
        let learns = vec![Learns::Named(pattern.to_owned())];
        let model = model(AnyParadigm::FinetunePartial(FinetunePartial { learns }), false);
        model.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (pattern, meant) in [
        ("block.*.atention.*", "block.*.attention.*"),
        ("blocks.*", "block.*"),
        ("embeding.token", "embedding.token"),
    ] {
        let problems = named(pattern);
        assert!(problems.ends_with(&format!("; did you mean {meant:?}?")), "{problems}");
    }
    assert_eq!(named("block.*.attention.*"), "");
}
