use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{Dataset, Interactions, ItemId, RankOptions, RecQuery, SeedTree, TieOrder};
use tastemaker::recommenders::{AnyRecommender, Bm25, Ease, ItemKnn, Others};

use crate::text::context;

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Golden {
    sequences: Vec<Vec<u32>>,
    titles: Vec<String>,
    history: Vec<u32>,
    ease: Vec<f64>,
    item_knn: Vec<f64>,
    bm25: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/controls.json")).unwrap()
}

fn items(numbers: &[u32]) -> Vec<ItemId> {
    numbers.iter().copied().map(ItemId).collect()
}

fn data(golden: &Golden) -> Dataset {
    let n = u32::try_from(golden.titles.len()).unwrap();
    let column = Column::Text(golden.titles.iter().cloned().map(Some).collect());
    let title = Attribute { name: "title".to_owned(), column };
    Dataset {
        users: (0..golden.sequences.len()).map(|user| user.to_string()).collect(),
        items: (0..n).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences(
            golden.sequences.iter().map(|sequence| items(sequence)),
        ),
        catalog: Catalog::new(vec![title], Some("title")),
        ..Dataset::default()
    }
}

/// The score of every item after the history, seen ones included, by item.
fn scores(recommender: &AnyRecommender, golden: &Golden) -> tastemaker::Result<Vec<f64>> {
    let (data, seeds) = (data(golden), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds)?;
    let others = Others::default();
    let context = context((&data, &split, &others), seeds, None);
    let ties = TieOrder::new(data.n_items(), &seeds);
    let options = RankOptions { n: data.n_items(), allow_seen: true, ties: &ties };
    let history = items(&golden.history);
    let query = RecQuery { user: None, history: &history, candidates: None };
    let lists = recommender.as_dyn().fit(&context)?.recommend(&[query], &options)?;
    let mut scores = vec![f64::NAN; data.n_items()];
    for (item, score) in lists[0].items.iter().zip(&lists[0].scores) {
        scores[item.index()] = f64::from(*score);
    }
    Ok(scores)
}

fn same(found: &[f64], expected: &[f64]) {
    for (item, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-5, "item {item}: {found} and not {expected}");
    }
}

#[test]
fn ease_is_that_of_numpy() {
    let ease = AnyRecommender::Ease(Ease { regularisation: 5.0, ..Ease::default() });
    same(&scores(&ease, &golden()).unwrap(), &golden().ease);
}

#[test]
fn item_knn_is_that_of_numpy() {
    let knn = AnyRecommender::ItemKnn(ItemKnn { shrink: 2.0, ..ItemKnn::default() });
    same(&scores(&knn, &golden()).unwrap(), &golden().item_knn);
}

#[test]
fn bm25_is_that_of_bm25s() {
    same(&scores(&AnyRecommender::Bm25(Bm25::default()), &golden()).unwrap(), &golden().bm25);
}

#[test]
fn ease_refuses_a_catalog_that_is_too_large_and_bm25_one_without_texts() {
    let ease = AnyRecommender::Ease(Ease { max_items: 10, ..Ease::default() });
    let error = scores(&ease, &golden()).unwrap_err().to_string();
    assert!(error.contains("12 items need about") && error.contains("max-items is 10"), "{error}");
    let silent = Golden { titles: vec![String::new(); 12], ..golden() };
    let error = scores(&AnyRecommender::Bm25(Bm25::default()), &silent).unwrap_err().to_string();
    assert!(error.contains("the items have no texts"), "{error}");
}
