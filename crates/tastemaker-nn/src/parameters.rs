//! The weights of a model, by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use rand::Rng;
use tastemaker_core::SeedTree;

use crate::Result;
use crate::gradients::Gradients;

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

/// What a parameter is to a paradigm, which says of each group whether it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The tables of tokens, of their features and of places.
    Embeddings,
    /// The blocks and the last norm.
    Body,
    /// What was put into the body.
    Adapter,
    /// What stands before every sequence.
    Prompt,
    /// What stands between the body and the scores.
    Head,
    /// What an objective needs to ask its question, and nobody afterwards.
    Objective,
}

impl Group {
    /// The group of the parameter `name`.
    pub fn of(name: &str) -> Self {
        match name.split('.').next() {
            Some("embedding") => Self::Embeddings,
            Some("adapter") => Self::Adapter,
            Some("prompt") => Self::Prompt,
            Some("head") => Self::Head,
            Some("objective") => Self::Objective,
            _ => Self::Body,
        }
    }

    /// What the names of a group that was added begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embeddings => "embedding",
            Self::Body => "body",
            Self::Adapter => "adapter",
            Self::Prompt => "prompt",
            Self::Head => "head",
            Self::Objective => "objective",
        }
    }

    /// Whether it is the backbone's own.
    pub fn is_backbone(self) -> bool {
        matches!(self, Self::Embeddings | Self::Body)
    }

    /// Whether it was put into the backbone to stay.
    pub fn is_inserted(self) -> bool {
        matches!(self, Self::Adapter | Self::Prompt | Self::Head)
    }
}

/// The weights of a model, in the order of their names, and which of them learn.
#[derive(Debug)]
pub struct Parameters {
    device: Device,
    variables: BTreeMap<String, Parameter>,
    /// How often they were changed.
    state: AtomicU64,
}

#[derive(Debug)]
struct Parameter {
    variable: Var,
    /// The same numbers; gradients stop here if the parameter does not learn.
    seen: Tensor,
    learns: bool,
}

impl Default for Parameters {
    /// None, on the CPU.
    fn default() -> Self {
        Self::on(Device::Cpu)
    }
}

impl Parameters {
    /// None, on `device`.
    pub fn on(device: Device) -> Self {
        Self { device, variables: BTreeMap::new(), state: AtomicU64::new(0) }
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        &self.device
    }

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
        let variable = Var::from_vec(values, dimensions, &self.device)?;
        let seen = variable.as_tensor().clone();
        self.variables.insert(name.to_owned(), Parameter { variable, seen, learns: true });
        self.changed();
        Ok(())
    }

    /// Takes note that numbers have changed, or what learns.
    pub(crate) fn changed(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that is another one after every change; what was made of the parameters holds as
    /// long as it stays.
    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    /// The gradients that a loss asks of those that learn.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients> {
        self.taken_from(&mut loss.backward()?)
    }

    /// The gradients of those that learn, taken out of what a backward pass has found.
    pub(crate) fn taken_from(&self, store: &mut GradStore) -> Result<Gradients> {
        let mut gradients = Gradients::default();
        for (name, variable) in self.learning() {
            if let Some(gradient) = store.remove(variable) {
                let gradient = gradient.to_device(&Device::Cpu)?.contiguous()?;
                gradients.insert_dense(name.to_owned(), gradient)?;
            }
        }
        Ok(gradients)
    }

    /// The parameter `name`.
    ///
    /// # Panics
    /// If it was never added, which is a mistake of the program.
    pub fn get(&self, name: &str) -> &Tensor {
        &self.parameter(name).seen
    }

    fn parameter(&self, name: &str) -> &Parameter {
        self.variables.get(name).unwrap_or_else(|| panic!("no parameter {name}"))
    }

    /// Says of every parameter, by its name, whether it learns. One that does not costs no
    /// gradient and keeps its bytes.
    pub fn choose(&mut self, learns: impl Fn(&str) -> bool) {
        for (name, parameter) in &mut self.variables {
            let tensor = parameter.variable.as_tensor();
            parameter.learns = learns(name);
            parameter.seen = if parameter.learns { tensor.clone() } else { tensor.detach() };
        }
        self.changed();
    }

    /// Takes out the parameter `prefix`, and those whose names begin with it and a dot.
    pub(crate) fn remove(&mut self, prefix: &str) {
        let own = |rest: &str| rest.is_empty() || rest.starts_with('.');
        self.variables.retain(|name, _| !name.strip_prefix(prefix).is_some_and(own));
        self.changed();
    }

    /// A copy on the CPU, which does not learn, of the parameters of which `keep` is true.
    pub(crate) fn frozen(&self, keep: impl Fn(&str) -> bool) -> Result<Self> {
        let mut copy = Self::default();
        for (name, variable) in self.iter().filter(|(name, _)| keep(name)) {
            let variable = Var::from_vec(self.values(name)?, variable.shape(), &Device::Cpu)?;
            let seen = variable.as_tensor().detach();
            copy.variables.insert(name.to_owned(), Parameter { variable, seen, learns: false });
        }
        Ok(copy)
    }

    /// Whether the parameter `name` learns.
    ///
    /// # Panics
    /// As [`Parameters::get`].
    pub fn learns(&self, name: &str) -> bool {
        self.parameter(name).learns
    }

    /// All parameters, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, parameter)| (name.as_str(), &parameter.variable))
    }

    /// The parameters that learn, by name.
    pub fn learning(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| self.learns(name))
    }

    /// How many numbers there are in all parameters.
    pub fn n_parameters(&self) -> usize {
        self.iter().map(|(_, variable)| variable.elem_count()).sum()
    }

    /// How many numbers learn.
    pub fn n_learning(&self) -> usize {
        self.learning().map(|(_, variable)| variable.elem_count()).sum()
    }

    /// The values of the parameter `name`, copied.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.get(name).flatten_all()?.to_vec1()?)
    }

    /// Overwrites the parameter `name`.
    ///
    /// # Panics
    /// As [`Parameters::get`].
    pub fn replace(&self, name: &str, values: &[f32]) -> Result<()> {
        let variable = &self.parameter(name).variable;
        variable.set(&Tensor::from_slice(values, variable.shape(), &self.device)?)?;
        self.changed();
        Ok(())
    }

    /// Overwrites every parameter with the numbers `values` gives for its name.
    pub fn set<'a>(&self, values: impl Fn(&str, &[usize]) -> Result<&'a [f32]>) -> Result<()> {
        for (name, variable) in self.iter() {
            let new = values(name, variable.dims())?;
            variable.set(&Tensor::from_slice(new, variable.shape(), &self.device)?)?;
        }
        self.changed();
        Ok(())
    }
}

/// Normal numbers by the polar method of Box and Muller (Marsaglia's form).
#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
pub(crate) fn normal(n: usize, deviation: f64, seeds: &SeedTree) -> Vec<f32> {
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
