use std::collections::BTreeMap;

use tastemaker_core::{ItemId, TieOrder};
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
