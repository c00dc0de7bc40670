use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{Mixture, MixtureWeights, Precision, SampledKind};
use tastemaker_nn::transformer::{Input, Pass, TABLE, TEXTS, Transformer};

use crate::features::{near, numbers, values};
use crate::gradients::{check_gradients, enlarge, loss, models_with};

/// Rows of the table, rows that have vectors, the vectors' width, the table's.
const ROWS: usize = 602;
const WITH: usize = 600;
const INPUTS: usize = 20;
const WIDTH: usize = 16;

/// Vectors of length 1 without a pattern, one of them zeros.
fn vectors(n: usize) -> Vec<f32> {
    let mut vectors = numbers(n * INPUTS, 5);
    for vector in vectors.chunks_mut(INPUTS) {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in vector {
            *x /= length;
        }
    }
    vectors[3 * INPUTS..4 * INPUTS].fill(0.0);
    vectors
}

fn variable(dimensions: &[usize], seed: usize) -> Var {
    let numbers = numbers(dimensions.iter().product(), seed);
    Var::from_vec(numbers, dimensions, &Device::Cpu).unwrap()
}

#[test]
fn a_mixture_and_its_gradients_are_those_of_the_composite() {
    let gradient = numbers(ROWS * WIDTH, 3);
    for (owned, experts) in [(ROWS, 3), (2, 1)] {
        let mixture = Mixture::new(vectors(WITH).into(), INPUTS, experts);
        let own = variable(&[owned, WIDTH], 1);
        let maps = variable(&[experts, INPUTS, WIDTH], 2);
        let (offsets, gate) = (variable(&[experts, WIDTH], 4), variable(&[INPUTS, experts], 6));
        let weights =
            MixtureWeights { maps: maps.as_tensor(), offsets: &offsets, gate: gate.as_tensor() };
        let expected = composite::mixture(&own, &weights, &mixture, ROWS).unwrap();
        let (m, o, g) = (values(&maps), values(&offsets), values(&gate));
        let weights = MixtureWeights { maps: &m[..], offsets: &o[..], gate: &g[..] };
        let made = |own: &Var| mixture.compose(&values(own), &weights, ROWS, WIDTH);
        near(&made(&own), &values(&expected), "rows");
        let factors = Tensor::from_slice(&gradient, (ROWS, WIDTH), &Device::Cpu).unwrap();
        let store = expected.mul(&factors).unwrap().sum_all().unwrap().backward().unwrap();
        let all = mixture.gradients(&weights, (None, &gradient), WIDTH);
        let relative = |found: &[f32], of: &Var, what: &str| {
            let expected = values(store.get(of).unwrap());
            let most = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let scaled = |x: &[f32]| x.iter().map(|x| x / most).collect::<Vec<_>>();
            near(&scaled(found), &scaled(&expected), what);
        };
        relative(&all.maps, &maps, "maps");
        relative(&all.offsets, &offsets, "offsets");
        if experts > 1 {
            relative(&all.gate, &gate, "gate");
        }
        // Some rows alone are as all with zeros elsewhere.
        let some: Vec<u32> = (0..WITH as u32).step_by(7).collect();
        let row = |row: usize| row * WIDTH..(row + 1) * WIDTH;
        let mut sparse = vec![0.0; ROWS * WIDTH];
        let mut of_some = Vec::new();
        for &i in &some {
            sparse[row(i as usize)].copy_from_slice(&gradient[row(i as usize)]);
            of_some.extend_from_slice(&gradient[row(i as usize)]);
        }
        let whole = mixture.gradients(&weights, (None, &sparse), WIDTH);
        let rows = mixture.gradients(&weights, (Some(&some), &of_some), WIDTH);
        near(&rows.maps, &whole.maps, "maps of some");
        near(&rows.offsets, &whole.offsets, "offsets of some");
        near(&rows.gate, &whole.gate, "gate of some");
        // Whatever the number of threads.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = alone.install(|| mixture.gradients(&weights, (None, &gradient), WIDTH));
        assert!(again == all && alone.install(|| made(&own)) == made(&own));
    }
}

/// The models whose tokens have vectors, with embeddings of their own and without.
fn with_vectors(dropout: f32) -> Vec<(String, Transformer)> {
    let mut all = Vec::new();
    for own in [true, false] {
        for (backbone, mut model) in models_with(dropout) {
            let mixture = Mixture::new(vectors(28).into(), INPUTS, 3);
            model.add_vectors(mixture, own, &SeedTree::new(2)).unwrap();
            enlarge(&model, |name| name.starts_with("embedding."));
            all.push((format!("{backbone}, own {own}"), model));
        }
    }
    all
}

#[test]
fn a_model_with_vectors_learns_along_its_difference_quotient() {
    for (name, mut model) in with_vectors(0.1) {
        check_gradients(&name, &model);
        for learns in TEXTS.into_iter().chain([TABLE]) {
            model.choose(|name| name == learns);
            check_gradients(&format!("{name}, {learns} alone"), &model);
            let gradients = model.gradients(&loss(&model)).unwrap();
            for part in TEXTS.into_iter().chain([TABLE]) {
                assert_eq!(gradients.values(part, 1).unwrap().is_some(), part == learns, "{name}");
            }
        }
        model.choose(|name| name == "norm.bias");
        check_gradients(&format!("{name}, no table"), &model);
    }
}

#[test]
fn rows_that_a_loss_looks_at_are_enough() {
    let classes: Vec<u32> = (0..18).map(|i| i % 12).collect();
    for (name, model) in with_vectors(0.0) {
        if model.shape().has_encoder() {
            continue;
        }
        let gradients = |dense: bool| {
            let input = Input::of(&[vec![3, 7, 11, 3], vec![2, 5, 6, 7, 28]]);
            let hidden = model.states(&input, Pass::default()).unwrap();
            let table = model.table(Pass::default());
            let mut loss = table.sampled(SampledKind::Softmax, &hidden, classes.clone()).unwrap();
            if dense {
                let nothing = (table.tensor().unwrap().sum_all().unwrap() * 0.0).unwrap();
                loss = loss.add(&nothing).unwrap();
            }
            model.gradients(&loss).unwrap()
        };
        let (rows, whole) = (gradients(false), gradients(true));
        for part in TEXTS.into_iter().chain([TABLE]) {
            let n = model.parameters().values(part).unwrap().len();
            let of = |gradients: &tastemaker_nn::gradients::Gradients| {
                gradients.values(part, n).unwrap().unwrap()
            };
            near(&of(&rows), &of(&whole), &format!("{name}, {part}"));
            assert!(of(&rows).iter().any(|&gradient| gradient != 0.0), "{name}, {part}");
        }
        let frozen = model.frozen(Precision::F32).unwrap();
        let mut scores = vec![0.0; 30];
        let input = Input::of(&[vec![3, 7, 11, 3]]);
        frozen.score(&frozen.last_hidden(&input).unwrap(), 30, &mut scores);
        let hidden = model.states(&input, Pass::default()).unwrap();
        let table = model.table(Pass::default()).tensor().unwrap();
        let expected = hidden.matmul(&table.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        near(&scores, &expected[3], &name);
    }
}

#[test]
fn rows_of_vectors_begin_as_long_as_others() {
    let backbone = AnyBackbone::Decoder(Decoder::default());
    for own in [true, false] {
        let mut model = Transformer::new(&backbone, 602, &SeedTree::new(5)).unwrap();
        let mixture = Mixture::new(vectors(600).into(), INPUTS, 8);
        model.add_vectors(mixture, own, &SeedTree::new(2)).unwrap();
        let table = values(&model.table(Pass::default()).tensor().unwrap());
        let squares: f64 = table.iter().map(|x| f64::from(*x).powi(2)).sum();
        let deviation = (squares / table.len() as f64).sqrt();
        assert!((deviation - 0.02).abs() < 2e-3, "own {own}: {deviation}");
    }
}

#[test]
fn a_table_can_begin_with_given_embeddings() {
    let backbone = AnyBackbone::Decoder(Decoder::default());
    let model = Transformer::new(&backbone, 12, &SeedTree::new(5)).unwrap();
    let before = model.parameters().values(TABLE).unwrap();
    let given: Vec<f32> = (0..640).map(|i| if i % 2 == 0 { 5.0 } else { -5.0 }).collect();
    model.begin_with(&given).unwrap();
    let after = model.parameters().values(TABLE).unwrap();
    let expected: Vec<f32> = given.iter().map(|x| x * 0.004).collect();
    near(&after[..640], &expected, "given");
    assert_eq!(after[640..], before[640..]);
    let error = model.begin_with(&vec![1.0; 13 * 64]).unwrap_err().to_string();
    assert!(error.contains("first embeddings is 832 numbers, expected at most 768"), "{error}");
}
