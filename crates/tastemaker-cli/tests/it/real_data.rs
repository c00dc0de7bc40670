use std::path::PathBuf;

use tastemaker::core::SeedTree;
use tastemaker::core::prepare::{PrepareOptions, prepare};
use tastemaker::core::sources::{Table, detect};
use tastemaker::core::splits::{LeaveLastOut, Part, Split};
use tastemaker::eval::Evaluator;
use tastemaker::eval::metrics::{AnyMetric, HitRate, Ndcg};
use tastemaker::recommenders::{FitContext, FitRecommender, MostPopular, Others};
use tastemaker::train::Silent;

/// A file of the real data, or nothing, said loudly, where it is absent.
fn real(name: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment where data is"
    )]
    let (folder, required) =
        (std::env::var("TASTEMAKER_DATA"), std::env::var("TASTEMAKER_REQUIRE_DATA"));
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = folder.map_or_else(|_| beside(), PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(required.is_err(), "{} is absent and required", path.display());
    #[expect(clippy::print_stderr, reason = "a test that is left out is not silent")]
    {
        eprintln!("SKIPPED: {} is absent", path.display());
    }
    None
}

/// HR@5, NDCG@5, HR@10, NDCG@10 of most-popular, counted on the training part.
fn most_popular(name: &str) -> Option<[f64; 4]> {
    let path = real(name)?;
    let source = detect(&path, &Table::default()).unwrap().source;
    let prepared = prepare(&source, &PrepareOptions::default()).unwrap();
    let (data, seeds) = (&prepared.dataset, SeedTree::new(1));
    let split = LeaveLastOut {}.split(data, &seeds).unwrap();
    let context = FitContext {
        data,
        split: &split,
        seeds,
        checkpoints: None,
        pretrained: None,
        others: &Others::default(),
        allow_seen: false,
        observer: &Silent,
    };
    let recommender = MostPopular {}.fit(&context).unwrap();
    let (hr, ndcg) = (|k| AnyMetric::HitRate(HitRate { k }), |k| AnyMetric::Ndcg(Ndcg { k }));
    let evaluator = Evaluator::new(vec![hr(5), ndcg(5), hr(10), ndcg(10)]).unwrap();
    let evaluation = evaluator.evaluate(&*recommender, data, &split, Part::Test, &seeds).unwrap();
    let values: Vec<f64> = evaluation.summary.metrics.iter().map(|value| value.mean).collect();
    Some(values.try_into().unwrap())
}

/// The popularity rows that were recomputed without the leak of the published ones.
#[test]
fn most_popular_is_the_known_row_of_beauty_and_toys() {
    let rows = [
        ("amazon-5core/Beauty.txt", [0.0075, 0.0041, 0.0115, 0.0055]),
        ("amazon-5core/Toys_and_Games.txt", [0.0056, 0.0039, 0.0090, 0.0049]),
    ];
    for (name, expected) in rows {
        let Some(values) = most_popular(name) else { return };
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1.5e-4, "{name}: {values:?}, expected {expected:?}");
        }
    }
}
