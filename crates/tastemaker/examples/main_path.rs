//! The main path on a small data set, from a source to metrics.
//!
//! `cargo run --release -p tastemaker --example main_path`

use tastemaker::core::prepare::{PrepareOptions, prepare};
use tastemaker::core::sources::{AnySource, Demo};
use tastemaker::core::splits::{LeaveLastOut, Part, Split};
use tastemaker::core::{RankOptions, RecQuery, SeedTree, TieOrder};
use tastemaker::eval::Evaluator;
use tastemaker::eval::metrics::AnyMetric;
use tastemaker::recommenders::{FitContext, FitRecommender, LanguageModel, Others};
use tastemaker::train::{Silent, Training};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Source → Dataset: real readers and their books, inside the program.
    let prepared = prepare(&AnySource::Demo(Demo::default()), &PrepareOptions::default())?;
    let data = &prepared.dataset;

    // Dataset → SplitSets: the last book of each reader tests, the one before it validates.
    let seeds = SeedTree::new(1);
    let split = LeaveLastOut {}.split(data, &seeds)?;

    // Trainer → Recommender: a small causal decoder, one epoch.
    let model = LanguageModel {
        training: Training { epochs: 1, ..Training::default() },
        ..LanguageModel::default()
    };
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
    let recommender = model.fit(&context)?;

    // Recommender → RankedList: what the first reader might read next.
    let reader = data.interactions.users().next().ok_or("the demo has readers")?;
    let ties = TieOrder::new(data.n_items(), &seeds.child("ties"));
    let query = RecQuery {
        user: Some(reader),
        history: data.interactions.sequence(reader),
        candidates: None,
    };
    let options = RankOptions { n: 3, allow_seen: false, ties: &ties };
    for list in recommender.recommend(&[query], &options)? {
        let titles: Vec<_> = list.items.iter().map(|&item| data.catalog.title(item)).collect();
        assert_eq!(titles.len(), 3);
    }

    // RankedLists → Evaluator → Evaluation.
    let evaluator = Evaluator::new(AnyMetric::usual())?;
    let evaluation = evaluator.evaluate(&*recommender, data, &split, Part::Validation, &seeds)?;
    assert!(evaluation.summary.metrics.iter().all(|value| value.mean.is_finite()));
    Ok(())
}
