use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use tastemaker_core::SeedTree;
use tastemaker_nn::composite;
use tastemaker_nn::fused::{
    Activation, AttentionMask, Block, BlockKind, BlockShape, CatalogSoftmax, Dropout, Embedding,
    Epsilon, FeedForward, Intervals, Lanes, LayerNorm, Linear, MultiLabelLoss, Norm, Positions,
    Precision, RmsNorm, SampledKind, SampledLoss, Style,
};
use tastemaker_nn::parameters::{Init, Parameters};

pub(crate) const SHAPE: BlockShape = BlockShape {
    width: 16,
    heads: 2,
    size: 8,
    inner: 32,
    causal: true,
    reads: false,
    style: Style {
        norm: Norm::Layer,
        norm_epsilon: Epsilon::USUAL,
        feed_forward: FeedForward::Gelu,
        positions: Positions::Learned,
        intervals: false,
        kind: BlockKind::Transformer,
        rotary_base: 10_000,
        head_norms: false,
        after_norms: false,
    },
};

/// The other kind, with all that can be added to scores.
const HSTU: BlockShape = BlockShape {
    inner: 0,
    style: Style {
        positions: Positions::Relative,
        intervals: true,
        kind: BlockKind::Hstu { longest: 50 },
        ..SHAPE.style
    },
    ..SHAPE
};

/// The usual choices, each other one alone, and all of them.
pub(crate) fn styles() -> Vec<Style> {
    let usual = SHAPE.style;
    let (norm, feed_forward, positions) = (Norm::Rms, FeedForward::Swiglu, Positions::Rotary);
    let (relative, intervals) = (Positions::Relative, true);
    vec![
        usual,
        Style { norm, ..usual },
        Style { norm_epsilon: Epsilon::try_from(0.5).unwrap(), ..usual },
        Style { norm, norm_epsilon: Epsilon::try_from(0.5).unwrap(), ..usual },
        Style { feed_forward, ..usual },
        Style { feed_forward: FeedForward::GeluTanh, ..usual },
        Style { feed_forward: FeedForward::Relu, ..usual },
        Style { feed_forward: FeedForward::GegluTanh, ..usual },
        Style { positions, ..usual },
        Style { positions: relative, ..usual },
        Style { intervals, ..usual },
        Style { norm, feed_forward, positions, intervals, ..usual },
        Style { head_norms: true, ..usual },
        Style { after_norms: true, ..usual },
        Style { norm, feed_forward, positions, head_norms: true, after_norms: true, ..usual },
        Style { norm, feed_forward, positions: relative, intervals, ..usual },
    ]
}

/// Those of both kinds.
fn all_styles() -> Vec<Style> {
    let (norm, positions) = (Norm::Rms, Positions::Rotary);
    let hstu = [
        HSTU.style,
        Style { positions: Positions::Learned, intervals: false, ..HSTU.style },
        Style { norm, positions, ..HSTU.style },
    ];
    styles().into_iter().chain(hstu).collect()
}

/// The usual shape in this style.
fn styled(style: Style) -> BlockShape {
    if style.kind == BlockKind::Transformer {
        BlockShape { style, ..SHAPE }
    } else {
        BlockShape { style, ..HSTU }
    }
}

/// Intervals from seconds to years, some of them unknown.
pub(crate) fn intervals(lanes: &Lanes) -> Arc<Intervals> {
    let time = |i: usize| if i % 7 == 3 { f64::NAN } else { 3_f64.powf((i % 19) as f64) };
    let times: Vec<f64> = (0..lanes.n_tokens()).map(time).collect();
    Arc::new(Intervals::new(lanes, Some(&times)))
}

fn block(shape: BlockShape, lanes: &Arc<Lanes>, dropout: Dropout) -> Block {
    Block::new(shape, lanes.clone(), dropout).timed(Some(intervals(lanes)))
}

/// Random numbers with a name, so that each test has its own and always the same.
pub(crate) fn random(name: &str, dimensions: &[usize], deviation: f64) -> Var {
    let mut parameters = Parameters::default();
    parameters.add(name, dimensions, Init::Normal(deviation), &SeedTree::new(1)).unwrap();
    parameters.iter().next().unwrap().1.clone()
}

fn lanes() -> Arc<Lanes> {
    Arc::new(Lanes::new(vec![1, 7, 3, 40, 2, 90, 5, 1, 30, 64, 12]))
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the largest number.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f32 {
    let (a, b) = (values(a), values(b));
    let largest = b.iter().fold(1e-6_f32, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0_f32, |m, (x, y)| m.max((x - y).abs())) / largest
}

/// The fused and the composite operation have the same result and the same gradients.
pub(crate) fn agree(
    name: &str,
    inputs: &[&Var],
    fused: impl Fn() -> Result<Tensor>,
    composite: impl Fn() -> Result<Tensor>,
) {
    let (fused, composite) = (fused().unwrap(), composite().unwrap());
    assert!(difference(&fused, &composite) < 2e-5, "{name}: {}", difference(&fused, &composite));
    // A loss that weighs every output differently.
    let weigh = |y: &Tensor| -> Result<Tensor> {
        let n = u32::try_from(y.elem_count()).unwrap();
        let weights: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        y.flatten_all()?.mul(&Tensor::from_vec(weights, n as usize, &Device::Cpu)?)?.sum_all()
    };
    let weigh = |y: &Tensor| if y.rank() == 0 { y.affine(0.7, 0.0) } else { weigh(y) };
    let of_fused = weigh(&fused).unwrap().backward().unwrap();
    let of_composite = weigh(&composite).unwrap().backward().unwrap();
    for (i, input) in inputs.iter().enumerate() {
        let (a, b) = (of_fused.get(input).unwrap(), of_composite.get(input).unwrap());
        assert!(difference(a, b) < 1e-4, "{name}, gradient of input {i}: {}", difference(a, b));
    }
}

pub(crate) fn weights_of(shape: BlockShape) -> usize {
    shape.parameters().iter().map(|(_, d)| d.iter().product::<usize>()).sum()
}

#[test]
fn a_block_is_its_composite_with_and_without_dropout() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    for style in all_styles() {
        let weights = random("weights", &[weights_of(styled(style))], 0.3);
        for (causal, share) in [(true, 0.0), (false, 0.0), (true, 0.3)] {
            let (shape, dropout) = (BlockShape { causal, ..styled(style) }, Dropout::new(share, 9));
            let looks = (None, Some(&*intervals(&lanes)));
            agree(
                &format!("block {style:?}"),
                &[&x, &weights],
                || x.apply_op2(&weights, block(shape, &lanes, dropout)),
                || composite::block(shape, &x, &weights, &lanes, looks, dropout),
            );
        }
    }
}

#[test]
fn a_masked_block_is_its_composite() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    let mask = AttentionMask::new(&lanes, |sequence, token, other| {
        (sequence + token * 3 + other * 5) % 4 != 0
    });
    let mask = Arc::new(mask);
    for (shape, causal) in [(SHAPE, true), (SHAPE, false), (HSTU, true), (HSTU, false)] {
        let weights = random("weights", &[weights_of(shape)], 0.3);
        let (shape, dropout) = (BlockShape { causal, ..shape }, Dropout::new(0.1, 9));
        let looks = (Some(&*mask), Some(&*intervals(&lanes)));
        agree(
            "masked block",
            &[&x, &weights],
            || x.apply_op2(&weights, block(shape, &lanes, dropout).masked(Some(mask.clone()))),
            || composite::block(shape, &x, &weights, &lanes, looks, dropout),
        );
    }
    let weights = random("weights", &[weights_of(SHAPE)], 0.3);
    let other = Arc::new(AttentionMask::new(&Lanes::new(vec![3, 4]), |_, _, _| true));
    let masked = block(SHAPE, &lanes, Dropout::none()).masked(Some(other));
    assert!(x.apply_op2(&weights, masked).is_err());
}

#[test]
fn a_block_that_looks_at_intervals_needs_those_of_its_batch() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    let weights = random("weights", &[weights_of(HSTU)], 0.3);
    let other = intervals(&Lanes::new(vec![3, 4]));
    for intervals in [None, Some(other)] {
        let block = Block::new(HSTU, lanes.clone(), Dropout::none()).timed(intervals);
        let error = x.apply_op2(&weights, block).unwrap_err().to_string();
        assert!(error.contains("needs those of its batch"), "{error}");
    }
}

#[test]
fn a_recomputing_block_has_the_same_bytes() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    for shape in [SHAPE, HSTU] {
        let weights = random("weights", &[weights_of(shape)], 0.3);
        let gradients = |recompute| {
            let block = block(shape, &lanes, Dropout::new(0.2, 3)).recomputing(recompute);
            let y = x.apply_op2(&weights, block).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [values(gradients.get(&x).unwrap()), values(gradients.get(&weights).unwrap())]
        };
        assert!(gradients(true) == gradients(false));
    }
}

#[test]
fn frozen_weights_have_no_gradient_and_the_others_keep_theirs() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    for style in all_styles() {
        let shape = styled(style);
        let weights = random("weights", &[weights_of(shape)], 0.3);
        let gradient = |learns, x: &Tensor| {
            let block = block(shape, &lanes, Dropout::new(0.2, 3)).learning(learns);
            let y = x.apply_op2(&weights, block).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            values(gradients.get(&weights).unwrap())
        };
        let all = gradient(shape.parameters().map(|_| true), &x);
        let mut start = 0;
        for (i, (name, dimensions)) in shape.parameters().into_iter().enumerate() {
            let own = start..start + dimensions.iter().product::<usize>();
            start = own.end;
            let mut learns = shape.parameters().map(|_| false);
            learns[i] = !own.is_empty();
            // Below the block everything learns, then nothing does.
            for x in [x.as_tensor().clone(), x.detach()].iter().filter(|_| learns[i]) {
                let one = gradient(learns, x);
                assert!(one[own.clone()] == all[own.clone()], "{style:?}: {name}");
                assert!(one[own.clone()].iter().any(|&g| g != 0.0), "{name} has no gradient");
                let others = one[..own.start].iter().chain(&one[own.end..]);
                assert!(others.copied().all(|g| g == 0.0), "{style:?}: others than {name}");
            }
        }
    }
}

/// Factors of 8 bits are off by at most 2⁻⁹ each.
#[test]
fn bf16_is_near_f32_in_results_and_gradients() {
    let lanes = lanes();
    let x = random("x", &[lanes.n_tokens(), SHAPE.width], 1.0);
    let table = random("table", &[300, SHAPE.width], 1.0);
    let targets: Vec<u32> = (0..lanes.n_tokens() as u32).map(|i| i * 7 % 300).collect();
    let run = |shape, precision| {
        let weights = random("weights", &[weights_of(shape)], 0.3);
        let block = block(shape, &lanes, Dropout::new(0.2, 3)).precision(precision);
        let y = x.apply_op2(&weights, block).unwrap();
        let loss = CatalogSoftmax::new(targets.clone(), 300).precision(precision);
        let loss = y.apply_op2(&table, loss).unwrap();
        let gradients = loss.backward().unwrap();
        let of = |input: &Var| gradients.get(input).unwrap().clone();
        [loss, of(&x), of(&weights), of(&table)]
    };
    for shape in [SHAPE, HSTU] {
        let (full, rounded) = (run(shape, Precision::F32), run(shape, Precision::Bf16));
        for (i, (full, rounded)) in full.iter().zip(&rounded).enumerate() {
            let (difference, kind) = (difference(rounded, full), shape.style.kind);
            assert!(difference > 1e-7, "{kind:?}, {i}: nothing was rounded");
            assert!(difference < 2e-2, "{kind:?}, {i}: {difference}");
        }
    }
}

#[test]
fn an_rms_norm_is_its_composite() {
    let epsilon = Epsilon::try_from(0.1).unwrap();
    let (x, weight) = (random("x", &[300, 24], 2.0), random("weight", &[24], 1.0));
    agree(
        "rms norm",
        &[&x, &weight],
        || x.apply_op2(&weight, RmsNorm(epsilon)),
        || composite::rms_norm(&x, &weight, epsilon),
    );
}

#[test]
fn a_linear_layer_is_its_composite() {
    let (x, weight) = (random("x", &[300, 24], 1.0), random("weight", &[17, 24], 0.5));
    let bias = random("bias", &[17], 1.0);
    for activation in [Activation::None, Activation::Relu, Activation::Gelu, Activation::Silu] {
        agree(
            "linear",
            &[&x, &weight, &bias],
            || x.apply_op3(&weight, &bias, Linear { activation, precision: Precision::F32 }),
            || composite::linear(&x, &weight, &bias, activation),
        );
    }
}

#[test]
fn a_layer_norm_is_its_composite() {
    let epsilon = Epsilon::try_from(0.1).unwrap();
    let x = random("x", &[300, 24], 2.0);
    let (weight, bias) = (random("weight", &[24], 1.0), random("bias", &[24], 1.0));
    agree(
        "norm",
        &[&x, &weight, &bias],
        || x.apply_op3(&weight, &bias, LayerNorm(epsilon)),
        || composite::layer_norm(&x, (&weight, &bias), epsilon),
    );
}

#[test]
fn an_embedding_is_its_composite() {
    let lanes = lanes();
    let tokens: Arc<[u32]> = (0..lanes.n_tokens()).map(|i| (i * 7 % 50) as u32).collect();
    let (table, places) = (random("table", &[50, 16], 1.0), random("places", &[90, 16], 1.0));
    let dropout = Dropout::new(0.25, 3);
    agree(
        "embedding",
        &[&table, &places],
        || table.apply_op2(&places, Embedding::new(tokens.clone(), &lanes, dropout)),
        || composite::embedding(&table, &places, (&tokens, &lanes.positions()), dropout),
    );
}

#[test]
fn a_table_that_does_not_learn_leaves_the_states_their_gradient() {
    let (hidden, table) = (random("hidden", &[300, 16], 1.0), random("table", &[700, 16], 1.0));
    let targets: Vec<u32> = (0..300).map(|i| i * 7 % 690).collect();
    let gradients = |table: &Tensor| {
        let loss = CatalogSoftmax::new(targets.clone(), 690).apply(&hidden, table).unwrap();
        let gradients = loss.backward().unwrap();
        (values(gradients.get(&hidden).unwrap()), gradients.get(table).is_some())
    };
    let (with, of_table) = gradients(&table);
    let (without, of_frozen) = gradients(&table.detach());
    assert_eq!(with, without);
    assert!(of_table && !of_frozen);
}

#[test]
fn a_catalog_softmax_is_its_composite() {
    // More rows and classes than one task takes, a partial one of each, and rows that are no class.
    let (rows, classes) = (300, 1300);
    let hidden = random("hidden", &[rows, 16], 1.0);
    let table = random("table", &[classes + 2, 16], 1.0);
    let targets: Vec<u32> = (0..rows).map(|i| (i * 97 % classes) as u32).collect();
    agree(
        "softmax",
        &[&hidden, &table],
        || hidden.apply_op2(&table, CatalogSoftmax::new(targets.clone(), classes)),
        || composite::catalog_softmax(&hidden, &table, (&targets, None), classes),
    );
    // Some rows count for nothing; the composite's weights have a mean of 1.
    let weights: Vec<f32> = (0..targets.len()).map(|i| (i % 4) as f32).collect();
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    let normalised: Vec<f32> = weights.iter().map(|weight| weight / mean).collect();
    let weighted = || CatalogSoftmax::new(targets.clone(), classes).weights(Some(weights.clone()));
    agree(
        "weighted softmax",
        &[&hidden, &table],
        || hidden.apply_op2(&table, weighted()),
        || composite::catalog_softmax(&hidden, &table, (&targets, Some(&normalised)), classes),
    );
}

#[test]
fn sampled_losses_are_their_composites() {
    let (rows, n) = (70, 9);
    let hidden = random("hidden", &[rows, 16], 1.0);
    let table = random("table", &[40, 16], 1.0);
    let classes: Vec<u32> = (0..rows * n).map(|i| (i * 31 % 40) as u32).collect();
    for kind in [
        SampledKind::Softmax,
        SampledKind::Binary { beta: 1.0 },
        SampledKind::Binary { beta: 0.3 },
        SampledKind::Pairwise,
    ] {
        agree(
            "sampled",
            &[&hidden, &table],
            || hidden.apply_op2(&table, SampledLoss::new(kind, classes.clone(), rows)),
            || composite::sampled_loss(kind, &hidden, &table, &classes),
        );
    }
}

#[test]
fn a_multi_label_loss_is_its_composite() {
    // More rows and labels than one task and one tile take, a partial one of each; rows without
    // a label, and scores from which e to them would not be a number.
    let (rows, n) = (300, 600);
    let labels: Vec<Vec<u32>> =
        (0..rows).map(|row| (0..row % 5).map(|i| (row * 7 + i * 131) % n).collect()).collect();
    let loss = || MultiLabelLoss::new(labels.iter().map(Vec::as_slice));
    for deviation in [0.5, 12.0] {
        let x = random("x", &[rows as usize, 24], deviation);
        let table = random("labels", &[n as usize, 24], deviation);
        agree(
            "multi-label",
            &[&x, &table],
            || loss().apply(&x, &table),
            || composite::multi_label_loss(&x, &table, &loss()),
        );
    }
    let x = random("x", &[rows as usize - 1, 24], 1.0);
    let error = loss().apply(&x, &random("labels", &[n as usize, 24], 1.0)).unwrap_err();
    assert!(error.to_string().contains("labels of 300 rows do not fit 299"), "{error}");
}

#[test]
fn a_block_learns_along_its_difference_quotient() {
    let lanes = Arc::new(Lanes::new(vec![3, 5]));
    let x = random("x", &[8, SHAPE.width], 1.0);
    for shape in [SHAPE, HSTU] {
        follows_its_difference_quotient(shape, &lanes, &x);
    }
}

fn follows_its_difference_quotient(shape: BlockShape, lanes: &Arc<Lanes>, x: &Tensor) {
    let weights = random("weights", &[weights_of(shape)], 0.3);
    let loss = |weights: &Tensor| {
        let y = x.apply_op2(weights, block(shape, lanes, Dropout::new(0.2, 5))).unwrap();
        (y.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap()
    };
    let gradient = values(loss(&weights).backward().unwrap().get(&weights).unwrap());
    let start = values(&weights);
    for (i, slope) in gradient.iter().enumerate().step_by(37) {
        let shifted = |by: f32| {
            let mut numbers = start.clone();
            numbers[i] += by;
            f64::from(
                loss(&Tensor::new(numbers, &Device::Cpu).unwrap()).to_scalar::<f32>().unwrap(),
            )
        };
        let quotient = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
        let error = (quotient - f64::from(*slope)).abs();
        assert!(error < 0.02 * (1.0 + quotient.abs()), "weight {i}: {slope} against {quotient}");
    }
}

#[test]
fn one_thread_and_three_give_the_same_bytes() {
    let lanes = lanes();
    let tokens: Arc<[u32]> = (0..lanes.n_tokens()).map(|i| (i * 7 % 1000) as u32).collect();
    let table = random("table", &[1000, 16], 0.5);
    let places = random("places", &[90, 16], 0.5);
    let weights = [SHAPE, HSTU].map(|shape| random("weights", &[weights_of(shape)], 0.3));
    let step = || -> Result<Vec<Vec<f32>>> {
        let x = table
            .apply_op2(&places, Embedding::new(tokens.clone(), &lanes, Dropout::new(0.2, 1)))?;
        let x = x.apply_op2(&weights[0], block(SHAPE, &lanes, Dropout::new(0.2, 2)))?;
        let x = x.apply_op2(&weights[1], block(HSTU, &lanes, Dropout::new(0.2, 3)))?;
        let loss = x.apply_op2(&table, CatalogSoftmax::new(tokens.to_vec(), 1000))?;
        let classes = tokens.iter().flat_map(|&t| [t, (t + 5) % 1000]).collect();
        let sampled = SampledLoss::new(SampledKind::Softmax, classes, tokens.len());
        let loss = loss.add(&x.apply_op2(&table, sampled)?)?;
        let labels = MultiLabelLoss::new(tokens.chunks_exact(1));
        let loss = loss.add(&labels.apply(&x, &table)?)?;
        let gradients = loss.backward()?;
        let all = [&table, &places, &weights[0], &weights[1]];
        Ok(all.iter().map(|v| values(gradients.get(v).unwrap())).collect())
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step().unwrap())
    };
    assert!(with(1) == with(3));
}
