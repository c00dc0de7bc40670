use proptest::prelude::*;
use tastemaker_eval::predictions::{
    Click, Rating, auc, calibration_error, grouped, log_loss, mae, rmse,
};

#[derive(serde::Deserialize)]
struct Golden {
    ratings: Vec<Ratings>,
    bins: Vec<usize>,
    clicks: Vec<Clicks>,
    groups: Vec<Vec<Click>>,
    grouped: Grouped,
}

#[derive(serde::Deserialize)]
struct Ratings {
    pairs: Vec<Rating>,
    rmse: f64,
    mae: f64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Clicks {
    kind: String,
    pairs: Vec<Click>,
    auc: f64,
    log_loss: f64,
    calibration_errors: Vec<f64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Grouped {
    auc: f64,
    auc_by_shown: f64,
    auc_by_clicks: f64,
    mrr: f64,
    #[serde(rename = "ndcg-5")]
    ndcg_5: f64,
    #[serde(rename = "ndcg-10")]
    ndcg_10: f64,
    n: usize,
    skipped: usize,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/predictions.json")).expect("the golden values")
}

fn near(what: &str, found: Option<f64>, expected: f64, by: f64) {
    let found = found.expect("a value");
    assert!((found - expected).abs() < by, "{what}: {found} and not {expected}");
}

#[test]
fn ratings_are_judged_as_by_scikit_learn() {
    for case in golden().ratings {
        near("RMSE", rmse(&case.pairs), case.rmse, 1e-12);
        near("MAE", mae(&case.pairs), case.mae, 1e-12);
    }
}

#[test]
fn clicks_are_judged_as_by_scikit_learn_and_torchmetrics() {
    let golden = golden();
    for case in &golden.clicks {
        near("AUC", auc(&case.pairs), case.auc, 1e-12);
        near("log-loss", log_loss(&case.pairs), case.log_loss, 1e-9);
        // The edges of torchmetrics are in 32 bits.
        let by = if case.kind == "plain" { 1e-6 } else { 1e-12 };
        for (bins, expected) in golden.bins.iter().zip(&case.calibration_errors) {
            near("ECE", calibration_error(&case.pairs, *bins), *expected, by);
        }
    }
}

#[test]
fn impressions_are_judged_by_the_protocol_of_mind() {
    let golden = golden();
    let groups: Vec<&[Click]> = golden.groups.iter().map(Vec::as_slice).collect();
    let (found, expected) = (grouped(&groups).unwrap(), golden.grouped);
    for (what, found, expected) in [
        ("AUC", found.auc, expected.auc),
        ("AUC by what was shown", found.auc_by_shown, expected.auc_by_shown),
        ("AUC by clicks", found.auc_by_clicks, expected.auc_by_clicks),
        ("MRR", found.mrr, expected.mrr),
        ("NDCG@5", found.ndcg_5, expected.ndcg_5),
        ("NDCG@10", found.ndcg_10, expected.ndcg_10),
    ] {
        near(what, Some(found), expected, 1e-12);
    }
    assert_eq!((found.n, found.skipped), (expected.n, expected.skipped));
    assert!(found.skipped > 3);
}

#[test]
fn the_mrr_of_a_group_is_of_all_its_clicks() {
    let group: &[Click] = &[(0.9, true), (0.8, false), (0.7, false), (0.6, true)];
    let found = grouped(&[group]).unwrap();
    assert!((found.mrr - f64::midpoint(1.0, 1.0 / 4.0)).abs() < 1e-12);
}

#[test]
fn a_probability_on_an_edge_is_in_the_bin_below() {
    // In one bin they would be 0.195 off.
    let clicks: &[Click] = &[(0.3, false), (0.31, true)];
    near("ECE", calibration_error(clicks, 10), f64::midpoint(0.3, 0.69), 1e-12);
    // 0.07 · 100 is more than 7 in floating-point numbers.
    let clicks: &[Click] = &[(0.07, false), (0.0701, true)];
    near("ECE", calibration_error(clicks, 100), f64::midpoint(0.07, 0.9299), 1e-12);
    let clicks: &[Click] = &[(0.0, true), (1.0, false)];
    near("ECE", calibration_error(clicks, 3), 1.0, 1e-12);
}

#[test]
fn of_nothing_there_is_no_value() {
    assert_eq!((rmse(&[]), mae(&[])), (None, None));
    assert_eq!((auc(&[]), log_loss(&[]), calibration_error(&[], 5)), (None, None, None));
    assert_eq!(calibration_error(&[(0.5, true)], 0), None);
    assert_eq!((auc(&[(0.5, true)]), auc(&[(0.5, false)])), (None, None));
    assert_eq!(grouped(&[]), None);
    assert_eq!(grouped(&[&[], &[(0.5, true)], &[(0.5, false), (0.1, false)]]), None);
}

/// Clicks with few different probabilities, so that many are equal.
fn clicks() -> impl Strategy<Value = Vec<Click>> {
    let probability = (0..=20_u32).prop_map(|twentieths| f64::from(twentieths) / 20.0);
    prop::collection::vec((probability, any::<bool>()), 2..60)
}

fn ratings() -> impl Strategy<Value = Vec<Rating>> {
    prop::collection::vec((-10.0..10.0, 1.0..5.0), 1..60)
}

/// Some pairs, and the same in another order.
fn shuffled<T: Clone + std::fmt::Debug>(
    pairs: impl Strategy<Value = Vec<T>>,
) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    pairs.prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))
}

fn same(found: Option<f64>, other: Option<f64>) -> bool {
    found.is_some() == other.is_some()
        && found.zip(other).is_none_or(|(found, other)| (found - other).abs() < 1e-9)
}

proptest! {
    #[test]
    fn values_stay_in_their_range(clicks in clicks(), ratings in ratings(), bins in 1..30_usize) {
        let (rmse, mae) = (rmse(&ratings).unwrap(), mae(&ratings).unwrap());
        prop_assert!(0.0 <= mae && mae <= rmse + 1e-12, "{mae} {rmse}");
        prop_assert!(log_loss(&clicks).unwrap() >= 0.0);
        let error = calibration_error(&clicks, bins).unwrap();
        prop_assert!((0.0..=1.0).contains(&error), "{error}");
        if let Some(found) = grouped(&[&clicks]) {
            let values = [found.auc, found.mrr, found.ndcg_5, found.ndcg_10];
            prop_assert!(values.iter().all(|value| (0.0..=1.0 + 1e-12).contains(value)), "{found:?}");
            prop_assert_eq!(Some(found.auc), auc(&clicks));
        }
    }

    #[test]
    fn the_order_of_pairs_changes_nothing(
        (clicks, other) in shuffled(clicks()),
        (ratings, others) in shuffled(ratings()),
    ) {
        prop_assert!(same(rmse(&ratings), rmse(&others)) && same(mae(&ratings), mae(&others)));
        prop_assert!(same(log_loss(&clicks), log_loss(&other)));
        prop_assert!(same(calibration_error(&clicks, 10), calibration_error(&other, 10)));
        // These follow from the order of scores alone, so that they are the same to the last digit.
        prop_assert_eq!(grouped(&[&clicks]), grouped(&[&other]));
    }

    #[test]
    fn scores_turned_round_turn_auc_round(clicks in clicks()) {
        let round: Vec<Click> = clicks.iter().map(|(score, clicked)| (-score, *clicked)).collect();
        prop_assert!(same(auc(&round), auc(&clicks).map(|auc| 1.0 - auc)));
    }

    #[test]
    fn clicks_first_are_the_best_there_is(clicks in clicks()) {
        let first: Vec<Click> = clicks.iter().map(|(_, y)| (f64::from(u8::from(*y)), *y)).collect();
        prop_assert!(log_loss(&first).unwrap() < 1e-12);
        prop_assert_eq!(calibration_error(&first, 10), Some(0.0));
        if let Some(found) = grouped(&[&first]) {
            let best = [found.auc, found.ndcg_5, found.ndcg_10];
            prop_assert!(best.iter().all(|value| (value - 1.0).abs() < 1e-12), "{found:?}");
            prop_assert!(found.mrr >= grouped(&[&clicks]).unwrap().mrr - 1e-12);
        }
    }
}
