//! The fused operations one by one, forward and backward, at the shape A1 of docs/benchmarks.md:
//! 128 sequences of 50 tokens, width 64, 3417 items.
//!
//! `cargo bench -p tastemaker-nn --bench operations`

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use divan::{Bencher, black_box};
use tastemaker_core::SeedTree;
use tastemaker_nn::fused::{
    Block, BlockKind, BlockShape, CatalogSoftmax, Dropout, Embedding, Int8Table, Intervals, Keeper,
    Lanes, LayerNorm, MultiLabelLoss, Positions, RANKED_ROWS, Style, View, multiply, multiply_add,
    rank,
};
use tastemaker_nn::parameters::{Init, Parameters};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WIDTH: usize = 64;
const TOKENS: usize = 128 * 50;
const ITEMS: u32 = 3417;
/// The attributes of the items of Beauty.
const LABELS: u32 = 1221;

fn main() {
    divan::main();
}

fn variable(dimensions: &[usize]) -> Var {
    let n: usize = dimensions.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i * 37 % 101) as f32 / 1000.0 - 0.05).collect();
    Var::from_vec(values, dimensions, &Device::Cpu).expect("a variable")
}

fn lanes() -> Arc<Lanes> {
    Arc::new(Lanes::new(vec![50; 128]))
}

fn tokens() -> Vec<u32> {
    (0_u32..).take(TOKENS).map(|i| i.wrapping_mul(2_654_435_761) % ITEMS).collect()
}

/// Runs an operation and, for `backward`, its backward pass.
fn both(bencher: Bencher<'_, '_>, backward: bool, run: impl Fn() -> Tensor) {
    bencher.bench_local(|| {
        let result = run();
        if backward {
            black_box(result.sum_all().and_then(|sum| sum.backward()).expect("a gradient"));
        }
    });
}

fn shape(reads: bool) -> BlockShape {
    BlockShape {
        width: WIDTH,
        heads: 2,
        size: WIDTH / 2,
        inner: 4 * WIDTH,
        causal: true,
        reads,
        style: Style::default(),
    }
}

#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn block(bencher: Bencher<'_, '_>, backward: bool) {
    both_of_block(bencher, backward, shape(false));
}

/// An HSTU's block with all that can be added to scores.
#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn hstu_block(bencher: Bencher<'_, '_>, backward: bool) {
    let kind = BlockKind::Hstu { longest: 50 };
    let (positions, intervals) = (Positions::Relative, true);
    let style = Style { positions, intervals, kind, ..Style::default() };
    both_of_block(bencher, backward, BlockShape { inner: 0, style, ..shape(false) });
}

fn both_of_block(bencher: Bencher<'_, '_>, backward: bool, shape: BlockShape) {
    let times: Vec<f64> = (0..TOKENS).map(|i| (i * 86_400) as f64).collect();
    let intervals = Arc::new(Intervals::new(&lanes(), Some(&times)));
    let n: usize = shape.parameters().iter().map(|(_, d)| d.iter().product::<usize>()).sum();
    let (x, weights, lanes) = (variable(&[TOKENS, WIDTH]), variable(&[n]), lanes());
    both(bencher, backward, || {
        let block = Block::new(shape, lanes.clone(), Dropout::new(0.2, 7));
        let block = block.timed(Some(intervals.clone()));
        x.apply_op2(&weights, block).expect("a block")
    });
}

/// As [`block`], of 10 tokens a sequence that look at an encoder's 50 states of it.
#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn reading_block(bencher: Bencher<'_, '_>, backward: bool) {
    let shape = shape(true);
    let n: usize = shape.parameters().iter().map(|(_, d)| d.iter().product::<usize>()).sum();
    let (memory, weights, read) = (variable(&[TOKENS, WIDTH]), variable(&[n]), lanes());
    let lanes = Arc::new(Lanes::reading(vec![10; 128], &read));
    let x = variable(&[lanes.n_tokens(), WIDTH]);
    both(bencher, backward, || {
        let block = Block::new(shape, lanes.clone(), Dropout::new(0.2, 7));
        x.apply_op3(&memory, &weights, block.reading(Some(read.clone()))).expect("a block")
    });
}

#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn catalog_softmax(bencher: Bencher<'_, '_>, backward: bool) {
    let (hidden, table) = (variable(&[TOKENS, WIDTH]), variable(&[ITEMS as usize, WIDTH]));
    both(bencher, backward, || {
        hidden.apply_op2(&table, CatalogSoftmax::new(tokens(), ITEMS as usize)).expect("a loss")
    });
}

#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn multi_label_loss(bencher: Bencher<'_, '_>, backward: bool) {
    let (x, table) = (variable(&[TOKENS, WIDTH]), variable(&[LABELS as usize, WIDTH]));
    let labels: Vec<[u32; 5]> =
        tokens().iter().map(|t| [0, 1, 2, 3, 4].map(|i| (t * 7 + i) % LABELS)).collect();
    both(bencher, backward, || {
        let loss = MultiLabelLoss::new(labels.iter().map(<[u32; 5]>::as_slice));
        loss.apply(&x, &table).expect("a loss")
    });
}

#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn embedding(bencher: Bencher<'_, '_>, backward: bool) {
    let (table, places, lanes) =
        (variable(&[ITEMS as usize, WIDTH]), variable(&[50, WIDTH]), lanes());
    let tokens: Arc<[u32]> = tokens().into();
    both(bencher, backward, || {
        let embedding = Embedding::new(tokens.clone(), &lanes, Dropout::new(0.2, 7));
        table.apply_op2(&places, embedding).expect("embeddings")
    });
}

#[divan::bench(sample_count = 20, sample_size = 1, args = [false, true])]
fn layer_norm(bencher: Bencher<'_, '_>, backward: bool) {
    let (x, weight, bias) = (variable(&[TOKENS, WIDTH]), variable(&[WIDTH]), variable(&[WIDTH]));
    both(bencher, backward, || x.apply_op3(&weight, &bias, LayerNorm::default()).expect("a norm"));
}

/// One thread's matrix products of a chunk of tokens: rows × outputs × inputs. Divan shows
/// multiply-adds a second as items.
#[divan::bench(args = [(128, 192, 64), (128, 256, 64), (128, 64, 256), (50, 50, 32), (50, 32, 50), (128, 512, 64), (8, 8, 32), (512, 512, 512), (128, 1024, 256), (128, 256, 1024)])]
fn product(bencher: Bencher<'_, '_>, (m, n, k): (usize, usize, usize)) {
    let (a, b, mut out) = (vec![0.5; m * k], vec![0.25; n * k], vec![0.0; m * n]);
    bencher.counter(divan::counter::ItemsCount::new(m * n * k)).bench_local(|| {
        multiply(&mut out, n, (m, n, k), View::rows(&a, k), View::rows(&b, k).transposed());
        black_box(&mut out);
    });
}

/// As [`product`], of a linear layer's weight: the left factor is read in columns.
#[divan::bench(args = [(192, 64, 128), (64, 256, 128), (1024, 256, 128), (256, 1024, 128)])]
fn weight_gradient(bencher: Bencher<'_, '_>, (m, n, k): (usize, usize, usize)) {
    let (a, b, mut out) = (vec![0.5; m * k], vec![0.25; n * k], vec![0.0; m * n]);
    bencher.counter(divan::counter::ItemsCount::new(m * n * k)).bench_local(|| {
        let a = View::rows(&a, m).transposed();
        multiply_add(&mut out, n, (m, n, k), a, View::rows(&b, n));
        black_box(&mut out);
    });
}

/// Some of the users of Amazon Beauty against all of its items.
const USERS: usize = 1024;
const CATALOG: usize = 12_101;

/// A user's best items: a heap would do; the worst of the last ten is near enough to time.
struct Best(Vec<(f32, u32)>);

impl Keeper for Best {
    fn bar(&self) -> f32 {
        self.0.last().map_or(f32::NEG_INFINITY, |(score, _)| *score)
    }

    fn offer(&mut self, class: u32, score: f32) {
        if self.0.len() == 10 {
            self.0.pop();
        }
        let place = self.0.partition_point(|(other, _)| *other >= score);
        self.0.insert(place, (score, class));
    }
}

/// One user over many items on one thread.
#[divan::bench(sample_count = 20, sample_size = 1, args = [(12_101, false), (12_101, true), (1_000_000, false), (1_000_000, true)])]
fn one_user(bencher: Bencher<'_, '_>, (items, int8): (usize, bool)) {
    let mut normal = Parameters::default();
    let seeds = SeedTree::new(1);
    normal.add("hidden", &[WIDTH], Init::Normal(1.0), &seeds).expect("numbers");
    normal.add("table", &[items, WIDTH], Init::Normal(1.0), &seeds).expect("numbers");
    let values = |name| normal.values(name).expect("numbers");
    let (hidden, table) = (values("hidden"), values("table"));
    let eight = Int8Table::new(&table, WIDTH);
    bencher.bench_local(|| {
        let mut best = [Best(vec![])];
        if int8 {
            eight.rank(&hidden, &table, &mut best);
        } else {
            rank(&hidden, &table, WIDTH, &mut best);
        }
        black_box(best);
    });
}

/// Ranking on one thread, and the bare product that it needs. Divan shows multiply-adds a second
/// as items.
#[divan::bench(sample_count = 10, sample_size = 1, args = ["bare product", "fused"])]
fn ranking(bencher: Bencher<'_, '_>, how: &str) {
    let spread = |n: usize| -> Vec<f32> {
        (0..n).map(|i| (i * 7919 % 10_007) as f32 / 10_007.0 - 0.5).collect()
    };
    let (hidden, table) = (spread(USERS * WIDTH), spread(CATALOG * WIDTH));
    let mut scores = vec![0.0; RANKED_ROWS * CATALOG];
    let work = divan::counter::ItemsCount::new(USERS * CATALOG * WIDTH);
    bencher.counter(work).bench_local(|| {
        for hidden in hidden.chunks(RANKED_ROWS * WIDTH) {
            if how == "fused" {
                let mut best: Vec<Best> = (0..RANKED_ROWS).map(|_| Best(vec![])).collect();
                rank(hidden, &table, WIDTH, &mut best);
                black_box(best);
            } else {
                // The table as the left factor: it need not be packed.
                let (table, hidden) = (View::rows(&table, WIDTH), View::rows(hidden, WIDTH));
                let shape = (CATALOG, RANKED_ROWS, WIDTH);
                multiply(&mut scores, RANKED_ROWS, shape, table, hidden.transposed());
                black_box(&mut scores);
            }
        }
    });
}
