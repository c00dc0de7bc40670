use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{Features, Precision, RowGradients, SampledKind};
use tastemaker_nn::transformer::{FEATURES, Input, Pass, TABLE, Transformer};

use crate::gradients::{check_gradients, enlarge, loss, models, models_with};

/// Rows of the table; the last ones have no features.
const ROWS: usize = 30;

/// Of 28 rows none, one or several of 9 features; one of them stands in most rows.
fn features() -> Features {
    let of = |row: u32| match row % 4 {
        0 => vec![],
        1 => vec![8],
        2 => vec![row % 7, 8],
        _ => vec![row % 5, 7, 8, 5 + row % 2],
    };
    Features::new(&(0..28).map(of).collect::<Vec<_>>(), 9)
}

/// Numbers without a pattern.
pub(crate) fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 11) as f32 * 0.7).sin()).collect()
}

fn variable(rows: usize, seed: usize) -> Var {
    Var::from_vec(numbers(rows * 16, seed), (rows, 16), &Device::Cpu).unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn near(a: &[f32], b: &[f32], what: &str) {
    let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(a.len() == b.len() && worst < 1e-5, "{what}: {worst}");
}

#[test]
fn a_composed_table_and_its_gradients_are_those_of_the_composite() {
    let (features, gradient) = (features(), numbers(ROWS * 16, 3));
    for owned in [ROWS, 2] {
        let (own, parts) = (variable(owned, 1), variable(9, 2));
        let expected = composite::features(&own, &parts, &features, ROWS).unwrap();
        let made = features.compose(&values(&own), &values(&parts), ROWS, 16);
        near(&made, &values(&expected), "rows");
        let weights = Tensor::from_slice(&gradient, (ROWS, 16), &Device::Cpu).unwrap();
        let store = expected.mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
        let of_parts = values(store.get(&parts).unwrap());
        near(&features.of_whole(&gradient, 16), &of_parts, "gradient of features");
        near(&gradient[(ROWS - owned) * 16..], &values(store.get(&own).unwrap()), "own gradient");
    }
    // Rows 1 and 6 alone: those of their features, and no others.
    let some = RowGradients { rows: vec![1, 6], values: gradient[16..48].to_vec() };
    let of_some = features.of_rows(&some, 16);
    assert_eq!(of_some.rows, [6, 8]);
    let mut whole = vec![0.0; ROWS * 16];
    some.add_to(&mut whole);
    let mut of_whole = vec![0.0; 9 * 16];
    of_some.add_to(&mut of_whole);
    assert!(of_whole == features.of_whole(&whole, 16));
}

#[test]
fn a_row_begins_as_long_with_many_features_as_with_few() {
    let backbone = AnyBackbone::Decoder(Decoder::default());
    for own in [true, false] {
        let mut model = Transformer::new(&backbone, 3002, &SeedTree::new(5)).unwrap();
        // One feature, four, or nine, of 900.
        let of = |row: u32| (0..(row % 3 + 1).pow(2)).map(|i| (row * 7 + i * 101) % 900).collect();
        let features = Features::new(&(0..3000).map(of).collect::<Vec<_>>(), 900);
        model.add_features(features, own, &SeedTree::new(2)).unwrap();
        let table = values(&model.table(Pass::default()).tensor().unwrap());
        for few_or_many in 0..3 {
            let rows = table.chunks(64).take(3000).skip(few_or_many).step_by(3);
            let squares: f64 = rows.flatten().map(|x| f64::from(*x).powi(2)).sum();
            let deviation = (squares / (1000.0 * 64.0)).sqrt();
            assert!((deviation - 0.02).abs() < 1e-3, "own {own}, {few_or_many}: {deviation}");
        }
    }
}

/// The models with features, with embeddings of their own and without.
fn with_features(dropout: f32) -> Vec<(String, Transformer)> {
    let mut all = Vec::new();
    for own in [true, false] {
        for (backbone, mut model) in models_with(dropout) {
            model.add_features(features(), own, &SeedTree::new(2)).unwrap();
            enlarge(&model, |name| name.starts_with("embedding."));
            all.push((format!("{backbone}, own {own}"), model));
        }
    }
    all
}

#[test]
fn a_model_with_features_learns_along_its_difference_quotient() {
    for (name, mut model) in with_features(0.1) {
        check_gradients(&name, &model);
        // One part of the table alone; a frozen one keeps its bytes.
        for learns in [TABLE, FEATURES] {
            model.choose(|name| name == learns);
            check_gradients(&format!("{name}, {learns} alone"), &model);
            let gradients = model.gradients(&loss(&model)).unwrap();
            for part in [TABLE, FEATURES] {
                assert_eq!(gradients.values(part, 1).unwrap().is_some(), part == learns, "{name}");
            }
        }
        model.choose(|name| name == "norm.bias");
        check_gradients(&format!("{name}, no table"), &model);
    }
}

/// These sequences, which an encoder, if there is one, reads too.
fn input(model: &Transformer, sequences: &[Vec<u32>]) -> Input {
    let input = Input::of(sequences);
    let encoded = model.shape().has_encoder().then(|| Arc::new(input.clone()));
    Input { encoded, ..input }
}

#[test]
fn rows_of_a_composed_table_have_the_gradients_of_the_whole_one() {
    let sequences = [vec![3, 7, 11, 3], vec![2, 5, 6, 7, 28]];
    let classes: Vec<u32> = (0..18).map(|i| i % 12).collect();
    for (name, model) in with_features(0.0) {
        let gradients = |dense: bool| {
            let hidden = model.states(&input(&model, &sequences), Pass::default()).unwrap();
            let table = model.table(Pass::default());
            let mut loss = table.sampled(SampledKind::Softmax, &hidden, classes.clone()).unwrap();
            if dense {
                let nothing = (table.tensor().unwrap().sum_all().unwrap() * 0.0).unwrap();
                loss = loss.add(&nothing).unwrap();
            }
            model.gradients(&loss).unwrap()
        };
        let (of_rows, of_whole) = (gradients(false), gradients(true));
        for part in [TABLE, FEATURES] {
            let n = model.parameters().values(part).unwrap().len();
            let of = |gradients: &tastemaker_nn::gradients::Gradients| {
                gradients.values(part, n).unwrap().unwrap()
            };
            assert!(of(&of_rows) == of(&of_whole), "{name}, {part}");
            assert!(of(&of_rows).iter().any(|&gradient| gradient != 0.0), "{name}, {part}");
        }
        // Features and rows that did not occur are left alone.
        let before = model.parameters().values(FEATURES).unwrap();
        let mut optimiser = AdamW::new(model.parameters(), 0.0);
        optimiser.step(model.parameters(), &of_rows, 1e-2, 5.0).unwrap();
        let after = model.parameters().values(FEATURES).unwrap();
        let moved: Vec<usize> =
            (0..9).filter(|&row| before[row * 16..][..16] != after[row * 16..][..16]).collect();
        let mut expected: Vec<usize> = [3, 7, 11, 2, 5, 6, 0, 1, 4, 8, 9, 10]
            .iter()
            .flat_map(|&row| features().of(row).to_vec())
            .map(|feature| feature as usize)
            .collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(moved, expected, "{name}");
    }
}

#[test]
fn a_frozen_model_answers_from_the_composed_table_of_the_moment() {
    let sequences = [vec![1, 4, 9], vec![16, 25, 7, 20, 6]];
    for (name, model) in with_features(0.0) {
        for _ in 0..2 {
            let input = input(&model, &sequences);
            let hidden = model.states(&input, Pass::default()).unwrap();
            let loss = model.table(Pass::default()).softmax(&hidden, vec![3; 8], 28).unwrap();
            let table = model.table(Pass::default()).tensor().unwrap();
            let expected = hidden.matmul(&table.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
            let frozen = model.frozen(Precision::F32).unwrap();
            let mut scores = vec![0.0; 2 * ROWS];
            frozen.score(&frozen.last_hidden(&input).unwrap(), ROWS, &mut scores);
            near(&scores, &[&expected[2][..], &expected[7]].concat(), &name);
            // After a step both are of the new weights.
            let mut optimiser = AdamW::new(model.parameters(), 0.0);
            let gradients = model.gradients(&loss).unwrap();
            optimiser.step(model.parameters(), &gradients, 1e-2, 5.0).unwrap();
        }
    }
}

#[test]
fn features_of_more_tokens_than_there_are_are_refused() {
    let (_, mut model) = models().swap_remove(0);
    let error = model.add_features(Features::new(&vec![vec![0]; 31], 1), true, &SeedTree::new(1));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("features is of 31 tokens, expected of at most 30"), "{error}");
}
