use std::sync::Arc;

use proptest::prelude::*;
use tastemaker_core::splits::EvalCase;
use tastemaker_core::{ItemId, RankedList, UserId};
use tastemaker_eval::metrics::{AnyMetric, TextDiversity};
use tastemaker_eval::similarity::{
    Embeddings, TokenSimilarity, list_diversity, text_similarity, token_similarity,
};
use tastemaker_eval::{Embedded, Evaluator, Ground};

type Rows = Vec<Vec<f32>>;

#[derive(serde::Deserialize)]
struct Golden {
    pairs: Vec<(Rows, Rows)>,
    precision: f64,
    recall: f64,
    f1: f64,
    cosine: f64,
    items: Rows,
    diversity: f64,
}

fn of(rows: &[Vec<f32>]) -> Vec<&[f32]> {
    rows.iter().map(Vec::as_slice).collect()
}

fn near(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-7, "{what}: {found} and not {expected}");
}

#[test]
fn embeddings_are_compared_as_by_bert_score_scikit_learn_and_rectools() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/similarity.json")).unwrap();
    let rows: Vec<_> = golden.pairs.iter().map(|(own, other)| (of(own), of(other))).collect();
    let pairs: Vec<(Embeddings<'_>, Embeddings<'_>)> =
        rows.iter().map(|(own, other)| (&own[..], &other[..])).collect();
    let found = token_similarity(&pairs);
    near("precision", found.precision, golden.precision);
    near("recall", found.recall, golden.recall);
    near("F1", found.f1, golden.f1);
    let texts: Vec<(&[f32], &[f32])> = rows.iter().map(|(own, other)| (own[0], other[0])).collect();
    near("cosine", text_similarity(&texts), golden.cosine);
    near("diversity", list_diversity(&of(&golden.items)), golden.diversity);
}

#[test]
fn what_is_not_there_is_near_nothing() {
    let token: &[f32] = &[1.0, 2.0];
    for (own, other) in [(&[][..], &[token][..]), (&[token], &[]), (&[], &[])] {
        let found = token_similarity(&[(own, other)]);
        let nothing = TokenSimilarity { precision: 0.0, recall: 0.0, f1: 0.0 };
        assert_eq!(found, nothing);
    }
    near("of no pair", text_similarity(&[]), 0.0);
    near("of zeros", text_similarity(&[(token, &[0.0, 0.0])]), 0.0);
    near("of no item", list_diversity(&[]), 0.0);
    near("of one item", list_diversity(&[token]), 0.0);
    // Items that are alike, and those that are opposite.
    near("alike", list_diversity(&[token, token, &[2.0, 4.0]]), 0.0);
    near("opposite", list_diversity(&[token, &[-1.0, -2.0]]), 2.0);
}

#[test]
fn diversity_by_texts_is_that_of_the_first_k_and_needs_their_embeddings() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/similarity.json")).unwrap();
    let k = golden.items.len();
    let metric = TextDiversity { k, model: "encoder".into() };
    let evaluator = Evaluator::new(vec![AnyMetric::TextDiversity(metric)]).unwrap();
    // Behind those that are looked at stands an item that has nothing in common with them.
    let width = golden.items[0].len();
    let mut values = golden.items.concat();
    values.resize((k + 1) * width, 0.0);
    let embedded = Arc::new(Embedded { model: "encoder".into(), width, values });
    let items: Vec<ItemId> = (0..).map(ItemId).take(k + 1).collect();
    let scores = vec![0.0; k + 1];
    let lists = [RankedList { items, scores, ..RankedList::default() }];
    let targets = [ItemId(0)];
    let case = EvalCase { user: UserId(0), history: &[], targets: &targets };
    let list = |place: usize, list: &mut RankedList| list.clone_from(&lists[place]);
    let known = Ground::of_lists(k + 1, true);
    let of = |ground| evaluator.evaluate_lists(&[case], list, &ground, String::new());
    let found = of(known.clone().embedded(vec![embedded])).unwrap();
    near("diversity", found.summary.metrics[0].mean, golden.diversity);
    let refused = of(known).unwrap_err().to_string();
    assert!(
        refused.contains("ILD") && refused.contains("texts of items are not known"),
        "{refused}"
    );
}

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec(prop::collection::vec(-1.0..1.0_f32, 4), 1..8)
}

proptest! {
    #[test]
    fn values_stay_in_their_range(own in rows(), other in rows()) {
        let (own, other) = (of(&own), of(&other));
        let found = token_similarity(&[(&own, &other)]);
        let values = [found.precision, found.recall, text_similarity(&[(own[0], other[0])])];
        prop_assert!(values.iter().all(|value| value.abs() <= 1.0 + 1e-12), "{values:?}");
        prop_assert!((0.0..=2.0 + 1e-12).contains(&list_diversity(&own)));
        // The other way round it is the other way round.
        let back = token_similarity(&[(&other, &own)]);
        prop_assert_eq!((back.precision, back.recall), (found.recall, found.precision));
    }

    #[test]
    fn a_text_is_nearest_to_itself(own in rows()) {
        let found = token_similarity(&[(&of(&own), &of(&own))]);
        let zeros = own.iter().filter(|row| row.iter().all(|x| *x == 0.0)).count();
        let expected = 1.0 - zeros as f64 / own.len() as f64;
        prop_assert!((found.f1 - expected).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn order_and_length_of_embeddings_change_nothing(
        (own, shuffled) in rows().prop_flat_map(|own| (Just(own.clone()), Just(own).prop_shuffle())),
        other in rows(),
        by in 0.5..4.0_f32,
    ) {
        let longer: Rows =
            shuffled.iter().map(|row| row.iter().map(|x| x * by).collect()).collect();
        let (own, longer, other) = (of(&own), of(&longer), of(&other));
        let (found, again) =
            (token_similarity(&[(&own, &other)]), token_similarity(&[(&longer, &other)]));
        prop_assert!((found.precision - again.precision).abs() < 1e-5);
        prop_assert!((found.recall - again.recall).abs() < 1e-5);
        prop_assert!((list_diversity(&own) - list_diversity(&longer)).abs() < 1e-5);
    }
}
