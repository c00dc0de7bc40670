use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::adapters::{AnyAdapter, Place, SoftPrompt};
use tastemaker_nn::backbones::{AnyBackbone, Decoder, Encoder, EncoderDecoder, Hstu, View, Views};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{
    BlockShape, Dropout, Epsilon, FeedForward, Intervals, Lanes, Norm, Positions, Precision,
    SampledKind,
};
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::transformer::{Input, Pass, Transformer};

const TOKENS: usize = 30;
const LENGTHS: [usize; 5] = [3, 7, 1, 12, 5];

/// Values that a profile can have.
pub(crate) const VALUES: u32 = 4;

pub(crate) fn models() -> Vec<(&'static str, Transformer)> {
    models_with(0.1)
}

pub(crate) fn models_with(dropout: f32) -> Vec<(&'static str, Transformer)> {
    models_on(&Device::Cpu, dropout)
}

pub(crate) fn models_on(device: &Device, dropout: f32) -> Vec<(&'static str, Transformer)> {
    let (layers, embedding_size, max_length) = (Some(2), Some(16), Some(12));
    let dropout = Some(dropout);
    let decoder = Decoder {
        layers,
        embedding_size,
        max_length,
        dropout,
        heads: Some(2),
        ..Decoder::default()
    };
    let encoder = Encoder {
        layers,
        embedding_size,
        max_length,
        dropout,
        heads: Some(2),
        ..Encoder::default()
    };
    let hstu = Hstu {
        layers,
        embedding_size,
        max_length,
        dropout,
        heads: Some(2),
        intervals: true,
        ..Hstu::default()
    };
    let both = EncoderDecoder {
        layers,
        embedding_size,
        max_length,
        dropout,
        encoder_layers: Some(1),
        heads: Some(2),
        ..EncoderDecoder::default()
    };
    let (both, hstu) = (AnyBackbone::EncoderDecoder(both), AnyBackbone::Hstu(hstu));
    [AnyBackbone::Decoder(decoder), AnyBackbone::Encoder(encoder), both, hstu]
        .iter()
        .map(|backbone| (backbone.name(), model_on(device, backbone)))
        .collect()
}

/// A model whose weights matter.
pub(crate) fn model_on(device: &Device, backbone: &AnyBackbone) -> Transformer {
    let model = Transformer::on(device.clone(), backbone, TOKENS, &SeedTree::new(5)).unwrap();
    enlarge(&model, |_| true);
    model
}

/// Larger weights than a model begins with, so that every path matters, for those parameters of
/// which `which` is true.
pub(crate) fn enlarge(model: &Transformer, which: impl Fn(&str) -> bool) {
    let large: BTreeMap<String, Vec<f32>> = model
        .parameters()
        .iter()
        .map(|(name, _)| {
            let values = model.parameters().values(name).unwrap();
            let large = |(i, v): (usize, f32)| {
                if which(name) { 4.0 * v + 0.03 * (i as f32 * 1.7).sin() } else { v }
            };
            (name.to_owned(), values.into_iter().enumerate().map(large).collect())
        })
        .collect();
    model.parameters().set(|name, _| Ok(&large[name])).unwrap();
}

fn tokens() -> Arc<[u32]> {
    (0..LENGTHS.iter().sum::<usize>() as u32).map(|i| i * i % 29).collect()
}

pub(crate) fn targets() -> Vec<u32> {
    tokens().iter().map(|token| (token + 7) % 30).collect()
}

fn lanes() -> Arc<Lanes> {
    Arc::new(Lanes::new(LENGTHS.to_vec()))
}

/// What is known of `n` sequences: of each another two values, and of one nothing.
pub(crate) fn profiles(n: usize) -> Arc<[Vec<u32>]> {
    let of = |i: u32| if i == 2 { vec![] } else { vec![i % VALUES, (i + 1) % VALUES] };
    (0..n as u32).map(of).collect()
}

/// From seconds to months apart, some of them unknown.
fn times(n: usize) -> Arc<[f64]> {
    let time = |i: usize| if i % 9 == 4 { f64::NAN } else { 4_f64.powf((i % 11) as f64) };
    (0..n).map(time).collect()
}

/// `input` and, for a model that has an encoder, something that it reads of each sequence.
pub(crate) fn with_encoded(model: &Transformer, input: Input) -> Input {
    if !model.shape().has_encoder() {
        return input;
    }
    let n = input.lanes.lengths().len();
    let lengths: Vec<usize> = (0..n).map(|i| 1 + (i * 5 + 2) % 12).collect();
    let total = lengths.iter().sum::<usize>() as u32;
    let encoded = Arc::new(Lanes::new(lengths));
    let lanes = Arc::new(Lanes::reading(input.lanes.lengths().to_vec(), &encoded));
    let encoded = Input::new((0..total).map(|i| i * i * 3 % 28).collect(), encoded);
    let (profiles, times) = (input.profiles.clone(), Some(times(total as usize)));
    let encoded = Input { profiles, times, ..encoded };
    Input { lanes, encoded: Some(Arc::new(encoded)), ..input }
}

fn input(model: &Transformer) -> Input {
    let (profiles, times) = (profiles(LENGTHS.len()), Some(times(tokens().len())));
    with_encoded(model, Input { profiles, times, ..Input::new(tokens(), lanes()) })
}

pub(crate) fn hidden(model: &Transformer, recompute: bool) -> Tensor {
    model.states(&input(model), Pass { seed: 4, recompute, ..Pass::default() }).unwrap()
}

pub(crate) fn loss(model: &Transformer) -> Tensor {
    model.table(Pass::default()).softmax(&hidden(model, false), targets(), TOKENS).unwrap()
}

#[test]
fn every_parameter_learns_along_its_difference_quotient() {
    for (backbone, model) in models() {
        check_gradients(backbone, &model);
    }
    for (name, backbone) in modern() {
        let model = model_on(&Device::Cpu, &backbone);
        let names: Vec<&str> = model.parameters().iter().map(|(name, _)| name).collect();
        let absent = |name: &&str| name.contains("norm.bias") || name.contains("position");
        assert!(!names.iter().any(absent));
        check_gradients(&name, &model);
    }
}

/// Backbones that are put together otherwise.
pub(crate) fn modern() -> Vec<(String, AnyBackbone)> {
    let mut all = Vec::new();
    for positions in [Positions::Rotary, Positions::Relative] {
        let encoder = Encoder {
            embedding_size: Some(16),
            max_length: Some(12),
            norm: Norm::Rms,
            feed_forward: FeedForward::Swiglu,
            positions,
            intervals: true,
            ..Encoder::default()
        };
        let both = EncoderDecoder {
            embedding_size: Some(16),
            max_length: Some(12),
            norm: Norm::Rms,
            feed_forward: FeedForward::Swiglu,
            positions,
            ..EncoderDecoder::default()
        };
        for backbone in [AnyBackbone::Encoder(encoder), AnyBackbone::EncoderDecoder(both)] {
            all.push((format!("{} with rms, swiglu and {positions:?}", backbone.name()), backbone));
        }
    }
    all
}

/// Every parameter that learns has a gradient, and along it the loss grows as it says.
pub(crate) fn check_gradients(backbone: &str, model: &Transformer) {
    let gradients = model.gradients(&loss(model)).unwrap();
    let names: Vec<String> = model.parameters().learning().map(|(n, _)| n.to_owned()).collect();
    for name in names {
        let start = model.parameters().values(&name).unwrap();
        let gradient = gradients.values(&name, start.len()).unwrap().unwrap();
        assert!(gradient.iter().any(|&g| g != 0.0), "{backbone}: {name} has no gradient");
        // Along the gradient itself, in which the rounding of single numbers drowns.
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let shifted = |by: f64| {
            let step = |(v, g): (&f32, &f32)| v + (by * f64::from(*g) / norm) as f32;
            let moved: Vec<f32> = start.iter().zip(&gradient).map(step).collect();
            let all: BTreeMap<&str, Vec<f32>> = model
                .parameters()
                .iter()
                .map(|(other, _)| (other, model.parameters().values(other).unwrap()))
                .collect();
            let numbers =
                |other: &str, _: &[usize]| Ok(if other == name { &moved[..] } else { &all[other] });
            model.parameters().set(numbers).unwrap();
            f64::from(loss(model).to_scalar::<f32>().unwrap())
        };
        let h = 1e-2 / norm.max(1.0);
        let quotient = |h: f64| (shifted(h) - shifted(-h)) / (2.0 * h);
        let error = |quotient: f64| (quotient - norm).abs() / norm.max(1e-2);
        let mut slope = quotient(h);
        if error(slope) > 0.03 {
            // The loss bends; what that adds falls with the square of the step (Richardson).
            slope = (4.0 * quotient(h / 2.0) - slope) / 3.0;
        }
        shifted(0.0);
        let (error, quotient) = (error(slope), slope);
        assert!(error < 0.03, "{backbone}, {name}: {norm} against {quotient}");
    }
}

#[test]
fn views_learn_and_are_what_a_frozen_model_answers_from() {
    let decoder = Decoder {
        embedding_size: Some(16),
        max_length: Some(12),
        dropout: Some(0.0),
        views: Views::from(vec![View::Weekday, View::Gap]),
        ..Decoder::default()
    };
    let backbone = AnyBackbone::Decoder(decoder);
    let model = model_on(&Device::Cpu, &backbone);
    let n = tokens().len() as u32;
    let views: Vec<Arc<[u32]>> =
        vec![(0..n).map(|i| i % 33).collect(), (0..n).map(|i| i % 8).collect()];
    let input = Input { views, ..Input::new(tokens(), lanes()) };
    let hidden = model.states(&input, Pass::default()).unwrap();
    let loss = model.table(Pass::default()).softmax(&hidden, targets(), TOKENS).unwrap();
    let gradients = model.gradients(&loss).unwrap();
    for view in [View::Gap, View::Weekday] {
        let rows = gradients.values(view.parameter(), view.n() * 16).unwrap().unwrap();
        let learns = |row: &[f32]| row.iter().any(|&g| g != 0.0);
        let learning = rows.chunks(16).filter(|row| learns(row)).count();
        assert_eq!(learning, (n as usize).min(view.n()), "{view:?}");
    }
    let last = answers_as_it_learnt("views", &model, &input);
    let untold = Input { views: vec![], ..input };
    let untold = model.frozen(Precision::F32).unwrap().last_hidden(&untold).unwrap();
    assert!(last != untold, "views do nothing");
}

/// A frozen model finds at the last tokens what the learning one does.
fn answers_as_it_learnt(what: &str, model: &Transformer, input: &Input) -> Vec<f32> {
    let hidden = model.states(input, Pass::default()).unwrap();
    let last = model.frozen(Precision::F32).unwrap().last_hidden(input).unwrap();
    let rows: Vec<u32> = lanes().last_tokens().map(|row| row as u32).collect();
    let rows = Tensor::new(rows, &Device::Cpu).unwrap();
    let expected = hidden.index_select(&rows, 0).unwrap().flatten_all().unwrap();
    for (a, b) in last.iter().zip(expected.to_vec1::<f32>().unwrap()) {
        assert!((a - b).abs() < 1e-4, "{what}: {a} against {b}");
    }
    last
}

/// Every backbone, looking at intervals.
fn timed() -> Vec<(&'static str, Transformer)> {
    let (embedding_size, max_length, dropout) = (Some(16), Some(12), Some(0.0));
    let intervals = true;
    let decoder = Decoder { embedding_size, max_length, dropout, intervals, ..Default::default() };
    let encoder = Encoder { embedding_size, max_length, dropout, intervals, ..Default::default() };
    let hstu = Hstu { embedding_size, max_length, dropout, intervals, ..Hstu::default() };
    let both =
        EncoderDecoder { embedding_size, max_length, dropout, intervals, ..Default::default() };
    let (both, hstu) = (AnyBackbone::EncoderDecoder(both), AnyBackbone::Hstu(hstu));
    [AnyBackbone::Decoder(decoder), AnyBackbone::Encoder(encoder), both, hstu]
        .into_iter()
        .map(|backbone| (backbone.name(), model_on(&Device::Cpu, &backbone)))
        .collect()
}

/// [`input`] with other times, of what an encoder reads as well.
fn with_times(model: &Transformer, other: impl Fn(&[f64]) -> Option<Arc<[f64]>>) -> Input {
    let input = input(model);
    let of = |input: &Input| other(input.times.as_deref().unwrap());
    let encoded = input.encoded.as_deref();
    let encoded = encoded.map(|read| Arc::new(Input { times: of(read), ..read.clone() }));
    Input { times: of(&input), encoded, ..input }
}

#[test]
fn intervals_are_what_a_frozen_model_answers_from_with_and_without_a_prompt() {
    for (backbone, mut model) in timed() {
        for place in [None, Some(Place::Before), Some(Place::After)] {
            if let Some(place) = place {
                let soft = AnyAdapter::SoftPrompt(SoftPrompt { tokens: 2, inner_size: 0, place });
                model.insert(&soft, &SeedTree::new(6)).unwrap();
            }
            let what = format!("{backbone}, prompt {place:?}");
            let last = answers_as_it_learnt(&what, &model, &input(&model));
            let untold = with_times(&model, |_| None);
            assert!(last != answers_as_it_learnt(&what, &model, &untold), "{what}");
            // Only the time between tokens counts, not the time itself.
            let later =
                with_times(&model, |times| Some(times.iter().map(|t| t + 4096.0).collect()));
            assert!(last == answers_as_it_learnt(&what, &model, &later), "{what}");
        }
        let short = Input { times: Some([0.0].into()), ..input(&model) };
        let error = model.states(&short, Pass::default()).unwrap_err().to_string();
        assert_eq!(error, "tokens' times is 1, expected one a token (28)");
    }
}

#[test]
fn the_time_of_a_later_token_changes_nothing_before_it() {
    for (backbone, model) in timed().into_iter().filter(|(_, m)| !m.shape().has_encoder()) {
        let of = |times: Vec<f64>| {
            let (tokens, lanes) = ((0..8).collect(), Arc::new(Lanes::new(vec![8])));
            let input = Input { times: Some(times.into()), ..Input::new(tokens, lanes) };
            let states = model.states(&input, Pass::default()).unwrap();
            states.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let before: Vec<f64> = (0..8).map(|i| f64::from(i) * 100.0).collect();
        let mut after = before.clone();
        after[5] = 1e6;
        let (before, after) = (of(before), of(after));
        let same = (0..8).filter(|i| before[i * 16..][..16] == after[i * 16..][..16]).count();
        assert_eq!(same, if backbone == "encoder" { 0 } else { 5 }, "{backbone}");
    }
}

/// What a stack of the model finds, in plain tensor operations.
fn stack_of_composites(
    (model, prefix, sites): (&Transformer, &str, std::iter::StepBy<std::ops::RangeFrom<u32>>),
    shape: BlockShape,
    input: &Input,
    memory: Option<(&Tensor, &Lanes)>,
    dropout: Dropout,
) -> Tensor {
    let get = |name: &str| model.parameters().get(name);
    let zeros = Tensor::zeros((1, 16), DType::F32, &Device::Cpu).unwrap();
    let (positions, places) = match (shape.style.positions, prefix) {
        (Positions::Learned, "") => (get("embedding.position"), input.lanes.positions()),
        (Positions::Learned, _) => (get("embedding.encoder-position"), input.lanes.positions()),
        _ => (&zeros, vec![0; input.tokens.len()]),
    };
    let at = (&input.tokens[..], &places[..]);
    let mut x = composite::embedding(get("embedding.token"), positions, at, dropout).unwrap();
    let intervals = Intervals::new(&input.lanes, input.times.as_deref());
    let looks = (None, Some(&intervals));
    let layers = if prefix.is_empty() { 2 } else { 1 };
    for (layer, site) in (0..layers).zip(sites) {
        let parts: Vec<Tensor> = shape
            .parameters()
            .iter()
            .filter(|(_, dimensions)| !dimensions.contains(&0))
            .map(|(name, _)| format!("{prefix}block.{layer}.{name}"))
            .map(|name| get(&name).flatten_all().unwrap())
            .collect();
        let (weights, dropout) = (Tensor::cat(&parts, 0).unwrap(), dropout.at(site));
        let states = (&x, memory);
        let lanes = &input.lanes;
        x = composite::reading_block(shape, states, &weights, lanes, looks, dropout).unwrap();
    }
    let norm = |name: &str| get(&format!("{prefix}norm.{name}"));
    composite::layer_norm(&x, (norm("weight"), norm("bias")), Epsilon::default()).unwrap()
}

#[test]
fn a_model_of_composites_has_the_same_loss_and_gradients() {
    for (backbone, model) in models() {
        let table = model.parameters().get("embedding.token");
        let shape = BlockShape {
            width: 16,
            heads: 2,
            size: 8,
            inner: model.shape().inner_size,
            causal: backbone != "encoder",
            reads: false,
            style: model.shape().style,
        };
        let (dropout, input) = (Dropout::new(0.1, 4), input(&model));
        let x = match &input.encoded {
            None => {
                stack_of_composites((&model, "", (1..).step_by(2)), shape, &input, None, dropout)
            }
            Some(encoded) => {
                let both = BlockShape { causal: false, ..shape };
                let of_encoder = (&model, "encoder.", (1..).step_by(2));
                let away = dropout.at(1 << 16);
                let memory = stack_of_composites(of_encoder, both, encoded, None, away);
                let shape = BlockShape { reads: true, ..shape };
                let memory = Some((&memory, &*encoded.lanes));
                let of_decoder = (&model, "", (1..).step_by(3));
                stack_of_composites(of_decoder, shape, &input, memory, dropout)
            }
        };
        let of_composites =
            composite::catalog_softmax(&x, table, (&targets(), None), TOKENS).unwrap();
        let fused = loss(&model);
        let scalar = |loss: &Tensor| loss.to_scalar::<f32>().unwrap();
        assert!((scalar(&fused) - scalar(&of_composites)).abs() < 1e-5, "{backbone}");
        let of_fused = model.gradients(&fused).unwrap();
        let of_composites = of_composites.backward().unwrap();
        for (name, variable) in model.parameters().iter() {
            let a = of_fused.values(name, variable.elem_count()).unwrap().unwrap();
            let b: Vec<f32> =
                of_composites.get(variable).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let largest = b.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
            let worst = a.iter().zip(&b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 1e-4 * largest, "{backbone}, {name}: {worst} of {largest}");
        }
    }
}

#[test]
fn recomputed_activations_give_the_same_bytes() {
    for (_, model) in models() {
        let gradients = |recompute| {
            let loss =
                model.table(Pass::default()).softmax(&hidden(&model, recompute), targets(), TOKENS);
            let gradients = model.gradients(&loss.unwrap()).unwrap();
            let names = model.parameters().iter();
            names
                .map(|(name, v)| gradients.values(name, v.elem_count()).unwrap().unwrap())
                .collect::<Vec<_>>()
        };
        assert!(gradients(true) == gradients(false));
    }
}

#[test]
fn frozen_parameters_keep_their_bytes_and_the_others_move() {
    let choices: [&dyn Fn(&str) -> bool; 4] = [
        &|name| name.ends_with("bias"),
        &|name| name.starts_with("block.1.") || name.starts_with("norm."),
        &|name| name.starts_with("embedding."),
        &|name| name == "block.0.attention.qkv.weight",
    ];
    for (i, learns) in choices.into_iter().enumerate() {
        for (backbone, mut model) in models() {
            model.choose(learns);
            let values = |model: &Transformer| -> BTreeMap<String, Vec<f32>> {
                let parameters = model.parameters();
                let names = parameters.iter().map(|(name, _)| name.to_owned());
                names.map(|name| (name.clone(), parameters.values(&name).unwrap())).collect()
            };
            let before = values(&model);
            let mut optimiser = AdamW::new(model.parameters(), 0.1);
            let gradients = model.gradients(&loss(&model)).unwrap();
            optimiser.step(model.parameters(), &gradients, 1e-2, 5.0).unwrap();
            for (name, old) in before {
                let moved = model.parameters().values(&name).unwrap() != old;
                assert_eq!(moved, learns(&name), "choice {i}, {backbone}, {name}");
                let gradient = gradients.values(&name, old.len()).unwrap();
                assert_eq!(gradient.is_some(), learns(&name), "choice {i}, {backbone}, {name}");
            }
        }
    }
}

#[test]
fn rows_without_a_gradient_are_left_alone_and_the_others_move_as_ever() {
    // Tokens and negatives below 12: the rows from there on have no gradient.
    let classes: Vec<u32> = targets().iter().flat_map(|t| [t % 12, (t + 5) % 12]).collect();
    let step = |dense: bool| {
        let (_, model) = models().swap_remove(0);
        let tokens: Arc<[u32]> = tokens().iter().map(|token| token % 12).collect();
        let hidden = model.forward(tokens, &lanes(), Pass::default()).unwrap();
        let mut loss = model
            .table(Pass::default())
            .sampled(SampledKind::Softmax, &hidden, classes.clone())
            .unwrap();
        if dense {
            // Nothing times the table: a gradient of zeros for all of its rows.
            let nothing =
                (model.table(Pass::default()).tensor().unwrap().sum_all().unwrap() * 0.0).unwrap();
            loss = loss.add(&nothing).unwrap();
        }
        let mut optimiser = AdamW::new(model.parameters(), 0.0);
        let gradients = model.gradients(&loss).unwrap();
        optimiser.step(model.parameters(), &gradients, 1e-2, 5.0).unwrap();
        let moments = &optimiser.moments()["embedding.token"];
        (model.parameters().values("embedding.token").unwrap(), moments.second.clone())
    };
    let (_, before) = models().swap_remove(0);
    let before = before.parameters().values("embedding.token").unwrap();
    let ((lazy, lazy_moments), (dense, dense_moments)) = (step(false), step(true));
    assert!(lazy == dense && lazy_moments == dense_moments);
    assert!(lazy[12 * 16..] == before[12 * 16..] && lazy[..12 * 16] != before[..12 * 16]);
    assert!(lazy_moments[12 * 16..].iter().all(|&v| v == 0.0));
}

#[test]
fn noise_reaches_every_number_that_learns_and_has_its_deviation() {
    for (backbone, mut model) in models() {
        model.choose(|name| !name.starts_with("block.0"));
        let mut gradients = Gradients::default();
        gradients.add_noise(0.5, model.parameters(), &SeedTree::new(5)).unwrap();
        let (mut all, mut seen) = (Vec::new(), Vec::new());
        for (name, variable) in model.parameters().iter() {
            let values = gradients.values(name, variable.elem_count()).unwrap();
            assert_eq!(values.is_some(), model.parameters().learns(name), "{backbone}: {name}");
            let Some(values) = values else { continue };
            assert!(values.iter().all(|value| *value != 0.0), "{backbone}: {name}");
            // No two parameters have the same noise.
            assert!(!seen.contains(&values[0]), "{backbone}: {name}");
            seen.push(values[0]);
            all.extend(values.into_iter().map(f64::from));
        }
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let square = all.iter().map(|value| value * value).sum::<f64>();
        // Five standard errors.
        assert!(mean.abs() < 2.5 / n.sqrt(), "{backbone}: {mean}");
        let deviation = (square / n).sqrt();
        assert!((deviation - 0.5).abs() < 2.5 / (2.0 * n).sqrt(), "{backbone}: {deviation}");
        assert!((gradients.norm().unwrap() - square.sqrt()).abs() < 1e-6 * square.sqrt());
        // What is there stays beneath it.
        let before = model.gradients(&loss(&model)).unwrap();
        let mut sum = model.gradients(&loss(&model)).unwrap();
        sum.add_noise(0.5, model.parameters(), &SeedTree::new(5)).unwrap();
        for (name, variable) in model.parameters().learning() {
            let of = |gradients: &Gradients| gradients.values(name, variable.elem_count()).unwrap();
            let (sum, noise) = (of(&sum).unwrap(), of(&gradients).unwrap());
            let before = of(&before).unwrap_or_else(|| vec![0.0; noise.len()]);
            let whole = sum.iter().zip(&noise).zip(&before);
            assert!(whole.into_iter().all(|((s, n), b)| (s - n - b).abs() < 1e-5), "{name}");
        }
    }
}
