//! The weights of a model, by name.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use tastemaker_core::SeedTree;

use crate::Result;

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

/// The weights of a model, in the order of their names.
#[derive(Debug, Default)]
pub struct Parameters {
    variables: BTreeMap<String, Var>,
}

impl Parameters {
    /// Adds a parameter; its random numbers follow from `seeds` and its name alone.
    pub fn add(
        &mut self,
        name: &str,
        dimensions: &[usize],
        init: Init,
        seeds: &SeedTree,
    ) -> Result<()> {
        let n = dimensions.iter().product();
        let values = match init {
            Init::Zeros => vec![0.0; n],
            Init::Ones => vec![1.0; n],
            Init::Normal(deviation) => normal(n, deviation, &seeds.child(name)),
        };
        let variable = Var::from_vec(values, dimensions, &Device::Cpu)?;
        self.variables.insert(name.to_owned(), variable);
        Ok(())
    }

    /// The parameter `name`.
    ///
    /// # Panics
    /// If it was never added, which is a mistake of the program.
    pub fn get(&self, name: &str) -> &Tensor {
        self.variables.get(name).unwrap_or_else(|| panic!("no parameter {name}")).as_tensor()
    }

    /// All parameters, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// How many numbers there are in all parameters.
    pub fn n_parameters(&self) -> usize {
        self.variables.values().map(|variable| variable.elem_count()).sum()
    }

    /// The values of the parameter `name`, copied.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.get(name).flatten_all()?.to_vec1()?)
    }

    /// Overwrites every parameter with the numbers `values` gives for its name.
    pub fn set<'a>(&self, values: impl Fn(&str, &[usize]) -> Result<&'a [f32]>) -> Result<()> {
        for (name, variable) in &self.variables {
            let new = values(name, variable.dims())?;
            variable.set(&Tensor::from_slice(new, variable.shape(), &Device::Cpu)?)?;
        }
        Ok(())
    }
}

/// Normal numbers by the polar method of Box and Muller (Marsaglia's form).
#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn normal(n: usize, deviation: f64, seeds: &SeedTree) -> Vec<f32> {
    let mut rng = seeds.rng();
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let (x, y) = (rng.random::<f64>() * 2.0 - 1.0, rng.random::<f64>() * 2.0 - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            let factor = deviation * (-2.0 * square.ln() / square).sqrt();
            values.extend([(x * factor) as f32, (y * factor) as f32]);
        }
    }
    values.truncate(n);
    values
}
