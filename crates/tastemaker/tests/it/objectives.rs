use candle_core::Tensor;
use rand::Rng;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::people::{UserAttribute, UserAttributes};
use tastemaker::core::splits::{LeaveLastOut, Split, SplitSets};
use tastemaker::core::{Dataset, Interactions, ItemId, SeedTree, UserId, Vocabulary};
use tastemaker::nn::adamw::AdamW;
use tastemaker::nn::backbones::{AnyBackbone, Decoder, EncoderDecoder, Shape};
use tastemaker::nn::fused::Features;
use tastemaker::nn::transformer::{FEATURES, Input, Pass, Sides, Transformer};
use tastemaker::objectives::{
    AnyObjective, Bce, Bpr, Gbce, GroupGap, MaskedItems, NextSequence, PopularityCorrelation,
    PseudoMaskedItems, RearrangedSequence, ReplacedItems, ReturnConditioned, S3Rec, SampledSoftmax,
    SequenceContrast, SequenceItemContrast, Softmax,
};
use tastemaker::train::{Asked, Batch, Facts, Windows, pack};

const N_ITEMS: u32 = 20;

/// Eight users, of whom one is of no group, and items with categories.
fn data() -> (Dataset, SplitSets) {
    let item = |user: u32, i: u32| ItemId((user * 7 + i * (3 + 2 * (user % 4))) % N_ITEMS);
    let sequences: Vec<Vec<ItemId>> =
        (0..8).map(|u| (0..7 + u % 4).map(|i| item(u, i)).collect()).collect();
    let offsets = sequences.iter().fold(vec![0], |mut offsets, sequence| {
        offsets.push(offsets[offsets.len() - 1] + sequence.len());
        offsets
    });
    let items = sequences.concat();
    let values = items.iter().enumerate().map(|(i, _)| [0.0, 1.0, 5.0][i % 3]).collect();
    let times = Some((0_u32..).map(f64::from).take(items.len()).collect());
    let interactions = Interactions::from_columns(offsets, items, times, Some(values));
    let categories = (0..N_ITEMS).map(|i| vec![format!("a{}", i % 3), format!("b{}", i % 4)]);
    let column = Column::Categories(categories.collect());
    let catalog = Catalog::new(vec![Attribute { name: "kinds".to_owned(), column }], None);
    let group = |user: u32| if user == 5 { vec![] } else { vec![format!("g{}", user % 3)] };
    let column = Column::Categories((0..8).map(group).collect());
    let attribute = Attribute { name: "group".to_owned(), column };
    let data = Dataset {
        people: UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }]),
        users: (0..8).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: (0..N_ITEMS).map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions,
        catalog,
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

fn objectives() -> Vec<AnyObjective> {
    vec![
        AnyObjective::Bce(Bce { negatives: 3 }),
        AnyObjective::Bpr(Bpr { negatives: 3 }),
        AnyObjective::Gbce(Gbce { negatives: 3, calibration: 0.5 }),
        AnyObjective::GroupGap(GroupGap { attribute: "group".to_owned() }),
        AnyObjective::MaskedItems(MaskedItems::default()),
        AnyObjective::NextSequence(NextSequence::default()),
        AnyObjective::PopularityCorrelation(PopularityCorrelation::default()),
        AnyObjective::PseudoMaskedItems(PseudoMaskedItems::default()),
        AnyObjective::RearrangedSequence(RearrangedSequence::default()),
        AnyObjective::ReplacedItems(ReplacedItems::default()),
        AnyObjective::ReturnConditioned(ReturnConditioned::default()),
        AnyObjective::S3Rec(S3Rec::default()),
        AnyObjective::SampledSoftmax(SampledSoftmax { negatives: 3 }),
        AnyObjective::SequenceContrast(SequenceContrast::default()),
        AnyObjective::SequenceItemContrast(SequenceItemContrast::default()),
        AnyObjective::Softmax(Softmax::default()),
    ]
}

const PREFIX: &str = "objective.0";

fn backbone() -> AnyBackbone {
    AnyBackbone::Decoder(Decoder {
        embedding_size: Some(16),
        max_length: Some(9),
        dropout: Some(0.0),
        ..Decoder::default()
    })
}

fn encoder_decoder() -> AnyBackbone {
    AnyBackbone::EncoderDecoder(EncoderDecoder {
        embedding_size: Some(16),
        max_length: Some(9),
        dropout: Some(0.0),
        ..EncoderDecoder::default()
    })
}

fn shape() -> Shape {
    backbone().as_dyn().shape().unwrap()
}

/// What can be asked of which backbone.
fn asked() -> Vec<(AnyBackbone, AnyObjective)> {
    let goes_on = |objective: &AnyObjective| objective.as_dyn().suits_encoder_decoder();
    let decoder = objectives().into_iter().map(|objective| (backbone(), objective));
    let both = objectives().into_iter().filter(goes_on);
    decoder.chain(both.map(|objective| (encoder_decoder(), objective))).collect()
}

/// A model without dropout, with what the objective adds, of larger weights than at first.
fn model(
    (backbone, with_features): (&AnyBackbone, bool),
    objective: &AnyObjective,
    facts: &Facts<'_>,
) -> Transformer {
    let seeds = SeedTree::new(5);
    let mut model = Transformer::new(backbone, N_ITEMS as usize + 2, &seeds).unwrap();
    if with_features {
        let of: Vec<Vec<u32>> =
            (0..N_ITEMS).map(|item| facts.categories(ItemId(item)).to_vec()).collect();
        model.add_features(Features::new(&of, 7), true, &seeds).unwrap();
    }
    let own = objective.as_dyn().parameters(facts, model.shape());
    let generator = objective.as_dyn().generator_layers();
    model.add_for_objective(PREFIX, own, generator, &seeds).unwrap();
    model
}

/// What an objective asks about all eight users, and its loss.
struct Case {
    batch: Batch,
    model: Transformer,
    sides: Sides,
    loss: f64,
}

const SEED: u64 = 11;

impl Case {
    fn new(objective: &AnyObjective, facts: &Facts<'_>, windows: &Windows<'_>) -> Self {
        Self::on((&backbone(), false), objective, facts, windows)
    }

    /// On this backbone, whose items have features or not.
    fn on(
        backbone: (&AnyBackbone, bool),
        objective: &AnyObjective,
        facts: &Facts<'_>,
        windows: &Windows<'_>,
    ) -> Self {
        let seeds = SeedTree::new(SEED);
        let order = windows.shuffled(&seeds);
        let batch = pack(objective.as_dyn(), &order, facts, &seeds, 1).remove(0);
        let model = model(backbone, objective, facts);
        let sides = objective.as_dyn().sides();
        let pass = Pass { sides: Some(sides), ..Pass::default() };
        let asked = Asked { model: &model, pass, batch: &batch, facts, prefix: PREFIX };
        let loss = objective.as_dyn().loss(&asked, &mut seeds.rng()).unwrap();
        let loss = f64::from(loss.to_scalar::<f32>().unwrap());
        Self { batch, model, sides, loss }
    }

    fn states(&self, input: &Input) -> Vec<Vec<f64>> {
        let pass = Pass { sides: Some(self.sides), ..Pass::default() };
        rows(&self.model.states(input, pass).unwrap())
    }

    /// The states of the asked rows.
    fn hidden(&self) -> Vec<Vec<f64>> {
        let states = self.states(&self.batch.input);
        self.asked_rows().map(|row| states[row].clone()).collect()
    }

    fn asked_rows(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match &self.batch.rows {
            Some(rows) => Box::new(rows.iter().map(|&row| row as usize)),
            None => Box::new(0..self.batch.input.tokens.len()),
        }
    }

    fn parameter(&self, name: &str) -> Vec<Vec<f64>> {
        rows(self.model.parameters().get(name))
    }

    fn table(&self) -> Vec<Vec<f64>> {
        rows(&self.model.table(Pass::default()).tensor().unwrap())
    }

    /// A logit of an objective that asks for a yes or a no.
    fn logit(&self, state: &[f64]) -> f64 {
        let weight = self.parameter(&format!("{PREFIX}.weight"));
        let weight: Vec<f64> = weight.into_iter().map(|row| row[0]).collect();
        dot(&weight, state)
    }

    /// −log softmax at the targets, averaged.
    fn softmax(&self, states: &[Vec<f64>]) -> f64 {
        mean(self.losses(states).into_iter())
    }

    /// −log softmax at the targets.
    fn losses(&self, states: &[Vec<f64>]) -> Vec<f64> {
        let table = &self.table()[..N_ITEMS as usize];
        let of = |(state, target): (&Vec<f64>, &u32)| {
            let scores: Vec<f64> = table.iter().map(|row| dot(row, state)).collect();
            log_sum(&scores) - scores[*target as usize]
        };
        states.iter().zip(&self.batch.targets).map(of).collect()
    }
}

fn rows(x: &Tensor) -> Vec<Vec<f64>> {
    let width = *x.dims().last().unwrap();
    let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.chunks(width).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times(x: &[f64], matrix: &[Vec<f64>]) -> Vec<f64> {
    let column = |j: usize| x.iter().zip(matrix).map(|(x, row)| x * row[j]).sum();
    (0..matrix[0].len()).map(column).collect()
}

fn log_sum(scores: &[f64]) -> f64 {
    scores.iter().map(|score| score.exp()).sum::<f64>().ln()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// −log σ(x).
fn behind(x: f64) -> f64 {
    (1.0 + (-x).exp()).ln()
}

fn binary(logit: f64, yes: bool) -> f64 {
    if yes { behind(logit) } else { behind(-logit) }
}

/// The negative that objectives draw for a target.
fn negative(target: u32, rng: &mut impl Rng) -> u32 {
    let other = rng.random_range(0..N_ITEMS - 1);
    other + u32::from(other >= target)
}

/// The scores of each target and of its drawn negatives.
fn drawn(case: &Case, negatives: usize) -> Vec<Vec<f64>> {
    let (mut rng, table) = (SeedTree::new(SEED).rng(), case.table());
    let of = |(state, &target): (Vec<f64>, &u32)| {
        let others = (0..negatives).map(|_| negative(target, &mut rng));
        let classes: Vec<u32> = std::iter::once(target).chain(others).collect();
        classes.iter().map(|&class| dot(&table[class as usize], &state)).collect()
    };
    case.hidden().into_iter().zip(&case.batch.targets).map(of).collect()
}

fn normalised(x: &[f64]) -> Vec<f64> {
    let length = dot(x, x).sqrt();
    x.iter().map(|x| x / length).collect()
}

/// The loss by its formula, in plain loops over what the model finds.
fn by_hand(objective: &AnyObjective, case: &Case, facts: &Facts<'_>) -> f64 {
    let batch = &case.batch;
    let pairs = |scores: &[f64], beta: f64| {
        let others: f64 = scores[1..].iter().map(|&score| behind(-score)).sum();
        (beta * behind(scores[0]) + others) / scores.len() as f64
    };
    match objective {
        AnyObjective::Bce(bce) => mean(drawn(case, bce.negatives).iter().map(|s| pairs(s, 1.0))),
        AnyObjective::Gbce(gbce) => {
            let alpha = gbce.negatives as f64 / f64::from(N_ITEMS - 1);
            let beta = alpha * (gbce.calibration * (1.0 - 1.0 / alpha) + 1.0 / alpha);
            mean(drawn(case, gbce.negatives).iter().map(|scores| pairs(scores, beta)))
        }
        AnyObjective::Bpr(bpr) => mean(
            drawn(case, bpr.negatives)
                .iter()
                .map(|scores| mean(scores[1..].iter().map(|other| behind(scores[0] - other)))),
        ),
        AnyObjective::SampledSoftmax(sampled) => {
            mean(drawn(case, sampled.negatives).iter().map(|s| log_sum(s) - s[0]))
        }
        AnyObjective::Softmax(_)
        | AnyObjective::MaskedItems(_)
        | AnyObjective::PseudoMaskedItems(_) => case.softmax(&case.hidden()),
        AnyObjective::NextSequence(_) | AnyObjective::RearrangedSequence(_) => {
            let hidden = case.hidden();
            let of = |(state, label): (&Vec<f64>, &f32)| binary(case.logit(state), *label > 0.5);
            mean(hidden.iter().zip(&batch.labels).map(of))
        }
        AnyObjective::SequenceItemContrast(contrast) => {
            let (table, states) = (case.table(), case.hidden());
            let of = |(i, state): (usize, &Vec<f64>)| {
                let score = |target: u32| {
                    let item = normalised(&table[target as usize]);
                    dot(&normalised(state), &item) / contrast.temperature
                };
                let targets = batch.targets.iter().enumerate();
                let counted = targets.filter(|(j, t)| *j == i || **t != batch.targets[i]);
                let scores: Vec<f64> = counted.map(|(_, &target)| score(target)).collect();
                log_sum(&scores) - score(batch.targets[i])
            };
            mean(states.iter().enumerate().map(of))
        }
        AnyObjective::SequenceContrast(contrast) => {
            let views: Vec<Vec<f64>> = case.hidden().iter().map(|view| normalised(view)).collect();
            let score = |i: usize, j: usize| dot(&views[i], &views[j]) / contrast.temperature;
            mean((0..views.len()).map(|i| {
                let others = (0..views.len()).filter(|&j| j != i);
                log_sum(&others.map(|j| score(i, j)).collect::<Vec<f64>>()) - score(i, i ^ 1)
            }))
        }
        AnyObjective::ReturnConditioned(_) => {
            let weights: Vec<f64> = batch.labels.iter().map(|&value| f64::from(value)).collect();
            dot(&weights, &case.losses(&case.hidden())) / weights.iter().sum::<f64>()
        }
        AnyObjective::PopularityCorrelation(_) => correlation_by_hand(case, facts),
        AnyObjective::GroupGap(_) => gap_by_hand(case),
        AnyObjective::ReplacedItems(replaced) => replaced_by_hand(replaced, case),
        AnyObjective::S3Rec(s3) => s3_by_hand(s3, case, facts),
    }
}

fn correlation_by_hand(case: &Case, facts: &Facts<'_>) -> f64 {
    let (table, targets) = (case.table(), &case.batch.targets);
    let states = case.hidden();
    let scores: Vec<f64> =
        states.iter().zip(targets).map(|(state, &t)| dot(&table[t as usize], state)).collect();
    let met = |target: u32| {
        let users = (0..8).flat_map(|user| facts.train(UserId(user)));
        f64::from(u32::try_from(users.filter(|item| item.0 == target).count()).unwrap())
    };
    let popularity: Vec<f64> = targets.iter().map(|&target| met(target)).collect();
    let centred = |x: &[f64]| x.iter().map(|a| a - mean(x.iter().copied())).collect::<Vec<f64>>();
    let (a, b) = (centred(&scores), centred(&popularity));
    dot(&a, &b).powi(2) / (dot(&a, &a) * dot(&b, &b))
}

fn gap_by_hand(case: &Case) -> f64 {
    let losses = case.losses(&case.hidden());
    let of = |group: u32| {
        let own = losses.iter().zip(&case.batch.numbers);
        mean(own.filter(|(_, user)| **user != 5 && **user % 3 == group).map(|(loss, _)| *loss))
    };
    let gap = |a, b| (of(a) - of(b)).powi(2);
    (gap(0, 1) + gap(0, 2) + gap(1, 2)) / 3.0
}

fn replaced_by_hand(replaced: &ReplacedItems, case: &Case) -> f64 {
    let (batch, mut rng) = (&case.batch, SeedTree::new(SEED).rng());
    let pass = Pass { sides: Some(Sides::Both), ..Pass::default() };
    let states = rows(&case.model.generated(&batch.input, pass).unwrap());
    let states: Vec<Vec<f64>> = case.asked_rows().map(|row| states[row].clone()).collect();
    let mut tokens = batch.numbers.clone();
    for (row, state) in case.asked_rows().zip(&states) {
        let at: f64 = rng.random();
        let powers: Vec<f64> =
            case.table()[..N_ITEMS as usize].iter().map(|item| dot(item, state).exp()).collect();
        let total: f64 = powers.iter().sum();
        let mut reached = 0.0;
        tokens[row] = powers
            .iter()
            .position(|power| {
                reached += power;
                reached >= at * total
            })
            .map(|item| u32::try_from(item).unwrap())
            .unwrap();
    }
    let input = Input::new(tokens.clone().into(), batch.input.lanes.clone());
    let wrong = tokens.iter().zip(&batch.numbers).map(|(token, own)| token != own);
    let logits = case.states(&input).into_iter().map(|state| case.logit(&state));
    let model = mean(logits.zip(wrong).map(|(logit, wrong)| binary(logit, wrong)));
    case.softmax(&states) + replaced.weight * model
}

fn s3_by_hand(s3: &S3Rec, case: &Case, facts: &Facts<'_>) -> f64 {
    let own = |name: &str| case.parameter(&format!("{PREFIX}.{name}"));
    let (batch, hidden, table) = (&case.batch, case.hidden(), case.table());
    let mut rng = SeedTree::new(SEED).rng();
    let attributes = |state: &[f64], target: u32, term: &str| -> f64 {
        let projected = times(state, &own(term));
        let all = own("attributes").into_iter().enumerate();
        all.map(|(i, attribute)| {
            let has = facts.categories(ItemId(target)).contains(&u32::try_from(i).unwrap());
            binary(dot(&projected, &attribute), has)
        })
        .sum()
    };
    let (mut total, mut segments) = (0.0, Vec::new());
    for (row, (&kind, state)) in batch.numbers.iter().zip(&hidden).enumerate() {
        let target = batch.targets[row];
        match kind {
            0 => {
                total +=
                    s3.associated_attributes * attributes(state, target, "associated-attributes");
            }
            1 => {
                total += s3.masked_attributes * attributes(state, target, "masked-attributes");
                let (projected, other) =
                    (times(state, &own("masked-item")), negative(target, &mut rng));
                let score = |item: u32| dot(&projected, &table[item as usize]);
                total += s3.masked_item * behind(score(target) - score(other));
            }
            _ => segments.push(state),
        }
    }
    for stretch in segments.chunks(3) {
        let projected = times(stretch[0], &own("segment"));
        let ahead = dot(&projected, stretch[1]) - dot(&projected, stretch[2]);
        total += s3.segment * behind(ahead);
    }
    total / 8.0
}

#[test]
fn every_objective_has_the_value_of_its_formula() {
    let (data, split) = data();
    let windows = Windows::new(&data, &split, 10);
    assert_eq!(objectives().len(), AnyObjective::ENTRIES.len());
    for ((backbone, objective), features) in
        asked().into_iter().flat_map(|asked| [(asked.clone(), false), (asked, true)])
    {
        let facts = Facts::new(&data, &split, backbone.as_dyn().shape().unwrap());
        let case = Case::on((&backbone, features), &objective, &facts, &windows);
        let expected = by_hand(&objective, &case, &facts);
        let error = (case.loss - expected).abs() / expected.abs();
        let what = format!("{} on {}, features {features}", objective.name(), backbone.name());
        assert!(error < 1e-4, "{what}: {} against {expected}", case.loss);
    }
}

#[test]
fn every_objective_learns_eight_sequences_by_heart() {
    let (data, split) = data();
    let windows = Windows::new(&data, &split, 10);
    for ((backbone, objective), features) in
        asked().into_iter().zip([false, true].into_iter().cycle())
    {
        let facts = Facts::new(&data, &split, backbone.as_dyn().shape().unwrap());
        let case = Case::on((&backbone, features), &objective, &facts, &windows);
        let mut optimiser = AdamW::new(case.model.parameters(), 0.0);
        let mut losses = Vec::new();
        for _ in 0..200 {
            let pass = Pass { sides: Some(case.sides), ..Pass::default() };
            let (model, batch) = (&case.model, &case.batch);
            let asked = Asked { model, pass, batch, facts: &facts, prefix: PREFIX };
            let loss = objective.as_dyn().loss(&asked, &mut SeedTree::new(SEED).rng()).unwrap();
            losses.push(f64::from(loss.to_scalar::<f32>().unwrap()));
            let gradients = model.gradients(&loss).unwrap();
            optimiser.step(model.parameters(), &gradients, 5e-3, 5.0).unwrap();
        }
        let (first, last) = (losses[0], mean(losses[190..].iter().copied()));
        let what = format!("{} on {}", objective.name(), backbone.name());
        assert!(last < 0.25 * first, "{what}: from {first} to {last}");
    }
}

#[test]
fn what_lessens_unfairness_has_the_gradients_of_finite_differences() {
    let (data, split) = data();
    let windows = Windows::new(&data, &split, 10);
    let unfair = asked()
        .into_iter()
        .filter(|(_, o)| ["group-gap", "popularity-correlation"].contains(&o.name()));
    for ((backbone, objective), features) in unfair.zip([false, true].into_iter().cycle()) {
        let facts = Facts::new(&data, &split, backbone.as_dyn().shape().unwrap());
        let Case { model, batch, sides, .. } =
            Case::on((&backbone, features), &objective, &facts, &windows);
        let loss = || {
            let pass = Pass { sides: Some(sides), ..Pass::default() };
            let asked = Asked { model: &model, pass, batch: &batch, facts: &facts, prefix: PREFIX };
            objective.as_dyn().loss(&asked, &mut SeedTree::new(SEED).rng()).unwrap()
        };
        let gradients = model.gradients(&loss()).unwrap();
        let parameters = model.parameters();
        let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
        // Along each parameter's own gradient, so that what is asked for is not lost in rounding.
        for name in names {
            let values = parameters.values(&name).unwrap();
            let Some(along) = gradients.values(&name, values.len()).unwrap() else { continue };
            let length = along.iter().map(|g| g * g).sum::<f32>().sqrt();
            if length < 1e-3 {
                continue;
            }
            let at = |step: f32| {
                let moved = values.iter().zip(&along).map(|(x, g)| x + step * g / length);
                parameters.replace(&name, &moved.collect::<Vec<f32>>()).unwrap();
                f64::from(loss().to_scalar::<f32>().unwrap())
            };
            let step = 2e-3;
            let found = (at(step) - at(-step)) / f64::from(2.0 * step);
            at(0.0);
            let expected = f64::from(length);
            let what = format!("{} on {}: {name}", objective.name(), backbone.name());
            assert!((found / expected - 1.0).abs() < 0.03, "{what}: {found} against {expected}");
        }
    }
}

#[test]
fn a_pseudo_mask_does_not_see_what_it_asks_for() {
    let (data, split) = data();
    let facts = Facts::new(&data, &split, shape());
    let windows = Windows::new(&data, &split, 9);
    let objective = AnyObjective::PseudoMaskedItems(PseudoMaskedItems {
        probability: 0.5,
        ..PseudoMaskedItems::default()
    });
    let case = Case::new(&objective, &facts, &windows);
    let (input, pseudo) = (&case.batch.input, N_ITEMS + 1);
    let before = case.states(input);
    let (mut asked, mut seen) = (0, 0);
    for (row, &token) in input.tokens.iter().enumerate() {
        if token != pseudo {
            continue;
        }
        // The item itself stands after its pseudo-mask.
        let mut tokens = input.tokens.to_vec();
        tokens[row + 1] = (tokens[row + 1] + 1) % N_ITEMS;
        let after = case.states(&Input { tokens: tokens.into(), ..input.clone() });
        assert!(before[row] == after[row], "row {row} sees its answer");
        let masks = input.tokens.iter().enumerate().filter(|(_, token)| **token == N_ITEMS);
        assert!(masks.map(|(mask, _)| mask).all(|mask| before[mask] == after[mask]));
        seen += before.iter().zip(&after).filter(|(before, after)| before != after).count() - 1;
        asked += 1;
    }
    assert!(asked > 8 && seen > 8, "{asked} are asked, {seen} see the items of blocks before");
}

#[test]
fn an_encoder_reads_the_beginning_and_its_decoder_is_asked_for_the_rest() {
    let (data, split) = data();
    let windows = Windows::new(&data, &split, 10);
    let facts = Facts::new(&data, &split, encoder_decoder().as_dyn().shape().unwrap());
    let objective = AnyObjective::Softmax(Softmax::default());
    let case = Case::on((&encoder_decoder(), false), &objective, &facts, &windows);
    let batch = &case.batch;
    let encoded = batch.input.encoded.as_ref().unwrap();
    let order = windows.shuffled(&SeedTree::new(SEED));
    let (mut read, mut own) = (0, 0);
    for (i, window) in order.iter().enumerate() {
        let (n, m) = (encoded.lanes.lengths()[i], batch.input.lanes.lengths()[i]);
        let items: Vec<u32> = window.items.iter().map(|item| item.0).collect();
        assert_eq!(n + m, items.len());
        assert_eq!(encoded.tokens[read..read + n], items[..n]);
        assert_eq!(batch.input.tokens[own], N_ITEMS);
        assert_eq!(batch.input.tokens[own + 1..own + m], items[n..n + m - 1]);
        assert_eq!(batch.targets[own..own + m], items[n..]);
        (read, own) = (read + n, own + m);
    }
    assert!(batch.rows.is_none() && own == batch.input.tokens.len() && order.len() == 8);
    // What a decoder finds at a token does not follow from later ones, and what it finds at its
    // first follows from what was read.
    let before = case.states(&batch.input);
    let mut tokens = batch.input.tokens.to_vec();
    let at = batch.input.lanes.lengths()[0] - 1;
    tokens[at] = (tokens[at] + 1) % N_ITEMS;
    let after = case.states(&Input { tokens: tokens.into(), ..batch.input.clone() });
    assert!(before[..at] == after[..at] && before[at] != after[at]);
    let mut tokens = encoded.tokens.to_vec();
    tokens[0] = (tokens[0] + 1) % N_ITEMS;
    let encoded = Some(std::sync::Arc::new(Input { tokens: tokens.into(), ..(**encoded).clone() }));
    let after = case.states(&Input { encoded, ..batch.input.clone() });
    assert!(before[..=at].iter().zip(&after).all(|(before, after)| before != after));
    assert!(before[at + 1..] == after[at + 1..]);
}

#[test]
fn of_targets_and_of_what_is_hidden_no_time_is_told() {
    let (data, split) = data();
    let timed = Decoder { max_length: Some(9), intervals: true, ..Decoder::default() };
    let shape = AnyBackbone::Decoder(timed).as_dyn().shape().unwrap();
    let facts = Facts::new(&data, &split, shape);
    let windows = Windows::new(&data, &split, 9);
    let seeds = SeedTree::new(SEED);
    for objective in objectives() {
        let name = objective.name();
        let order = windows.shuffled(&seeds);
        let batch = pack(objective.as_dyn(), &order, &facts, &seeds, 1).remove(0);
        let times = batch.input.times.as_deref().unwrap();
        assert_eq!(times.len(), batch.input.tokens.len(), "{name}");
        // The time of an item is its place in the data; which item stands there is another matter
        // where objectives put in others.
        let items = data.interactions.users().flat_map(|user| data.interactions.sequence(user));
        let items: Vec<ItemId> = items.copied().collect();
        let own = batch.input.tokens.iter().zip(times).filter(|(token, time)| {
            assert!(time.is_nan() || **token < N_ITEMS, "{name}: the time of a hidden item");
            let mut there = (0_u32..).zip(&items);
            there.any(|(at, item)| (f64::from(at) - **time).abs() < 0.5 && item.0 == **token)
        });
        let known = times.iter().filter(|time| !time.is_nan()).count();
        match name {
            "next-sequence" => assert_eq!(known, 0),
            // Items of others, in another order.
            "s3-rec" | "rearranged-sequence" | "sequence-contrast" => assert!(known > 0, "{name}"),
            _ => assert!(known > 0 && own.count() == known, "{name}"),
        }
    }
    let untimed = Facts::new(&data, &split, self::shape());
    let order = windows.shuffled(&seeds);
    let softmax = Softmax::default();
    assert!(pack(&softmax, &order, &untimed, &seeds, 1)[0].input.times.is_none());
    // What an encoder reads has its times, and its decoder those of what it goes on with.
    let both = EncoderDecoder { max_length: Some(9), intervals: true, ..EncoderDecoder::default() };
    let shape = AnyBackbone::EncoderDecoder(both).as_dyn().shape().unwrap();
    let facts = Facts::new(&data, &split, shape);
    let batch = pack(&softmax, &order, &facts, &seeds, 1).remove(0);
    let encoded = batch.input.encoded.unwrap();
    let n = encoded.times.as_deref().unwrap().iter().filter(|time| !time.is_nan()).count();
    assert_eq!(n, encoded.tokens.len());
    for (token, time) in batch.input.tokens.iter().zip(batch.input.times.as_deref().unwrap()) {
        assert_eq!(time.is_nan(), *token == N_ITEMS);
    }
}

/// Of codes that all items share, what has its codes exchanged is what it was: one more of the same.
#[test]
fn items_with_exchanged_codes_are_negatives_beside_the_batch() {
    let (data, split) = data();
    let (windows, facts) = (Windows::new(&data, &split, 10), Facts::new(&data, &split, shape()));
    let contrast = |exchanged| {
        let contrast = SequenceItemContrast { exchanged, ..SequenceItemContrast::default() };
        AnyObjective::SequenceItemContrast(contrast)
    };
    let loss = |exchanged: f64, of: &[Vec<u32>], n: usize| {
        let objective = contrast(exchanged);
        let seeds = SeedTree::new(SEED);
        let batch =
            pack(objective.as_dyn(), &windows.shuffled(&seeds), &facts, &seeds, 1).remove(0);
        let mut model = model((&backbone(), false), &objective, &facts);
        model.add_features(Features::new(of, n), false, &seeds).unwrap();
        let pass = Pass::default();
        let asked = Asked { model: &model, pass, batch: &batch, facts: &facts, prefix: PREFIX };
        let loss = objective.as_dyn().loss(&asked, &mut seeds.rng()).unwrap();
        let gradients = model.gradients(&loss).unwrap();
        let learnt = gradients.values(FEATURES, n * 16).unwrap().unwrap();
        let alike = |i: usize| batch.targets.iter().filter(|t| **t == batch.targets[i]).count();
        let others: Vec<usize> =
            (0..batch.targets.len()).map(|i| batch.targets.len() - alike(i)).collect();
        (f64::from(loss.to_scalar::<f32>().unwrap()), others, learnt)
    };
    let same = vec![vec![0, 1]; N_ITEMS as usize];
    for (exchanged, more) in [(0.0, 1.0), (0.5, 2.0), (1.0, 2.0)] {
        let (found, others, _) = loss(exchanged, &same, 2);
        let expected = mean(others.iter().map(|&others| (others as f64 + more).ln()));
        assert!((found - expected).abs() < 1e-5, "{exchanged}: {found}, expected {expected}");
    }
    // One whose codes nobody knows has no such negative.
    let nobody = vec![vec![]; N_ITEMS as usize];
    assert!((loss(0.5, &nobody, 2).0 - loss(0.0, &nobody, 2).0).abs() < f64::EPSILON);
    // Codes that no item has learn from being exchanged.
    let few = vec![vec![0, 4]; N_ITEMS as usize];
    let [without, with] = [0.0, 0.9].map(|exchanged| loss(exchanged, &few, 8).2);
    let moved =
        |learnt: &[f32]| learnt.chunks(16).filter(|row| row.iter().any(|g| *g != 0.0)).count();
    assert!(moved(&without) <= 2 && moved(&with) > 4, "{} and {}", moved(&without), moved(&with));
}
