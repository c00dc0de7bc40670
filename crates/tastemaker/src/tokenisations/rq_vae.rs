//! Residual codes that a variational autoencoder learns.

use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use tastemaker_core::{SeedTree, artifact};
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::fused::{Activation, Linear, Precision};
use tastemaker_nn::parameters::{Init, Parameters};

use super::rq_kmeans::{nearest, residual_means};
use crate::recommenders::check;
use crate::{Error, Result};

/// How much what is encoded is drawn to its codes, beside what draws the codes to it (β).
const COMMITMENT: f64 = 0.25;

const LEARNING_RATE: f64 = 1e-3;

/// An RQ-VAE: an autoencoder between whose halves residuals are quantised.
///
/// # Formula
/// z = encoder(x), r₁ = z; at level l the code is that of the centroid e nearest to rₗ, and
/// rₗ₊₁ = rₗ − e. With ẑ the sum of the chosen centroids and x̂ = decoder(ẑ), the loss is
/// ‖x − x̂‖² + Σₗ ( ‖sg(rₗ) − e‖² + 0.25 ‖rₗ − sg(e)‖² ), averaged over rows, where sg passes no
/// gradient on; that of ẑ goes to z as it is. Both halves are layers with max(0, x) between them.
/// Centroids begin with residual k-means of what the fresh encoder gives.
///
/// # References
/// Zeghidour et al. 2021 and Lee et al. 2022 for residual quantisation; Rajput et al. 2023 (TIGER) for
/// semantic ids, with these widths; `AdamW` at 10⁻³ in place of Adagrad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RqVae {
    /// Widths of the encoder's layers, the last one that of the centroids; the decoder goes back.
    pub widths: Vec<usize>,
    /// Passes over the items.
    pub epochs: usize,
    /// Items a step.
    pub batch_size: usize,
}

impl Default for RqVae {
    fn default() -> Self {
        Self { widths: vec![512, 256, 128, 32], epochs: 200, batch_size: 1024 }
    }
}

impl RqVae {
    pub(super) fn problem(&self) -> Option<Error> {
        let widths = self.widths.iter().find_map(|width| check("widths", *width, 1..=1 << 16));
        widths
            .or_else(|| check("the number of widths", self.widths.len(), 1..=16))
            .or_else(|| check("epochs", self.epochs, 1..=1_000_000))
            .or_else(|| check("batch-size", self.batch_size, 2..=1 << 20))
    }

    /// For each level the code of each of `values` [n, width].
    ///
    /// # Errors
    /// If it diverges.
    pub fn codes(
        &self,
        values: &[f32],
        width: usize,
        (levels, codes): (usize, usize),
        seeds: &SeedTree,
    ) -> Result<Vec<Vec<u32>>> {
        let model = Autoencoder::new(self, width, (levels, codes), seeds)?;
        model.begin_at_means(&tensor(values, width)?, codes, &seeds.child("means"))?;
        let mut optimiser = AdamW::new(&model.parameters, 0.0);
        let mut order: Vec<usize> = (0..values.len() / width).collect();
        for epoch in 0..self.epochs as u64 {
            order.shuffle(&mut seeds.child("epoch").index(epoch).rng());
            for rows in order.chunks(self.batch_size) {
                let rows = rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]);
                let (loss, _) = model.loss(&tensor(&rows.copied().collect::<Vec<_>>(), width)?)?;
                let gradients = model.parameters.gradients(&loss)?;
                optimiser.step(&model.parameters, &gradients, LEARNING_RATE, 0.0)?;
            }
        }
        Ok(model.loss(&tensor(values, width)?)?.1)
    }
}

/// The codes that `learn` finds, or those that it found before, which are kept in `folder`, if there is
/// one, under a name that follows from `of`, all that they follow from: to learn them again takes
/// minutes, and on another machine they could be others.
pub(super) fn kept(
    folder: Option<&Path>,
    of: &str,
    learn: impl FnOnce() -> Result<Vec<Vec<u32>>>,
) -> Result<Vec<Vec<u32>>> {
    let identity = artifact::sha256(of.as_bytes());
    let path = folder.map(|folder| folder.join(format!("codes-{}.json", &identity[..16])));
    if let Some(path) = path.as_ref().filter(|path| path.exists()) {
        let text = fs_err::read_to_string(path)
            .map_err(|source| tastemaker_core::Error::read(path, source))?;
        return serde_json::from_str(&text).map_err(|error| Error::Run {
            path: path.clone(),
            problem: format!("these are no codes of items: {error}"),
        });
    }
    let codes = learn()?;
    if let Some(path) = path {
        let text =
            serde_json::to_string(&codes).map_err(|error| Error::Serialise(error.to_string()))?;
        artifact::write_atomically(&path, |out| writeln!(out, "{text}"))?;
    }
    Ok(codes)
}

fn tensor(values: &[f32], width: usize) -> tastemaker_nn::Result<Tensor> {
    Ok(Tensor::from_slice(values, (values.len() / width, width), &Device::Cpu)?)
}

/// The two halves and the centroids between them.
struct Autoencoder {
    parameters: Parameters,
    /// Layers of each half.
    layers: usize,
    levels: usize,
}

/// The name of a parameter.
fn name(half: &str, layer: usize, what: &str) -> String {
    format!("{half}.{layer}.{what}")
}

impl Autoencoder {
    fn new(
        settings: &RqVae,
        width: usize,
        (levels, codes): (usize, usize),
        seeds: &SeedTree,
    ) -> Result<Self> {
        let mut parameters = Parameters::on(Device::Cpu);
        let widths: Vec<usize> = std::iter::once(width).chain(settings.widths.clone()).collect();
        let layers = widths.len() - 1;
        for (layer, pair) in widths.windows(2).enumerate() {
            let ends = [("encoder", layer, pair[0], pair[1]), {
                ("decoder", layers - 1 - layer, pair[1], pair[0])
            }];
            for (half, layer, inputs, outputs) in ends {
                // He et al. 2015, before max(0, x).
                let init = Init::Normal((2.0 / inputs as f64).sqrt());
                parameters.add(&name(half, layer, "weight"), &[outputs, inputs], init, seeds)?;
                parameters.add(&name(half, layer, "bias"), &[outputs], Init::Zeros, seeds)?;
            }
        }
        for level in 0..levels {
            let dimensions = [codes, widths[layers]];
            parameters.add(&name("level", level, "centroids"), &dimensions, Init::Zeros, seeds)?;
        }
        Ok(Self { parameters, layers, levels })
    }

    fn half(&self, half: &str, x: &Tensor) -> tastemaker_nn::Result<Tensor> {
        let mut x = x.clone();
        for layer in 0..self.layers {
            let last = layer + 1 == self.layers;
            let activation = if last { Activation::None } else { Activation::Relu };
            let of = |what: &str| self.parameters.get(&name(half, layer, what));
            let linear = Linear { activation, precision: Precision::F32 };
            x = linear.apply(&x, of("weight"), of("bias"))?;
        }
        Ok(x)
    }

    fn centroids(&self, level: usize) -> &Tensor {
        self.parameters.get(&name("level", level, "centroids"))
    }

    /// Puts the centroids where residual k-means finds them in what is encoded of `x`.
    fn begin_at_means(&self, x: &Tensor, codes: usize, seeds: &SeedTree) -> Result<()> {
        let z = self.half("encoder", x)?;
        let width = z.dim(1).map_err(tastemaker_nn::Error::from)?;
        let means = residual_means(rows(&z)?, width, (self.levels, codes), seeds);
        for (level, (centroids, _)) in means.iter().enumerate() {
            self.parameters.replace(&name("level", level, "centroids"), centroids)?;
        }
        Ok(())
    }

    /// The loss over the rows of `x`, and for each level the code of each row.
    fn loss(&self, x: &Tensor) -> tastemaker_nn::Result<(Tensor, Vec<Vec<u32>>)> {
        let z = self.half("encoder", x)?;
        let (n, width) = z.dims2()?;
        let (mut rest, mut quantised) = (z.clone(), z.zeros_like()?);
        let (mut quantisation, mut codes) = (Tensor::zeros((), z.dtype(), z.device())?, vec![]);
        for level in 0..self.levels {
            let centroids = self.centroids(level);
            let own = nearest(&rows(&rest)?, &rows(centroids)?, width);
            let index = Tensor::from_slice(&own, n, z.device())?;
            let chosen = centroids.index_select(&index, 0)?;
            let drawn = (&rest.detach() - &chosen)?.sqr()?.sum_all()?;
            let committed = (&rest - &chosen.detach())?.sqr()?.sum_all()?;
            quantisation = ((quantisation + drawn)? + (committed * COMMITMENT)?)?;
            rest = (rest - chosen.detach())?;
            quantised = (quantised + chosen)?.detach();
            codes.push(own);
        }
        // Its gradient goes to z as it is.
        let passed = (&z + (quantised - &z)?.detach())?;
        let back = self.half("decoder", &passed)?;
        let reconstruction = (x - back)?.sqr()?.sum_all()?;
        Ok((((reconstruction + quantisation)? / n as f64)?, codes))
    }
}

fn rows(x: &Tensor) -> tastemaker_nn::Result<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        x: Vec<f32>,
        parameters: std::collections::BTreeMap<String, Vec<f32>>,
        loss: f64,
        codes: Vec<Vec<u32>>,
        gradients: std::collections::BTreeMap<String, Vec<f32>>,
    }

    #[test]
    fn loss_and_gradients_are_those_of_jax() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/rq_vae.json")).unwrap();
        let settings = RqVae { widths: vec![5, 3], ..RqVae::default() };
        let model = Autoencoder::new(&settings, 6, (2, 4), &SeedTree::new(1)).unwrap();
        assert_eq!(model.parameters.iter().count(), golden.parameters.len());
        for (name, values) in &golden.parameters {
            model.parameters.replace(name, values).unwrap();
        }
        let (loss, codes) = model.loss(&tensor(&golden.x, 6).unwrap()).unwrap();
        assert_eq!(codes, golden.codes);
        let value = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((value / golden.loss - 1.0).abs() < 1e-5, "{value} {}", golden.loss);
        let gradients = model.parameters.gradients(&loss).unwrap();
        for (name, expected) in &golden.gradients {
            let found = gradients.values(name, expected.len()).unwrap().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{name}");
            }
        }
    }

    #[test]
    fn what_is_near_each_other_has_the_same_first_code() {
        // Four groups of ten, each around a corner.
        let corner = |group: usize| [[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, -3.0_f32]][group];
        let values: Vec<f32> = (0..40_u8)
            .flat_map(|i| {
                let [a, b] = corner(i as usize / 10);
                [a + f32::from(i % 10) / 50.0, b - f32::from(i % 3) / 50.0]
            })
            .collect();
        let settings = RqVae { widths: vec![8, 2], epochs: 100, batch_size: 16 };
        let of = || settings.codes(&values, 2, (2, 4), &SeedTree::new(2)).unwrap();
        let codes = of();
        for group in 0..4 {
            let own = &codes[0][group * 10..][..10];
            assert!(own.iter().all(|code| *code == own[0]), "{codes:?}");
        }
        assert_ne!(codes[0][0], codes[0][10]);
        assert_eq!(codes, of());
    }
}
