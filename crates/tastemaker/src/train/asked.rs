//! What a model finds in a batch, as an objective sees it.

use candle_core::Tensor;
use tastemaker_nn::transformer::{Pass, Sides, Table, Transformer};

use super::{Batch, Facts};
use crate::Result;

/// A batch that was asked of a model.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a Transformer,
    /// How the passes over it are made.
    pub pass: Pass,
    /// What was asked.
    pub batch: &'a Batch,
    /// What else is known.
    pub facts: &'a Facts<'a>,
    /// What the names of the objective's own parameters begin with.
    pub prefix: &'a str,
}

impl<'a> Asked<'a> {
    /// The same batch, asked of a model whose tokens see this much.
    #[must_use]
    pub fn seeing(self, sides: Sides) -> Self {
        Self { pass: Pass { sides: Some(sides), ..self.pass }, ..self }
    }

    /// The states at the asked rows: [rows, width].
    pub fn hidden(&self) -> Result<Tensor> {
        self.at_rows(&self.model.states(&self.batch.input, self.pass)?)
    }

    /// Of all `states` [tokens, width] those at the asked rows.
    pub fn at_rows(&self, states: &Tensor) -> Result<Tensor> {
        match &self.batch.rows {
            Some(rows) => at(states, rows),
            None => Ok(states.clone()),
        }
    }

    /// The embedding table, as losses see it.
    pub fn table(&self) -> Table<'a> {
        self.model.table(self.pass)
    }

    /// The objective's own parameter `name`.
    pub fn own(&self, name: &str) -> &'a Tensor {
        self.model.parameters().get(&format!("{}.{name}", self.prefix))
    }
}

/// These rows of `x`.
pub fn at(x: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let select = || x.index_select(&Tensor::from_slice(rows, rows.len(), x.device())?, 0);
    Ok(select().map_err(tastemaker_nn::Error::from)?)
}
