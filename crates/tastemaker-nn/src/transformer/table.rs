//! The embedding table: as losses see it, and what its rows are made of.

use std::f64::consts::SQRT_2;
use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;

use super::{DEVIATION, Transformer, rows};
use crate::fused::{
    self, CatalogSoftmax, Features, Precision, RowGradients, RowSink, SampledKind, SampledLoss,
    Sink, add_in_pieces,
};
use crate::gradients::Gradients;
use crate::parameters::Init;
use crate::{Error, Result, composite};

/// The parameter that embeds tokens and compares with them; of tokens that have features, what
/// they have of their own.
pub const TABLE: &str = "embedding.token";

/// The parameter that embeds the features of tokens.
pub const FEATURES: &str = "embedding.feature";

/// The embedding table [vocabulary, width], as losses see it.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub(super) model: &'a Transformer,
    pub(super) precision: Precision,
}

impl Table<'_> {
    /// The table itself. Gradients through it are of the whole table.
    pub fn tensor(&self) -> Result<Tensor> {
        self.model.whole_table()
    }

    /// The mean over `hidden` states [targets, width] of the softmax cross-entropy over the first
    /// `classes` rows.
    pub fn softmax(&self, hidden: &Tensor, targets: Vec<u32>, classes: usize) -> Result<Tensor> {
        self.weighted_softmax(hidden, (targets, None), classes)
    }

    /// [`Table::softmax`] in which each state counts by its weight, if there are weights.
    pub fn weighted_softmax(
        &self,
        hidden: &Tensor,
        (targets, weights): (Vec<u32>, Option<Vec<f32>>),
        classes: usize,
    ) -> Result<Tensor> {
        let loss = CatalogSoftmax::new(targets, classes).weights(weights).precision(self.precision);
        Ok(loss.sink(self.model.sinks.table.clone()).apply(hidden, &self.tensor()?)?)
    }

    /// The mean over `hidden` states of a loss against sampled negatives; of each state, `classes`
    /// has the target and then its negatives.
    pub fn sampled(&self, kind: SampledKind, hidden: &Tensor, classes: Vec<u32>) -> Result<Tensor> {
        let loss = SampledLoss::new(kind, classes, hidden.dim(0)?);
        Ok(loss.sink(self.model.sinks.rows.clone()).apply(hidden, &self.tensor()?)?)
    }

    /// The rows of `tokens`: [tokens, width].
    pub fn rows(&self, tokens: Vec<u32>) -> Result<Tensor> {
        rows(&self.tensor()?, tokens.into(), Some(self.model.sinks.rows.clone()))
    }
}

/// Where the operations of a pass leave their weights' gradients.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    /// Of some rows of the embedding table.
    pub(super) rows: RowSink,
    /// Of the whole of it.
    pub(super) table: Sink,
}

/// An embedding table whose rows are made of features.
#[derive(Debug)]
pub(super) struct Composed {
    features: Features,
    /// Rows of the whole table.
    rows: usize,
    /// The table that was made last, and of which state of the parameters.
    made: Mutex<Option<(u64, Tensor)>>,
}

impl Composed {
    /// The table of this state of the parameters, made now if it was not before.
    fn table(&self, state: u64, make: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, table)) = &*made
            && *of == state
        {
            return Ok(table.clone());
        }
        let table = make()?;
        *made = Some((state, table.clone()));
        Ok(table)
    }

    /// The gradient that the tensor library carried to the table, if it carried one.
    fn carried(&self, store: &mut GradStore) -> Result<Option<Vec<f32>>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = made.as_ref().and_then(|(_, table)| store.remove(table));
        Ok(carried.map(|gradient| gradient.flatten_all()?.to_vec1()).transpose()?)
    }
}

impl Transformer {
    /// Makes the rows of the first tokens of their features, and of an embedding of their own if
    /// `own` says so; the other tokens keep theirs. It begins anew: each of the two parts with the
    /// variance that adds up to that of a table without features.
    ///
    /// # Errors
    /// If there are features of more tokens than there are.
    pub fn add_features(&mut self, features: Features, own: bool, seeds: &SeedTree) -> Result<()> {
        let (rows, width) = (self.parameters.get(TABLE).dim(0)?, self.shape.embedding_size);
        let Some(others) = rows.checked_sub(features.n_rows()) else {
            let found = format!("of {} tokens", features.n_rows());
            return Err(Error::setting("features", found, format!("of at most {rows}")));
        };
        let (owned, parts) = if own { (rows, SQRT_2) } else { (others, 1.0) };
        let init = Init::Normal(DEVIATION / parts);
        self.parameters.add(TABLE, &[owned, width], init, seeds)?;
        self.parameters.add(FEATURES, &[features.n(), width], init, seeds)?;
        self.composed = Some(Composed { features, rows, made: Mutex::default() });
        Ok(())
    }

    /// The embedding table [vocabulary, width]. On the CPU, the tensor library carries gradients
    /// to it and no further.
    pub(super) fn whole_table(&self) -> Result<Tensor> {
        let own = self.parameters.get(TABLE);
        let Some(composed) = &self.composed else { return Ok(own.clone()) };
        let parts = self.parameters.get(FEATURES);
        if !own.device().is_cpu() {
            return Ok(composite::features(own, parts, &composed.features, composed.rows)?);
        }
        composed.table(self.parameters.state(), || {
            let (values, size) = (self.table_values()?, (composed.rows, own.dim(1)?));
            Ok(if own.track_op() || parts.track_op() {
                Var::from_vec(values, size, &Device::Cpu)?.into_inner()
            } else {
                Tensor::from_vec(values, size, &Device::Cpu)?
            })
        })
    }

    /// The numbers of the embedding table.
    pub(super) fn table_values(&self) -> Result<Vec<f32>> {
        let Some(Composed { features, rows, .. }) = &self.composed else {
            return self.parameters.values(TABLE);
        };
        let part = |name: &str| self.parameters.get(name).to_device(&Device::Cpu);
        let (own, parts, width) = (part(TABLE)?, part(FEATURES)?, self.shape.embedding_size);
        Ok(fused::with_slice(&own, |own| {
            fused::with_slice(&parts, |parts| Ok(features.compose(own, parts, *rows, width)))
        })?)
    }

    /// Puts what the passes have left of the table's gradient where it belongs.
    pub(super) fn table_gradients(
        &self,
        store: &mut GradStore,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (whole, rows) = (self.sinks.table.take(), self.sinks.rows.take());
        if let Some(composed) = &self.composed {
            // Elsewhere the tensor library has carried it through.
            return match composed.carried(store)? {
                _ if !self.parameters.device().is_cpu() => Ok(()),
                carried => self.part_gradients(composed, (whole, carried, rows), gradients),
            };
        }
        if let Some(table) = whole {
            let dimensions = self.parameters.get(TABLE).shape();
            let table = Tensor::from_vec(table, dimensions, &Device::Cpu)?;
            gradients.insert_dense(TABLE.to_owned(), table)?;
        }
        if !rows.rows.is_empty() {
            gradients.insert_rows(TABLE.to_owned(), rows)?;
        }
        Ok(())
    }

    /// Gives the gradient of a composed table, whose parts are added in their order, to what it is
    /// made of: dI = dE and dF = Aᵀ dE. Where only some rows of it have one, so it is with its parts.
    fn part_gradients(
        &self,
        Composed { features, rows: n_rows, .. }: &Composed,
        (whole, carried, rows): (Option<Vec<f32>>, Option<Vec<f32>>, RowGradients),
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (owned, width) = self.parameters.get(TABLE).dims2()?;
        let (learns, without) = (|name| self.parameters.learns(name), n_rows - owned);
        let whole = match (whole, carried) {
            (Some(mut sum), Some(carried)) => {
                add_in_pieces(&mut sum, &carried);
                Some(sum)
            }
            (whole, carried) => whole.or(carried),
        };
        let Some(mut whole) = whole else {
            if learns(FEATURES) {
                gradients.insert_rows(FEATURES.to_owned(), features.of_rows(&rows, width))?;
            }
            if learns(TABLE) {
                gradients.insert_rows(TABLE.to_owned(), rows.beginning_at(without))?;
            }
            return Ok(());
        };
        rows.add_to(&mut whole);
        if learns(FEATURES) {
            let parts = features.of_whole(&whole, width);
            let parts = Tensor::from_vec(parts, (features.n(), width), &Device::Cpu)?;
            gradients.insert_dense(FEATURES.to_owned(), parts)?;
        }
        if learns(TABLE) {
            whole.drain(..without * width);
            let own = Tensor::from_vec(whole, (owned, width), &Device::Cpu)?;
            gradients.insert_dense(TABLE.to_owned(), own)?;
        }
        Ok(())
    }
}
