use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{Features, Permutation};
use tastemaker_nn::transformer::{FEATURES, PERMUTATION, Pass, TABLE, Transformer};

use crate::features::{near, numbers, values};
use crate::gradients::{enlarge, loss, models_with};

fn variable(dimensions: &[usize], seed: usize) -> Var {
    let numbers = numbers(dimensions.iter().product(), seed);
    Var::from_vec(numbers, dimensions, &Device::Cpu).unwrap()
}

#[test]
fn an_order_and_its_gradients_are_those_of_the_composite() {
    for (groups, size) in [(1, 1), (3, 7), (2, 40)] {
        let order = Permutation::new(groups, size);
        let (scores, table) = (variable(&order.dimensions(), 4), variable(&[groups * size, 16], 2));
        let expected = composite::permuted(&scores, &table, order).unwrap();
        let (s, rows) = (values(&scores), values(&table));
        let chosen = order.chosen(&s);
        near(&Permutation::permuted(&chosen, &rows, 16), &values(&expected), "rows");
        let factors = numbers(groups * size * 16, 3);
        let weights = Tensor::from_slice(&factors, expected.shape(), &Device::Cpu).unwrap();
        let store = expected.mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
        let of_scores = order.of_scores(&s, (&rows, &factors), 16);
        near(&of_scores, &values(store.get(&scores).unwrap()), "gradient of scores");
        let of_rows = Permutation::of_rows(&chosen, &factors, 16);
        near(&of_rows, &values(store.get(&table).unwrap()), "gradient of rows");
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(alone.install(|| order.of_scores(&s, (&rows, &factors), 16)) == of_scores);
    }
}

#[test]
fn every_row_is_chosen_once_and_high_scores_say_where() {
    let order = Permutation::new(3, 20);
    let mut chosen = order.chosen(&numbers(3 * 400, 1));
    assert!(chosen.chunks(20).zip(0..).all(|(of, i)| of.iter().all(|row| row / 20 == i)));
    chosen.sort_unstable();
    assert!(chosen == (0..60).collect::<Vec<u32>>());
    // Row i of group g is i · 7 + g, whatever is written elsewhere, however high.
    let mut scores = numbers(3 * 400, 1);
    let there = |row: usize| (row % 20 * 7 + row / 20) % 20;
    (0..60).for_each(|row| scores[row * 20 + there(row)] = if row == 5 { 300.0 } else { 9.0 });
    let expected = (0..60_usize).map(|row| (row / 20 * 20 + there(row)) as u32);
    assert_eq!(order.chosen(&scores), expected.collect::<Vec<u32>>());
    // Of two rows that want the same, the one that wants it more when rows and columns are scaled takes it.
    let scores = [0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 4.0, 2.0];
    assert_eq!(Permutation::new(1, 3).chosen(&scores), [0, 2, 1]);
}

/// Of 28 rows one feature of the first five, and one of the other five.
fn two_groups() -> Features {
    Features::new(&(0..28).map(|row| vec![row % 5, 5 + row / 5 % 5]).collect::<Vec<_>>(), 10)
}

#[test]
fn a_model_learns_an_order_and_settles_in_it() {
    for (name, mut model) in models_with(0.1) {
        model.add_features(two_groups(), false, &SeedTree::new(2)).unwrap();
        enlarge(&model, |name| name.starts_with("embedding."));
        let before = loss(&model).to_scalar::<f32>().unwrap().to_bits();
        model.permute(2, &SeedTree::new(3)).unwrap();
        let (scores, rows) = (
            model.parameters().values(PERMUTATION).unwrap(),
            model.parameters().values(FEATURES).unwrap(),
        );
        let of = |model: &Transformer, name: &str| {
            model.gradients(&loss(model)).unwrap().values(name, 160).unwrap()
        };
        let (of_scores, of_rows) =
            (of(&model, PERMUTATION).unwrap(), of(&model, FEATURES).unwrap());
        model.choose(|name| name == PERMUTATION);
        assert!(of(&model, PERMUTATION).unwrap() == of_scores && of(&model, FEATURES).is_none());
        assert!(of(&model, TABLE).is_none(), "{name}");
        model.choose(|_| true);
        let there = loss(&model).to_scalar::<f32>().unwrap().to_bits();
        model.settle().unwrap();
        let settled = loss(&model).to_scalar::<f32>().unwrap().to_bits();
        assert!(there == settled && there != before, "{name}: {before}, {there}, {settled}");
        // The gradients are those of the features where they stand now.
        let gradient = of(&model, FEATURES).unwrap();
        let order = Permutation::new(2, 5);
        near(&of_rows, &Permutation::of_rows(&order.chosen(&scores), &gradient, 16), name);
        near(&of_scores, &order.of_scores(&scores, (&rows, &gradient), 16), name);
        assert!(model.parameters().iter().all(|(name, _)| name != PERMUTATION));
        model.settle().unwrap();
        let error = model.permute(3, &SeedTree::new(3)).unwrap_err().to_string();
        assert!(error.contains("expected a divisor of the number of features (10)"), "{error}");
    }
}

/// What stands in another order than it should finds its way back.
#[test]
fn a_wrong_order_is_put_right() {
    const SIZE: usize = 16;
    let backbone = AnyBackbone::Decoder(Decoder::default());
    let mut model = Transformer::new(&backbone, 402, &SeedTree::new(5)).unwrap();
    let of = |row: u32| vec![row * 7 % 16, 16 + row / 16 % 16, 32 + row * 5 % 13];
    let features = Features::new(&(0..400).map(of).collect::<Vec<_>>(), 3 * SIZE);
    model.add_features(features, false, &SeedTree::new(2)).unwrap();
    let right = model.table(Pass::default()).tensor().unwrap().detach();
    let rows = model.parameters().values(FEATURES).unwrap();
    let order = Permutation::new(3, SIZE);
    let wrong = order.chosen(&numbers(3 * SIZE * SIZE, 1));
    model.parameters().replace(FEATURES, &Permutation::permuted(&wrong, &rows, 64)).unwrap();
    model.permute(3, &SeedTree::new(3)).unwrap();
    model.choose(|name| name == PERMUTATION);
    let mut optimiser = AdamW::new(model.parameters(), 0.0);
    for _ in 0..300 {
        let table = model.table(Pass::default()).tensor().unwrap();
        let loss = table.sub(&right).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = model.gradients(&loss).unwrap();
        optimiser.step(model.parameters(), &gradients, 0.03, 5.0).unwrap();
    }
    model.settle().unwrap();
    let learnt = model.parameters().values(FEATURES).unwrap();
    let as_before = learnt.chunks(64).zip(rows.chunks(64)).filter(|(a, b)| a == b).count();
    assert!(as_before >= 40, "{as_before} of {} rows", 3 * SIZE);
}
