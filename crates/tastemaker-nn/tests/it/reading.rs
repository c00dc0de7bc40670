use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{Block, BlockShape, Dropout, Lanes, Precision};

use crate::fused::{SHAPE, agree, difference, intervals, random, styles, values, weights_of};

const READS: BlockShape = BlockShape { reads: true, ..SHAPE };

/// What is read, and what reads it.
fn lanes() -> (Arc<Lanes>, Arc<Lanes>) {
    let memory = Lanes::new(vec![3, 1, 60, 2, 9, 40, 7, 90, 1, 5, 30]);
    let own = Lanes::reading(vec![1, 7, 3, 40, 2, 90, 5, 1, 30, 64, 12], &memory);
    (Arc::new(memory), Arc::new(own))
}

fn inputs(shape: BlockShape) -> [Var; 3] {
    let (memory, own) = lanes();
    [
        random("x", &[own.n_tokens(), SHAPE.width], 1.0),
        random("memory", &[memory.n_tokens(), SHAPE.width], 1.0),
        random("weights", &[weights_of(shape)], 0.3),
    ]
}

fn block(shape: BlockShape, dropout: Dropout) -> Block {
    let (memory, own) = lanes();
    let intervals = intervals(&own);
    Block::new(shape, own, dropout).reading(Some(memory)).timed(Some(intervals))
}

/// The gradients of x, of what is read and of the weights, zeros where there are none.
fn gradients(block: Block, [x, memory, weights]: [&Tensor; 3]) -> [Vec<f32>; 3] {
    let y = block.apply_reading(x, memory, weights).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    [x, memory, weights].map(|input| gradients.get(input).map_or(vec![], values))
}

#[test]
fn a_block_that_reads_is_its_composite_with_and_without_dropout() {
    let (memory_lanes, own) = lanes();
    for style in styles() {
        for (causal, share) in [(true, 0.0), (false, 0.0), (true, 0.3)] {
            let (shape, dropout) = (BlockShape { causal, style, ..READS }, Dropout::new(share, 9));
            let [x, memory, weights] = inputs(shape);
            let read = Some((memory.as_tensor(), &*memory_lanes));
            let looks = (None, Some(&*intervals(&own)));
            agree(
                &format!("reading block {style:?}"),
                &[&x, &memory, &weights],
                || x.apply_op3(&memory, &weights, block(shape, dropout)),
                || composite::reading_block(shape, (&x, read), &weights, &own, looks, dropout),
            );
        }
    }
}

#[test]
fn a_recomputing_block_that_reads_has_the_same_bytes_and_so_has_any_number_of_threads() {
    let inputs = inputs(READS);
    let [x, memory, weights] = &inputs;
    let run = |recompute| {
        let block = block(READS, Dropout::new(0.2, 3)).recomputing(recompute);
        gradients(block, [x, memory, weights])
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(false))
    };
    let one = with(1);
    assert!(one == run(true) && one == with(3));
    assert!(one.iter().all(|gradient| gradient.iter().any(|&g| g != 0.0)));
}

#[test]
fn what_learns_alone_in_a_block_that_reads_has_the_gradient_it_has_together() {
    for style in styles() {
        let shape = BlockShape { style, ..READS };
        let [x, memory, weights] = inputs(shape);
        let (detached, still) = ([x.detach(), memory.detach()], weights.detach());
        let run = |learns, [x, memory, weights]: [&Tensor; 3]| {
            let block = block(shape, Dropout::new(0.2, 3)).learning(learns);
            gradients(block, [x, memory, weights])
        };
        let (all, none) = (shape.parameters().map(|_| true), shape.parameters().map(|_| false));
        let together = run(all, [&x, &memory, &weights]);
        assert!(run(none, [&x, &detached[1], &still])[0] == together[0], "{style:?}: x");
        assert!(run(none, [&detached[0], &memory, &still])[1] == together[1], "{style:?}: memory");
        let mut start = 0;
        for (i, (name, dimensions)) in shape.parameters().into_iter().enumerate() {
            let own = start..start + dimensions.iter().product::<usize>();
            start = own.end;
            let mut learns = none;
            learns[i] = !own.is_empty();
            for below in [[x.as_tensor(), memory.as_tensor()], [&detached[0], &detached[1]]] {
                if !learns[i] {
                    continue;
                }
                let [_, _, one] = run(learns, [below[0], below[1], &weights]);
                assert!(one[own.clone()] == together[2][own.clone()], "{style:?}: {name}");
                assert!(one[own.clone()].iter().any(|&g| g != 0.0), "{name} has no gradient");
                let others = one[..own.start].iter().chain(&one[own.end..]);
                assert!(others.copied().all(|g| g == 0.0), "{style:?}: others than {name}");
            }
        }
    }
}

#[test]
fn bf16_is_near_f32_where_states_are_read() {
    let inputs = inputs(READS);
    let [x, memory, weights] = &inputs;
    let run = |precision| {
        let block = block(READS, Dropout::new(0.2, 3)).precision(precision);
        gradients(block, [x, memory, weights])
    };
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    for (full, rounded) in run(Precision::F32).iter().zip(&run(Precision::Bf16)) {
        let difference = difference(&tensor(rounded), &tensor(full));
        assert!((1e-7..2e-2).contains(&difference), "{difference}");
    }
}

#[test]
fn a_block_that_reads_learns_along_its_difference_quotients() {
    let (memory, own) = (Arc::new(Lanes::new(vec![4, 2])), Arc::new(Lanes::new(vec![3, 5])));
    let start = [
        random("x", &[8, SHAPE.width], 1.0),
        random("memory", &[6, SHAPE.width], 1.0),
        random("weights", &[weights_of(READS)], 0.3),
    ];
    let loss = |[x, memory_states, weights]: [&Tensor; 3]| {
        let block = Block::new(READS, own.clone(), Dropout::new(0.2, 5));
        let block = block.reading(Some(memory.clone()));
        let y = block.apply_reading(x, memory_states, weights).unwrap();
        (y.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap()
    };
    let of = start.each_ref().map(Var::as_tensor);
    let gradients = loss(of).backward().unwrap();
    for (i, input) in of.into_iter().enumerate() {
        let (gradient, numbers) = (values(gradients.get(input).unwrap()), values(input));
        for (at, slope) in gradient.iter().enumerate().step_by(37) {
            let shifted = |by: f32| {
                let mut numbers = numbers.clone();
                numbers[at] += by;
                let moved = Tensor::from_vec(numbers, input.shape(), &Device::Cpu).unwrap();
                let mut all = of;
                all[i] = &moved;
                f64::from(loss(all).to_scalar::<f32>().unwrap())
            };
            let quotient = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
            let error = (quotient - f64::from(*slope)).abs();
            assert!(error < 0.02 * (1.0 + quotient.abs()), "{i}, {at}: {slope}, {quotient}");
        }
    }
}

#[test]
fn a_sequence_reads_its_own_states_and_no_others() {
    let inputs = inputs(READS);
    let [x, memory, weights] = &inputs;
    let run = |memory: &Tensor| {
        values(&block(READS, Dropout::none()).apply_reading(x, memory, weights).unwrap())
    };
    let before = run(memory);
    let mut other = values(memory);
    // The third sequence's states: rows 4 to 63, read by tokens 8 to 10.
    other[4 * SHAPE.width..64 * SHAPE.width].iter_mut().for_each(|value| *value += 1.0);
    let after = run(&Tensor::from_vec(other, memory.shape(), &Device::Cpu).unwrap());
    let own = 8 * SHAPE.width..11 * SHAPE.width;
    assert!(before[own.clone()] != after[own.clone()]);
    assert!(before[..own.start] == after[..own.start] && before[own.end..] == after[own.end..]);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let inputs = inputs(READS);
    let [x, memory, weights] = &inputs;
    let (_, own) = lanes();
    let refused = |block: Block, expected: &str| {
        let error = block.apply_reading(x, memory, weights).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let block = || Block::new(READS, own.clone(), Dropout::none());
    refused(block(), "got no encoder's states");
    let few = Some(Arc::new(Lanes::new(vec![3, 4])));
    refused(block().reading(few), "a block of 11 sequences reads the states of 2");
    refused(block().reading(Some(own.clone())), "states × 16 to read");
    let plain = random("plain", &[weights_of(SHAPE)], 0.3);
    let block = Block::new(SHAPE, own.clone(), Dropout::none()).reading(Some(own.clone()));
    assert!(block.apply_reading(x, memory, &plain).is_err());
}
