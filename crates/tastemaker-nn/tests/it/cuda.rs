use candle_core::{Device as Of, Tensor};
use tastemaker_core::SeedTree;
use tastemaker_nn::Device;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::fused::{Features, Mixture, SampledKind};
use tastemaker_nn::transformer::{Pass, Transformer};

use crate::adapters::adapted_on;
use crate::features::numbers;
use crate::gradients::{hidden, loss, model_on, models_on, modern, targets};

/// The first CUDA device; a build that knows of it on a machine without one says so and tests
/// nothing.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn cuda() -> Option<Of> {
    let found = Device::Cuda.open();
    if let Err(error) = &found {
        eprintln!("SKIPPED: no CUDA device ({error})");
    }
    found.ok()
}

/// The same loss and the same gradients as the fused operations have on the CPU.
fn agree(
    what: &str,
    (cpu, cuda): (&Transformer, &Transformer),
    loss: impl Fn(&Transformer) -> Tensor,
) {
    let [on_cpu, on_cuda] = [loss(cpu), loss(cuda)];
    assert!(on_cuda.device().is_cuda(), "{what}: it went on on the CPU");
    let [a, b] = [&on_cpu, &on_cuda].map(|loss| loss.to_scalar::<f32>().unwrap());
    assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{what}: loss {a} against {b}");
    let [of_cpu, of_cuda] = [cpu.gradients(&on_cpu).unwrap(), cuda.gradients(&on_cuda).unwrap()];
    for (name, variable) in cpu.parameters().learning() {
        let n = variable.elem_count();
        let [a, b] = [&of_cpu, &of_cuda].map(|all| all.values(name, n).unwrap());
        let (Some(a), Some(b)) = (&a, &b) else {
            assert_eq!(a.is_some(), b.is_some(), "{what}: {name} has a gradient on one side only");
            continue;
        };
        let largest = a.iter().fold(1e-3_f32, |most, v| most.max(v.abs()));
        let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 1e-3 * largest, "{what}: {name} is off by {worst} of {largest}");
    }
}

#[test]
fn every_backbone_and_adapter_learns_there_what_it_learns_here() {
    let Some(device) = cuda() else { return };
    for ((what, cpu), (_, cuda)) in models_on(&Of::Cpu, 0.1).iter().zip(&models_on(&device, 0.1)) {
        agree(what, (cpu, cuda), loss);
    }
    for (what, backbone) in modern() {
        agree(&what, (&model_on(&Of::Cpu, &backbone), &model_on(&device, &backbone)), loss);
    }
    for ((what, cpu), (_, cuda)) in adapted_on(&Of::Cpu, 0.1).iter().zip(&adapted_on(&device, 0.1))
    {
        agree(what, (cpu, cuda), loss);
    }
}

#[test]
fn every_loss_and_every_table_is_there_what_it_is_here() {
    let Some(device) = cuda() else { return };
    let [cpu, cuda] = [&Of::Cpu, &device].map(|on| models_on(on, 0.1).swap_remove(0).1);
    let classes: Vec<u32> =
        targets().iter().flat_map(|t| [*t, (t + 5) % 30, (t + 9) % 30]).collect();
    for kind in [SampledKind::Softmax, SampledKind::Binary { beta: 0.7 }, SampledKind::Pairwise] {
        agree(&format!("{kind:?}"), (&cpu, &cuda), |model| {
            let table = model.table(Pass::default());
            table.sampled(kind, &hidden(model, false), classes.clone()).unwrap()
        });
    }
    let [cpu, cuda] = [&Of::Cpu, &device].map(|on| {
        let mut model = models_on(on, 0.1).swap_remove(0).1;
        let of = |row: u32| (0..row % 4).map(|i| (row + i * 3) % 9).collect();
        let features = Features::new(&(0..28).map(of).collect::<Vec<_>>(), 9);
        model.add_features(features, true, &SeedTree::new(2)).unwrap();
        model
    });
    agree("features", (&cpu, &cuda), loss);
    let [cpu, cuda] = [cpu, cuda].map(|mut model| {
        model.permute(3, &SeedTree::new(2)).unwrap();
        model
    });
    agree("features in another order", (&cpu, &cuda), loss);
    let [cpu, cuda] = [&Of::Cpu, &device].map(|on| {
        let mut model = models_on(on, 0.1).swap_remove(0).1;
        let mixture = Mixture::new(numbers(28 * 20, 5).into(), 20, 3);
        model.add_vectors(mixture, true, &SeedTree::new(2)).unwrap();
        model
    });
    agree("vectors", (&cpu, &cuda), loss);
}

#[test]
fn fifty_steps_there_end_where_fifty_steps_here_do() {
    let Some(device) = cuda() else { return };
    let decoder = Decoder {
        embedding_size: Some(16),
        max_length: Some(12),
        dropout: Some(0.1),
        ..Decoder::default()
    };
    let backbone = AnyBackbone::Decoder(decoder);
    let [here, there] = [Of::Cpu, device].map(|on| {
        let model = Transformer::on(on, &backbone, 30, &SeedTree::new(5)).unwrap();
        let mut optimiser = AdamW::new(model.parameters(), 0.01);
        let first = loss(&model).to_scalar::<f32>().unwrap();
        for _ in 0..50 {
            let gradients = model.gradients(&loss(&model)).unwrap();
            optimiser.step(model.parameters(), &gradients, 1e-2, 5.0).unwrap();
        }
        let last = loss(&model).to_scalar::<f32>().unwrap();
        assert!(last < 0.7 * first, "{first} to {last}");
        last
    });
    assert!((here - there).abs() < 0.02 * here, "{here} against {there}");
}
