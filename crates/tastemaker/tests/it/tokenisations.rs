use std::collections::BTreeSet;

use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree,
    TieOrder,
};
use tastemaker::nn::backbones::{AnyBackbone, Decoder, Encoder, EncoderDecoder};
use tastemaker::paradigms::{AnyParadigm, FinetuneFull};
use tastemaker::recommenders::{
    FitRecommender, Given, ItemFeatures, LanguageModel, MODEL_FILE, Others, Pretraining, Scoring,
};
use tastemaker::tokenisations::{CollaborativeIds, RandomIds, SemanticIds, Tokenisation};
use tastemaker::train::Silent;

use crate::features::{colours, tensors};
use crate::models::model as encoder;
use crate::training::{N_ITEMS, fit, rounds};

fn model(tokenisation: Tokenisation) -> LanguageModel {
    let backbone = AnyBackbone::Decoder(Decoder {
        embedding_size: Some(32),
        max_length: Some(18),
        dropout: Some(0.1),
        ..Decoder::default()
    });
    let mut model = LanguageModel { backbone, ..LanguageModel::default() };
    model.tokenisation = Some(tokenisation);
    (model.training.epochs, model.training.patience) = (60, 60);
    (model.training.batch_size, model.training.learning_rate) = (16, 5e-3);
    model
}

fn random(beams: usize) -> Tokenisation {
    Tokenisation::RandomIds(RandomIds { levels: 1, codes: 8, beams })
}

pub(crate) fn ask(
    recommender: &dyn Recommender,
    (history, candidates): (&[u32], Option<&[u32]>),
    (n, allow_seen): (usize, bool),
) -> RankedList {
    let ties = TieOrder::new(N_ITEMS as usize, &SeedTree::new(1));
    let items = |items: &[u32]| items.iter().copied().map(ItemId).collect::<Vec<_>>();
    let (history, candidates) = (items(history), candidates.map(items));
    let query = RecQuery { user: None, history: &history, candidates: candidates.as_deref() };
    recommender.recommend(&[query], &RankOptions { n, allow_seen, ties: &ties }).unwrap().remove(0)
}

#[test]
fn items_are_written_token_by_token_and_nothing_else_comes_out() {
    writes_rounds(&model(random(40)));
}

#[test]
fn a_decoder_writes_items_token_by_token_after_an_encoder_has_read() {
    let backbone = AnyBackbone::EncoderDecoder(EncoderDecoder {
        embedding_size: Some(32),
        max_length: Some(18),
        dropout: Some(0.0),
        ..EncoderDecoder::default()
    });
    // It learns more slowly, as it mostly foretells one item of a sequence.
    let mut model = LanguageModel { backbone, ..model(random(40)) };
    (model.training.epochs, model.training.patience) = (180, 180);
    model.training.learning_rate = 2e-3;
    writes_rounds(&model);
}

/// Every place that is read when a history is long has been learnt from.
#[test]
fn an_encoder_learns_every_place_that_it_reads() {
    let (layers, max_length) = (Some(1), Some(6));
    let backbone = EncoderDecoder { layers, max_length, ..EncoderDecoder::default() };
    let backbone = AnyBackbone::EncoderDecoder(backbone);
    let mut model = LanguageModel { backbone, ..model(random(5)) };
    let data = rounds(60, 9..16);
    let places = |model: &LanguageModel| {
        let folder = tempfile::tempdir().unwrap();
        fit(model, &data, Some(folder.path()), &Silent);
        let (_, values) =
            tensors(&folder.path().join(MODEL_FILE)).remove("embedding.encoder-position").unwrap();
        values.chunks(values.len() / 6).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    model.training.epochs = 1;
    let learnt = places(&model);
    model.training.learning_rate = 1e-30;
    let first = places(&model);
    assert!(learnt.iter().zip(&first).all(|(a, b)| a != b));
}

/// What a model with a beam for every item answers that has learnt who goes round in which steps.
fn writes_rounds(model: &LanguageModel) {
    let data = rounds(240, 9..16);
    let folder = tempfile::tempdir().unwrap();
    let recommender = fit(model, &data, Some(folder.path()), &Silent);
    // A user who goes in steps of 3.
    let history = [4, 7, 10, 13];
    let all = ask(&*recommender, (&history, None), (40, true));
    let distinct: BTreeSet<ItemId> = all.items.iter().copied().collect();
    assert_eq!(distinct.len(), N_ITEMS as usize);
    // The longer ones are longer than what is read.
    for n in [5, 12] {
        let mut hits = 0;
        for start in 0..N_ITEMS {
            for step in [1, 3, 7] {
                let history: Vec<u32> = (0..n).map(|i| (start + i * step) % N_ITEMS).collect();
                let list = ask(&*recommender, (&history, None), (1, true));
                hits += u32::from(list.items[0].0 == (start + n * step) % N_ITEMS);
            }
        }
        // Of 120; by chance it would be 3.
        assert!(hits > 100, "{hits} after {n}");
    }
    assert_eq!(all.items[0], ItemId(16), "{all:?}");
    // With a beam for every item, these are probabilities of items; the rest is what is no item.
    let mass: f32 = all.scores.iter().map(|score| score.exp()).sum();
    assert!(mass > 0.9 && mass < 1.0 + 1e-4, "{mass}");
    // The same among candidates, and without what was seen.
    let some = ask(&*recommender, (&history, Some(&[16, 30, 2])), (3, true));
    let score = |list: &RankedList, item: ItemId| {
        list.scores[list.items.iter().position(|other| *other == item).unwrap()]
    };
    assert_eq!(some.items.len(), 3);
    for &item in &some.items {
        assert!((score(&some, item) - score(&all, item)).abs() < 1e-4);
    }
    let unseen = ask(&*recommender, (&history, None), (40, false));
    assert_eq!(unseen.items.len(), N_ITEMS as usize - history.len());
    assert!(history.iter().all(|&item| !unseen.items.contains(&ItemId(item))));
    // Few beams find what is best all the same; to somebody new all tokens are alike.
    let few = LanguageModel { tokenisation: Some(random(2)), ..model.clone() };
    let greedy = fit(&few, &data, None, &Silent);
    assert_eq!(ask(&*greedy, (&history, None), (1, true)).items, [ItemId(16)]);
    assert_eq!(ask(&*recommender, (&[], None), (5, true)).items.len(), 5);
    // Read back, it says the same.
    let again = fit(model, &data, Some(folder.path()), &Silent);
    assert!(ask(&*again, (&history, None), (40, true)) == all);
}

#[test]
fn semantic_ids_of_similar_items_begin_alike_and_a_plan_can_have_stages() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let (data, split) = colours();
    let ids =
        SemanticIds { model: encoder, levels: 2, codes: 6, beams: 30, ..SemanticIds::default() };
    let tokenisation = Tokenisation::SemanticIds(ids);
    let codes = tokenisation.codes((&data, &split), None, &SeedTree::new(3)).unwrap();
    // Kinds and colours are words of the texts: items of the first code share more of them.
    let alike = |a: u32, b: u32| usize::from(a / 5 == b / 5) + usize::from(a % 5 == b % 5);
    let (mut within, mut n_within, mut across, mut n_across) = (0, 0, 0, 0);
    for a in 0..30 {
        for b in 0..a {
            if codes.of(ItemId(a))[0] == codes.of(ItemId(b))[0] {
                (within, n_within) = (within + alike(a, b), n_within + 1);
            } else {
                (across, n_across) = (across + alike(a, b), n_across + 1);
            }
        }
    }
    assert!(within * n_across > across * n_within, "{within}/{n_within}, {across}/{n_across}");
    let mut tuned = model(tokenisation);
    (tuned.training.epochs, tuned.paradigm) =
        (2, AnyParadigm::FinetuneFull(FinetuneFull::default()));
    tuned.pretraining = Some(Pretraining::default());
    let given = Given { data: &data, split: &split, others: &Others::default() };
    assert!(tuned.problems().is_empty() && tuned.unsuitable(&given).is_empty());
    let recommender = fit(&tuned, &(data, split), None, &Silent);
    assert_eq!(recommender.name(), "language-model");
}

#[test]
fn collaborative_ids_of_items_that_the_same_people_met_begin_alike() {
    // Two worlds of six items, and an item that nobody meets.
    let of = |user: u32| {
        let item = |i: u32| ItemId(user % 2 * 6 + (user / 2 + i * (1 + user % 5)) % 6);
        (0..6).map(item).collect::<Vec<_>>()
    };
    let data = Dataset {
        users: (0..40).map(|user| user.to_string()).collect(),
        items: (0..13).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences((0..40).map(of)),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    let ids = CollaborativeIds { width: 2, levels: 2, codes: 3, ..CollaborativeIds::default() };
    let tokenisation = Tokenisation::CollaborativeIds(ids.clone());
    for seed in 1..4 {
        let codes = tokenisation.codes((&data, &split), None, &SeedTree::new(seed)).unwrap();
        let first = |item: u32| codes.of(ItemId(item))[0];
        assert!((1..6).all(|item| first(item) == first(0)), "seed {seed}");
        assert!((7..12).all(|item| first(item) == first(6)), "seed {seed}");
        assert!(first(0) != first(6) && first(12) != first(0) && first(12) != first(6));
    }
    let wide = Tokenisation::CollaborativeIds(CollaborativeIds { width: 14, ..ids });
    let model = model(wide);
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let found = model.unsuitable(&given)[0].to_string();
    assert!(found.contains("width is 14, expected at most 13, the number of items"), "{found}");
}

#[test]
fn tokenisations_that_cannot_be_are_refused() {
    let of = |model: &LanguageModel| -> Vec<String> {
        model.problems().iter().map(ToString::to_string).collect()
    };
    let one = |model: &LanguageModel, expected: &str| {
        let found = of(model);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    let plain = || model(random(5));
    assert_eq!(of(&plain()), Vec::<String>::new());
    let none = Tokenisation::RandomIds(RandomIds { codes: 1, ..RandomIds::default() });
    assert!(of(&model(none))[0].contains("codes is 1, expected a number from 2"));
    let long = Tokenisation::RandomIds(RandomIds { levels: 12, ..RandomIds::default() });
    one(&model(long), "max-length is 18, expected 26 or more");
    one(&LanguageModel { scoring: Scoring::Int8, ..plain() }, "scoring in int8");
    let features = Some(ItemFeatures::default());
    one(&LanguageModel { features, ..plain() }, "with features, expected none");
    let backbone = AnyBackbone::Encoder(Encoder::default());
    let found = of(&LanguageModel { backbone, ..plain() });
    assert!(found.iter().any(|problem| problem.contains("on a backbone encoder")), "{found:?}");
    let (data, split) = rounds(60, 9..16);
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let semantic = model(Tokenisation::SemanticIds(SemanticIds::default()));
    let found = semantic.unsuitable(&given);
    let found = found[0].to_string();
    assert!(found.contains("codes is 256, expected at most 40") || found.contains("random-ids"));
}
