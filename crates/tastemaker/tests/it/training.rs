use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::Rng;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::people::{UserAttribute, UserAttributes};
use tastemaker::core::splits::{EvalCase, LeaveLastOut, Split, SplitSets};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RecQuery, Recommender, SeedTree, TieOrder,
    Vocabulary,
};
use tastemaker::nn::backbones::{AnyBackbone, Decoder, Encoder, EncoderDecoder, Hstu, View, Views};
use tastemaker::nn::fused::{Norm, Positions};
use tastemaker::nn::transformer::Sides;
use tastemaker::objectives::{
    AnyObjective, Bce, Bpr, Gbce, GroupGap, MaskedItems, PopularityCorrelation, PseudoMaskedItems,
    ReturnConditioned, SampledSoftmax, Softmax,
};
use tastemaker::recommenders::{
    AnyRecommender, Auxiliary, CHECKPOINT_FILE, FitContext, FitRecommender, Given, ItemFeatures,
    LanguageModel, MODEL_FILE, Others, Scoring,
};
use tastemaker::train::{Decay, Event, ObjectiveLoss, Observer, Schedule, Silent, Training};

use crate::text::context;

pub(crate) const N_ITEMS: u32 = 40;

/// Users that go round the catalog in steps of 1, 3 or 7, from anywhere: two items tell the next.
/// Their sequences are of all `lengths` alike. One in five is one of the few.
pub(crate) fn rounds(n_users: u32, lengths: Range<u32>) -> (Dataset, SplitSets) {
    let step = |user: u32| [1, 3, 7][user as usize % 3];
    let length = |user: u32| lengths.start + user % (lengths.end - lengths.start);
    let item = |user: u32, i: u32| ItemId((user * 5 + i * step(user)) % N_ITEMS);
    let sequences = (0..n_users).map(|u| (0..length(u)).map(|i| item(u, i)).collect::<Vec<_>>());
    let group = |user: u32| vec![if user.is_multiple_of(5) { "few" } else { "many" }.to_owned()];
    let column = Column::Categories((0..n_users).map(group).collect());
    let attribute = Attribute { name: "group".to_owned(), column };
    let data = Dataset {
        people: UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }]),
        name: "rounds".to_owned(),
        hash: format!("rounds of {n_users} × {lengths:?}"),
        users: (0..n_users).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: (0..N_ITEMS).map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions: Interactions::from_sequences(sequences),
        catalog: Catalog::new(vec![Attribute { name: "kinds".to_owned(), column: kinds() }], None),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

/// Of each item its remainders of 5 and 8.
fn kinds() -> Column {
    let of = |item: u32| vec![format!("5:{}", item % 5), format!("8:{}", item % 8)];
    Column::Categories((0..N_ITEMS).map(of).collect())
}

pub(crate) fn model(objective: AnyObjective, epochs: usize) -> LanguageModel {
    // No longer than the shortest training window, so that every place is learnt.
    let (embedding_size, max_length, dropout) = (Some(32), Some(9), Some(0.1));
    let backbone = if objective.as_dyn().sides() == Sides::Both {
        AnyBackbone::Encoder(Encoder { embedding_size, max_length, dropout, ..Encoder::default() })
    } else {
        AnyBackbone::Decoder(Decoder { embedding_size, max_length, dropout, ..Decoder::default() })
    };
    let training = Training {
        epochs,
        batch_size: 16,
        learning_rate: 3e-3,
        warmup_steps: 5,
        decay: Decay::Linear,
        patience: epochs,
        ..Training::default()
    };
    LanguageModel { backbone, objective, training, ..LanguageModel::default() }
}

/// [`model`] whose encoder reads what its decoder goes on from.
fn encoder_decoder(objective: AnyObjective, epochs: usize) -> LanguageModel {
    let backbone = AnyBackbone::EncoderDecoder(EncoderDecoder {
        embedding_size: Some(32),
        max_length: Some(9),
        dropout: Some(0.1),
        norm: Norm::Rms,
        positions: Positions::Relative,
        ..EncoderDecoder::default()
    });
    LanguageModel { backbone, ..model(objective, epochs) }
}

/// The same on an HSTU.
fn hstu(objective: AnyObjective, epochs: usize) -> LanguageModel {
    let (embedding_size, max_length, dropout) = (Some(32), Some(9), Some(0.1));
    let hstu = Hstu { embedding_size, max_length, dropout, ..Hstu::default() };
    LanguageModel { backbone: AnyBackbone::Hstu(hstu), ..model(objective, epochs) }
}

/// [`model`] that learns from two groups alike, and to serve them alike, popular or not.
fn fair(epochs: usize) -> LanguageModel {
    let attribute = "group".to_owned();
    let objectives = [
        AnyObjective::GroupGap(GroupGap { attribute: attribute.clone() }),
        AnyObjective::PopularityCorrelation(PopularityCorrelation::default()),
    ];
    let auxiliary = |objective| Auxiliary { objective, schedule: Schedule::default() };
    let mut model = model(AnyObjective::Softmax(Softmax::default()), epochs);
    model.auxiliary = objectives.map(auxiliary).into();
    model.training.balance = Some(attribute);
    model
}

pub(crate) fn fit(
    model: &LanguageModel,
    (data, split): &(Dataset, SplitSets),
    folder: Option<&Path>,
    observer: &dyn Observer,
) -> Box<dyn Recommender> {
    let others = Others::default();
    let context = context((data, split, &others), SeedTree::new(3), folder);
    let context = FitContext { checkpoints: folder, observer, ..context };
    AnyRecommender::LanguageModel(model.clone()).as_dyn().fit(&context).unwrap()
}

/// The share of users whose test item comes first, if nobody says who they are.
fn hits(recommender: &dyn Recommender, data: &(Dataset, SplitSets)) -> f64 {
    hits_of(recommender, data, false)
}

fn hits_of(
    recommender: &dyn Recommender,
    (data, split): &(Dataset, SplitSets),
    known: bool,
) -> f64 {
    let ties = TieOrder::new(data.n_items(), &SeedTree::new(1));
    let options = RankOptions { n: 1, allow_seen: true, ties: &ties };
    let cases = split.cases(data, tastemaker::core::splits::Part::Test);
    let queries: Vec<RecQuery<'_>> = cases
        .iter()
        .map(|&EvalCase { user, history, .. }| RecQuery {
            user: known.then_some(user),
            history,
            candidates: None,
        })
        .collect();
    let lists = recommender.recommend(&queries, &options).unwrap();
    let right = lists.iter().zip(&cases).filter(|(list, case)| list.items == case.targets);
    right.count() as f64 / cases.len() as f64
}

#[test]
fn every_objective_learns_how_the_rounds_go_on() {
    let data = rounds(168, 9..16);
    let objectives = [
        AnyObjective::Softmax(Softmax::default()),
        AnyObjective::SampledSoftmax(SampledSoftmax { negatives: 20 }),
        AnyObjective::Bce(Bce { negatives: 8 }),
        AnyObjective::Gbce(Gbce { negatives: 8, calibration: 0.75 }),
        AnyObjective::MaskedItems(MaskedItems::default()),
        AnyObjective::PseudoMaskedItems(PseudoMaskedItems::default()),
        AnyObjective::Bpr(Bpr { negatives: 8 }),
    ];
    for objective in objectives {
        let name = objective.name();
        let share = hits(&*fit(&model(objective, 150), &data, None, &Silent), &data);
        // Chance is 1 in 40; ten times that is learnt.
        assert!(share > 0.25, "{name}: {share}");
    }
    for objective in [
        AnyObjective::Softmax(Softmax::default()),
        AnyObjective::SampledSoftmax(SampledSoftmax { negatives: 20 }),
    ] {
        let name = objective.name();
        let share = hits(&*fit(&encoder_decoder(objective, 150), &data, None, &Silent), &data);
        assert!(share > 0.25, "{name} of an encoder-decoder: {share}");
    }
    let model = hstu(AnyObjective::Softmax(Softmax::default()), 150);
    let share = hits(&*fit(&model, &data, None, &Silent), &data);
    assert!(share > 0.25, "hstu: {share}");
}

/// Users who go on by one item after a minute and by seven after a day.
fn hasty_and_slow() -> (Dataset, SplitSets) {
    let mut rng = SeedTree::new(9).rng();
    let (mut offsets, mut items, mut times) = (vec![0], vec![], vec![]);
    for user in 0..200 {
        let (mut item, mut time, mut slow) = (user * 5, 1e9, false);
        for _ in 0..10 {
            items.push(ItemId(item % N_ITEMS));
            times.push(time);
            item += if slow { 7 } else { 1 };
            // How long it takes says what comes after the item that is met then.
            slow = rng.random_bool(0.5);
            time += if slow { 86_400.0 } else { 60.0 };
        }
        offsets.push(items.len());
    }
    let data = Dataset {
        hash: "hasty and slow".to_owned(),
        users: (0..200).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: (0..N_ITEMS).map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions: Interactions::from_columns(offsets, items, Some(times), None),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

#[test]
fn what_intervals_say_is_foretold_by_those_who_look_at_them() {
    let data = hasty_and_slow();
    let softmax = || AnyObjective::Softmax(Softmax::default());
    let (mut decoder, mut hstu) = (model(softmax(), 60), hstu(softmax(), 60));
    let blind = hits_of(&*fit(&decoder, &data, None, &Silent), &data, true);
    if let AnyBackbone::Decoder(decoder) = &mut decoder.backbone {
        decoder.intervals = true;
    }
    if let AnyBackbone::Hstu(hstu) = &mut hstu.backbone {
        hstu.intervals = true;
    }
    assert!(blind < 0.65, "there are two that may follow: {blind}");
    for model in [decoder, hstu] {
        let name = model.backbone.name();
        let recommender = fit(&model, &data, None, &Silent);
        let known = hits_of(&*recommender, &data, true);
        assert!(known > 0.9, "{name}: {known}");
        // Of a history that is given by hand no time is known.
        let unknown = hits_of(&*recommender, &data, false);
        assert!(unknown < 0.65, "{name}: {unknown}");
        let (bare, split) = rounds(9, 9..10);
        let given = Given { data: &bare, split: &split, others: &Others::default() };
        let untimed: Vec<String> =
            model.unsuitable(&given).iter().map(ToString::to_string).collect();
        assert_eq!(untimed.len(), 1);
        let reason = "the backbone looks at intervals between times, which the data lacks";
        assert!(untimed[0].contains(reason), "{untimed:?}");
    }
}

#[test]
fn eight_bits_find_the_same_lists_in_the_same_model() {
    let data = rounds(60, 9..16);
    let folder = tempfile::tempdir().unwrap();
    let ties = TieOrder::new(data.0.n_items(), &SeedTree::new(1));
    let options = RankOptions { n: 10, allow_seen: false, ties: &ties };
    let lists = |scoring| {
        let soft = model(AnyObjective::Softmax(Softmax::default()), 2);
        let soft = LanguageModel { scoring, ..soft };
        let recommender = fit(&soft, &data, Some(folder.path()), &Silent);
        let histories: Vec<Vec<ItemId>> =
            (0..N_ITEMS).map(|i| vec![ItemId(i), ItemId(i * 7 % N_ITEMS)]).collect();
        let query = |history| RecQuery { user: None, history, candidates: None };
        let queries: Vec<RecQuery<'_>> = histories.iter().map(|history| query(history)).collect();
        recommender.recommend(&queries, &options).unwrap()
    };
    let full = lists(Scoring::F32);
    assert!(full.iter().all(|list| list.items.len() == 10));
    assert!(full == lists(Scoring::Int8));
}

/// The losses of the steps.
#[derive(Default)]
struct Losses(std::sync::Mutex<Vec<f64>>);

impl Observer for Losses {
    fn observe(&self, event: &Event) {
        if let Event::Step { loss, gradient_norm, .. } = event {
            self.0.lock().unwrap().extend([*loss, *gradient_norm]);
        }
    }
}

#[test]
fn a_divided_batch_learns_as_the_whole_one() {
    let data = rounds(60, 9..16);
    let losses = |accumulate, recompute, batch_tokens| {
        let mut model = model(AnyObjective::Softmax(Softmax::default()), 2);
        let AnyBackbone::Decoder(decoder) = &mut model.backbone else { unreachable!() };
        decoder.dropout = Some(0.0);
        model.training.accumulate = accumulate;
        model.training.recompute = recompute;
        model.training.batch_tokens = batch_tokens;
        let losses = Losses::default();
        fit(&model, &data, None, &losses);
        losses.0.into_inner().unwrap()
    };
    let whole = losses(1, false, 0);
    assert!(whole == losses(1, true, 0));
    let divided = losses(5, false, 0);
    assert_eq!(whole.len(), divided.len());
    for (a, b) in whole.iter().zip(&divided) {
        assert!((a - b).abs() < 1e-3 * a, "{a} against {b}");
    }
    // Fewer tokens a step are more steps.
    assert!(losses(1, false, 40).len() > whole.len());
}

/// What is told of epochs: the loss, and those of the objectives by name.
#[derive(Default)]
struct Apart(std::sync::Mutex<Vec<(f64, Vec<ObjectiveLoss>)>>);

impl Observer for Apart {
    fn observe(&self, event: &Event) {
        if let Event::Epoch { loss, losses, .. } = event {
            self.0.lock().unwrap().push((*loss, losses.clone()));
        }
    }
}

#[test]
fn several_objectives_are_told_apart() {
    let data = rounds(60, 9..16);
    let mut both = model(AnyObjective::Softmax(Softmax::default()), 4);
    both.training.accumulate = 2;
    let told = |model: &LanguageModel| {
        let apart = Apart::default();
        fit(model, &data, None, &apart);
        apart.0.into_inner().unwrap()
    };
    assert!(told(&both).iter().all(|(_, losses)| losses.is_empty()));
    // The second counts from the third epoch on, a quarter of the first.
    let schedule = Schedule { weight: 0.25, from: 0.5, ..Schedule::default() };
    let objective = AnyObjective::Bce(Bce { negatives: 1 });
    both.auxiliary = vec![Auxiliary { objective, schedule }];
    let told = told(&both);
    for (epoch, (loss, losses)) in told.iter().enumerate() {
        let names: Vec<&str> = losses.iter().map(|of| of.objective.as_str()).collect();
        let expected: &[&str] = if epoch < 2 { &["softmax"] } else { &["softmax", "bce"] };
        assert_eq!(names, expected);
        let weighted: f64 = losses.iter().zip([1.0, 0.25]).map(|(of, w)| of.loss * w).sum();
        assert!((weighted - loss).abs() < 1e-9 * loss, "{weighted} against {loss}");
    }
    assert_eq!(told.len(), 4);
}

/// Dies in the middle of an epoch.
pub(crate) struct Dies {
    pub(crate) at_step: usize,
}

impl Observer for Dies {
    fn observe(&self, event: &Event) {
        if let Event::Step { step, .. } = event {
            assert!(*step != self.at_step, "killed on purpose");
        }
    }
}

#[test]
fn training_that_was_interrupted_ends_in_the_same_bytes() {
    // The second has windows of 2 items, and epochs whose validation is the best one again.
    let (even, uneven) = (rounds(60, 9..10), rounds(60, 11..14));
    // Features of a few rows a step and of all.
    let few = AnyObjective::Gbce(Gbce { negatives: 2, calibration: 0.75 });
    let few = LanguageModel { features: Some(ItemFeatures::default()), ..model(few, 5) };
    let all = Some(ItemFeatures { own: false, ..Default::default() });
    let all =
        LanguageModel { features: all, ..model(AnyObjective::Softmax(Softmax::default()), 5) };
    for (model, data) in [
        (model(AnyObjective::Gbce(Gbce::default()), 5), &even),
        (model(AnyObjective::Gbce(Gbce::default()), 5), &uneven),
        (model(AnyObjective::MaskedItems(MaskedItems::default()), 5), &even),
        (few, &even),
        (all, &even),
        (fair(5), &uneven),
        (encoder_decoder(AnyObjective::Gbce(Gbce::default()), 5), &uneven),
        (hstu(AnyObjective::Gbce(Gbce::default()), 5), &uneven),
    ] {
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fit(&model, data, Some(whole.path()), &Silent);
        for at_step in [6, 13] {
            let killed =
                AssertUnwindSafe(|| fit(&model, data, Some(broken.path()), &Dies { at_step }));
            assert!(catch_unwind(killed).is_err());
            assert!(broken.path().join(CHECKPOINT_FILE).exists());
        }
        fit(&model, data, Some(broken.path()), &Silent);
        let bytes = |folder: &Path| fs_err::read(folder.join(MODEL_FILE)).unwrap();
        assert!(bytes(whole.path()) == bytes(broken.path()));
        assert!(!broken.path().join(CHECKPOINT_FILE).exists());
    }
}

#[test]
fn one_thread_and_three_train_the_same_bytes() {
    let data = rounds(60, 12..13);
    let bytes = |model: &LanguageModel, threads| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(model, &data, Some(folder.path()), &Silent));
        fs_err::read(folder.path().join(MODEL_FILE)).unwrap()
    };
    let softmax = || AnyObjective::Softmax(Softmax::default());
    let features = Some(ItemFeatures::default());
    let featured = LanguageModel { features, ..model(softmax(), 2) };
    let (both, hstu) = (encoder_decoder(softmax(), 2), hstu(softmax(), 2));
    for model in [model(softmax(), 2), featured, both, hstu, fair(2)] {
        assert!(bytes(&model, 1) == bytes(&model, 3), "{model:?}");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let (data, folder) = (rounds(60, 9..10), tempfile::tempdir().unwrap());
    let soft = model(AnyObjective::Softmax(Softmax::default()), 1);
    fit(&soft, &data, Some(folder.path()), &Silent);
    let other = LanguageModel { training: Training { epochs: 2, ..soft.training.clone() }, ..soft };
    let others = Others::default();
    let context = context((&data.0, &data.1, &others), SeedTree::new(3), None);
    let context = FitContext { checkpoints: Some(folder.path()), ..context };
    let error = match AnyRecommender::LanguageModel(other).as_dyn().fit(&context) {
        Ok(_) => panic!("the other run's model was taken"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("another run") && error.contains(MODEL_FILE), "{error}");
}

#[test]
fn an_objective_and_a_backbone_that_do_not_fit_are_refused() {
    let model = LanguageModel {
        objective: AnyObjective::MaskedItems(MaskedItems::default()),
        ..LanguageModel::default()
    };
    let problems = |model: &LanguageModel| -> Vec<String> {
        model.problems().iter().map(ToString::to_string).collect()
    };
    let refused = |backbone| {
        format!(
            "the backbone of objective masked-items is {backbone}, expected a bidirectional backbone: encoder"
        )
    };
    assert_eq!(problems(&model), [refused("decoder")]);
    let hstu = LanguageModel { backbone: AnyBackbone::Hstu(Hstu::default()), ..model };
    assert_eq!(problems(&hstu), [refused("hstu")]);
}

/// Users who meet, after any item, mostly one of value 5 or mostly one of value 1.
fn rich_and_poor() -> (Dataset, SplitSets) {
    let mut rng = SeedTree::new(8).rng();
    let (mut offsets, mut items, mut values) = (vec![0], vec![], vec![]);
    for user in 0..200 {
        for _ in 0..12 {
            let likes = rng.random_bool(if user % 2 == 0 { 0.9 } else { 0.1 });
            // The first half of the catalog is worth more.
            let first = if likes { 0 } else { N_ITEMS / 2 };
            items.push(ItemId(first + rng.random_range(0..N_ITEMS / 2)));
            values.push(if likes { 5.0 } else { 1.0 });
        }
        offsets.push(items.len());
    }
    let data = Dataset {
        hash: "rich and poor".to_owned(),
        users: (0..200).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: (0..N_ITEMS).map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions: Interactions::from_columns(offsets, items, None, Some(values)),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

#[test]
fn asked_for_more_return_a_model_recommends_more_of_value() {
    let data = rich_and_poor();
    let share = |quantile, encodes| {
        let objective = AnyObjective::ReturnConditioned(ReturnConditioned { quantile });
        let mut model = if encodes { encoder_decoder(objective, 15) } else { model(objective, 15) };
        match &mut model.backbone {
            AnyBackbone::Decoder(decoder) => decoder.views = Views::from(vec![View::Return]),
            AnyBackbone::EncoderDecoder(both) => both.views = Views::from(vec![View::Return]),
            AnyBackbone::Encoder(_) | AnyBackbone::Hstu(_) => unreachable!(),
        }
        let recommender = fit(&model, &data, None, &Silent);
        let ties = TieOrder::new(data.0.n_items(), &SeedTree::new(1));
        let options = RankOptions { n: 5, allow_seen: true, ties: &ties };
        // As many of each, so that the history says nothing.
        let history: Vec<ItemId> = (0..8).map(|i| ItemId(i * N_ITEMS / 8)).collect();
        let query = RecQuery { user: None, history: &history, candidates: None };
        let list = recommender.recommend(&[query], &options).unwrap().remove(0);
        list.items.iter().filter(|item| item.0 < N_ITEMS / 2).count()
    };
    for encodes in [false, true] {
        let (little, much) = (share(0.05, encodes), share(0.95, encodes));
        assert!(little + 3 <= much, "{encodes}: {little} of five for little, {much} for much");
    }
}
