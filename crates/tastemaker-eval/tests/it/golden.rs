use std::collections::BTreeMap;

use tastemaker_core::catalog::{Attribute, Catalog, Column};
use tastemaker_core::splits::Part;
use tastemaker_core::splits::{SplitSets, UserCuts};
use tastemaker_core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree,
    TieOrder, UserId,
};
use tastemaker_eval::Evaluator;
use tastemaker_eval::metrics::AnyMetric;

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
    expected: BTreeMap<String, Vec<f64>>,
}

#[derive(serde::Deserialize)]
struct Case {
    places: Vec<u32>,
    scores: Vec<f32>,
    targets: Vec<u32>,
}

#[test]
fn every_metric_is_that_of_ranx_on_lists_with_ties() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/ranking.json")).unwrap();
    let mut compared = 0;
    for (name, expected) in &golden.expected {
        let metric: AnyMetric = name.parse().unwrap();
        let metric = metric.as_dyn();
        for (case, expected) in golden.cases.iter().zip(expected) {
            let ties = TieOrder::from_places(case.places.clone()).unwrap();
            let scored = (0..).map(ItemId).zip(case.scores.iter().copied());
            let list = ties.top_n(scored, metric.k());
            let targets: Vec<ItemId> = case.targets.iter().copied().map(ItemId).collect();
            let value = metric.of_list(&list.items, &targets).unwrap();
            assert!((value - expected).abs() < 1e-9, "{name}: {value} and not {expected}");
            compared += 1;
        }
    }
    assert_eq!(compared, 6 * 4 * 60);
}

#[derive(serde::Deserialize)]
struct Beyond {
    k: usize,
    n_users: usize,
    popularity: Vec<u32>,
    categories: Vec<Vec<String>>,
    cases: Vec<BeyondCase>,
    expected: BTreeMap<String, serde_json::Value>,
}

#[derive(serde::Deserialize)]
struct BeyondCase {
    history: Vec<u32>,
    targets: Vec<u32>,
    items: Vec<u32>,
    scores: Vec<f32>,
}

/// Says what is written of each user, whatever it is asked.
struct Written(Vec<RankedList>);

impl Recommender for Written {
    fn name(&self) -> &'static str {
        "written"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let of = |query: &RecQuery<'_>| {
            let list = &self.0[query.user.map_or(0, UserId::index)];
            let n = options.n.min(list.items.len());
            let (items, scores) = (list.items[..n].to_vec(), list.scores[..n].to_vec());
            RankedList { items, scores, ..RankedList::default() }
        };
        Ok(queries.iter().map(of).collect())
    }
}

#[test]
fn metrics_beyond_the_list_are_those_of_others() {
    let golden: Beyond = serde_json::from_str(include_str!("../golden/beyond.json")).unwrap();
    let items = |items: &[u32]| items.iter().copied().map(ItemId).collect::<Vec<_>>();
    let sequences = golden.cases.iter().map(|c| items(&[&c.history[..], &c.targets].concat()));
    // One user more, for validation alone.
    let sequences = sequences.chain([items(&[0])]);
    let n_items = golden.popularity.len();
    let kinds = Column::Categories(golden.categories.clone());
    let data = Dataset {
        users: (0..=golden.cases.len()).map(|user| user.to_string()).collect(),
        items: (0..n_items).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences(sequences),
        catalog: Catalog::new(vec![Attribute { name: "kinds".to_owned(), column: kinds }], None),
        ..Dataset::default()
    };
    let cuts = golden.cases.iter().map(|case| {
        let (train, all) = (case.history.len(), case.history.len() + case.targets.len());
        let at = |n: usize| u32::try_from(n).unwrap();
        let (train_end, all) = (at(train), at(all));
        UserCuts { train_end, validation: train_end..train_end, test: train_end..all }
    });
    let cuts = cuts.chain([UserCuts { train_end: 0, validation: 0..1, test: 1..1 }]);
    let split = SplitSets::new("golden", &data, cuts.collect()).unwrap();
    assert_eq!(split.train_popularity(&data), golden.popularity);
    let list = |case: &BeyondCase| RankedList {
        items: items(&case.items),
        scores: case.scores.clone(),
        ..RankedList::default()
    };
    let written = Written(golden.cases.iter().map(list).collect());
    let mut compared = 0;
    for (name, expected) in &golden.expected {
        let plain = ["auc", "gauc mean", "r-precision"].contains(&&name[..]);
        let metric = name.trim_end_matches(" mean");
        let metric = if plain { metric.to_owned() } else { format!("{metric}@{}", golden.k) };
        let metric: AnyMetric = metric.parse().unwrap();
        assert_eq!(metric.unsuitable(&data), None);
        let evaluator = Evaluator::new(vec![metric]).unwrap().allow_seen(true);
        let seeds = SeedTree::new(1);
        let found = evaluator.evaluate(&written, &data, &split, Part::Test, &seeds).unwrap();
        assert_eq!(found.users, (0..40).map(UserId).collect::<Vec<_>>());
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-6, "{name}: {found} and not {expected}");
        };
        match expected {
            serde_json::Value::Array(expected) => {
                for (found, expected) in found.per_user[0].values.iter().zip(expected) {
                    near(*found, expected.as_f64().unwrap());
                    compared += 1;
                }
            }
            mean => {
                near(found.summary.metrics[0].mean, mean.as_f64().unwrap());
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 8 * 40 + 3);
    assert!(golden.n_users < 40);
}

#[test]
fn metrics_that_the_data_cannot_support_say_so() {
    let metric: AnyMetric = "ild@10".parse().unwrap();
    assert!(metric.unsuitable(&Dataset::default()).unwrap().contains("the data has none"));
    let kinds = Column::Categories(vec![vec!["a".to_owned()]]);
    let catalog = Catalog::new(vec![Attribute { name: "genres".to_owned(), column: kinds }], None);
    let data = Dataset { catalog, ..Dataset::default() };
    assert_eq!(metric.unsuitable(&data), None);
    let of = |attribute: &str| {
        let text = format!("{{\"miscalibration\": {{\"k\": 10, \"attribute\": {attribute:?}}}}}");
        serde_json::from_str::<AnyMetric>(&text).unwrap()
    };
    assert_eq!(of("genres").unsuitable(&data), None);
    assert!(of("genre").unsuitable(&data).unwrap().ends_with("did you mean \"genres\"?"));
    assert!("ndcg@10".parse::<AnyMetric>().unwrap().unsuitable(&Dataset::default()).is_none());
}
