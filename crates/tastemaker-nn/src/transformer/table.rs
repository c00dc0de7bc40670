//! The embedding table: as losses see it, and what its rows are made of.

use std::f64::consts::SQRT_2;
use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;

use super::{DEVIATION, Transformer, rows};
use crate::fused::{
    self, CatalogSoftmax, Features, Mixture, MixtureWeights, Permutation, Precision, RowGradients,
    RowSink, SampledKind, SampledLoss, Sink, add_in_pieces,
};
use crate::gradients::Gradients;
use crate::parameters::Init;
use crate::{Error, Result, composite};

/// The parameter that embeds tokens and compares with them; of tokens that have features, what
/// they have of their own.
pub const TABLE: &str = "embedding.token";

/// The parameter that compares with tokens, where it is not the one that embeds them.
pub const OUTPUT: &str = "embedding.output";

/// The parameter that embeds the features of tokens.
pub const FEATURES: &str = "embedding.feature";

/// The scores of the order in which the rows of [`FEATURES`] stand, where it learns.
pub const PERMUTATION: &str = "embedding.permutation";

/// The standard deviation with which these scores begin: so little that some hundred steps of a usual
/// learning rate can bring any score above the others of its row.
const SCORE_DEVIATION: f64 = 0.1;

/// The parameters of the mixture that makes embeddings of vectors from elsewhere: the gate, …
const GATE: &str = "embedding.text.gate";

/// … the experts' maps, …
const MAPS: &str = "embedding.text.map";

/// … and what they add.
const OFFSETS: &str = "embedding.text.offset";

/// The parameters that embed vectors from elsewhere, by name.
pub const TEXTS: [&str; 3] = [GATE, MAPS, OFFSETS];

/// The embedding table [vocabulary, width], as losses see it.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub(super) model: &'a Transformer,
    pub(super) precision: Precision,
}

impl Table<'_> {
    /// The table itself. Gradients through it are of the whole table.
    pub fn tensor(&self) -> Result<Tensor> {
        let model = self.model;
        if model.has_own_head() {
            Ok(model.parameters.get(OUTPUT).clone())
        } else {
            model.whole_table()
        }
    }

    fn row_sink(&self) -> RowSink {
        let sinks = &self.model.sinks;
        let own = if self.model.has_own_head() { &sinks.rows_of_head } else { &sinks.rows };
        own.clone()
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
        Ok(loss.sink(self.row_sink()).apply(hidden, &self.tensor()?)?)
    }

    /// The rows of `tokens`: [tokens, width].
    pub fn rows(&self, tokens: Vec<u32>) -> Result<Tensor> {
        rows(&self.tensor()?, tokens.into(), Some(self.row_sink()))
    }
}

/// Where the operations of a pass leave their weights' gradients.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    /// Of some rows of the embedding table.
    pub(super) rows: RowSink,
    /// Of some rows of the table with which states are compared, where it is another.
    rows_of_head: RowSink,
    /// Of the whole of the table with which states are compared.
    pub(super) table: Sink,
}

/// What the rows of a table are made of beside what they have of their own.
#[derive(Debug)]
enum Made {
    /// The features that tokens have.
    OfFeatures(Features),
    /// Vectors from elsewhere, such as those of their texts.
    OfVectors(Mixture),
}

impl Made {
    /// How many rows are made so.
    fn n_rows(&self) -> usize {
        match self {
            Self::OfFeatures(features) => features.n_rows(),
            Self::OfVectors(mixture) => mixture.n_rows(),
        }
    }

    /// Its parameters, in the order of their names: name, dimensions, and how they begin in a table
    /// whose rows begin with `deviation`.
    fn parameters(&self, width: usize, deviation: f64) -> Vec<(&'static str, Vec<usize>, Init)> {
        match self {
            Self::OfFeatures(features) => {
                vec![(FEATURES, vec![features.n(), width], Init::Normal(deviation))]
            }
            Self::OfVectors(mixture) => {
                let (inputs, experts) = (mixture.inputs(), mixture.experts());
                // Of vectors of length 1; at first each expert counts 1 / experts.
                let init = Init::Normal(deviation * (experts as f64).sqrt());
                vec![
                    (GATE, vec![inputs, experts], Init::Zeros),
                    (MAPS, vec![experts, inputs, width], init),
                    (OFFSETS, vec![experts, width], Init::Zeros),
                ]
            }
        }
    }
}

/// An embedding table whose rows are made of something beside their own.
#[derive(Debug)]
pub(super) struct Composed {
    of: Made,
    /// In what order features stand, while that learns.
    permutation: Option<Permutation>,
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
        self.compose("features", Made::OfFeatures(features), own, seeds)
    }

    /// Lets the rows of features stand in another order within each of so many `groups`, which learns as
    /// [`PERMUTATION`], until [`Transformer::settle`].
    ///
    /// # Errors
    /// If there are no features, or not as many in each group.
    pub fn permute(&mut self, groups: usize, seeds: &SeedTree) -> Result<()> {
        let n = self.features().map_or(0, Features::n);
        if n == 0 || groups == 0 || !n.is_multiple_of(groups) {
            let expected = format!("a divisor of the number of features ({n})");
            return Err(Error::setting("groups that are permuted", groups, expected));
        }
        let permutation = Permutation::new(groups, n / groups);
        let dimensions = permutation.dimensions();
        let init = Init::Normal(SCORE_DEVIATION);
        self.parameters.add(PERMUTATION, &dimensions, init, seeds)?;
        self.composed.iter_mut().for_each(|composed| composed.permutation = Some(permutation));
        Ok(())
    }

    /// Puts the rows of features where they stand now; their order learns no longer. The model finds the
    /// same.
    pub fn settle(&mut self) -> Result<()> {
        let Some(permutation) = self.composed.as_ref().and_then(|composed| composed.permutation)
        else {
            return Ok(());
        };
        self.parameters.replace(FEATURES, &self.features_in_order(permutation)?)?;
        self.parameters.remove(PERMUTATION);
        self.composed.iter_mut().for_each(|composed| composed.permutation = None);
        Ok(())
    }

    /// The rows of features as their order says.
    fn features_in_order(&self, order: Permutation) -> Result<Vec<f32>> {
        let chosen = order.chosen(&self.parameters.values(PERMUTATION)?);
        let rows = self.parameters.values(FEATURES)?;
        Ok(Permutation::permuted(&chosen, &rows, self.shape.embedding_size))
    }

    /// The features that the rows of the first tokens are made of, if they are.
    pub fn features(&self) -> Option<&Features> {
        match &self.composed.as_ref()?.of {
            Made::OfFeatures(features) => Some(features),
            Made::OfVectors(_) => None,
        }
    }

    /// Makes the rows of the first tokens of vectors from elsewhere, as [`Transformer::add_features`]
    /// does of features. Vectors are taken to be of length 1.
    ///
    /// # Errors
    /// If there are vectors of more tokens than there are.
    pub fn add_vectors(&mut self, vectors: Mixture, own: bool, seeds: &SeedTree) -> Result<()> {
        self.compose("vectors", Made::OfVectors(vectors), own, seeds)
    }

    fn compose(&mut self, what: &str, of: Made, own: bool, seeds: &SeedTree) -> Result<()> {
        let (rows, width) = (self.parameters.get(TABLE).dim(0)?, self.shape.embedding_size);
        let Some(others) = rows.checked_sub(of.n_rows()) else {
            let found = format!("of {} tokens", of.n_rows());
            return Err(Error::setting(what, found, format!("of at most {rows}")));
        };
        let (owned, parts) = if own { (rows, SQRT_2) } else { (others, 1.0) };
        let deviation = DEVIATION / parts;
        self.parameters.add(TABLE, &[owned, width], Init::Normal(deviation), seeds)?;
        for (name, dimensions, init) in of.parameters(width, deviation) {
            self.parameters.add(name, &dimensions, init, seeds)?;
        }
        self.composed = Some(Composed { of, permutation: None, rows, made: Mutex::default() });
        Ok(())
    }

    /// Gives the first tokens these embeddings to begin with: `values` [n, width], scaled to the
    /// standard deviation with which a table begins.
    ///
    /// # Errors
    /// If there are more of them than tokens, or they are of another width.
    pub fn begin_with(&self, values: &[f32]) -> Result<()> {
        let mut table = self.parameters.values(TABLE)?;
        if values.len() > table.len() || !values.len().is_multiple_of(self.shape.embedding_size) {
            let found = format!("{} numbers", values.len());
            let expected = format!("at most {}, a row a token", table.len());
            return Err(Error::setting("first embeddings", found, expected));
        }
        let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let factor = (DEVIATION / (squares / values.len().max(1) as f64).sqrt()) as f32;
        let factor = if factor.is_finite() { factor } else { 1.0 };
        table.iter_mut().zip(values).for_each(|(own, value)| *own = value * factor);
        self.parameters.replace(TABLE, &table)
    }

    /// The numbers of the mixture's weights, for what `f` makes of them.
    fn with_mixture<R>(&self, f: impl FnOnce(&MixtureWeights<&[f32]>) -> R) -> Result<R> {
        let part = |name: &str| -> Result<Vec<f32>> { self.parameters.values(name) };
        let (maps, offsets, gate) = (part(MAPS)?, part(OFFSETS)?, part(GATE)?);
        Ok(f(&MixtureWeights { maps: &maps[..], offsets: &offsets[..], gate: &gate[..] }))
    }

    /// Whether states are compared with another table than that of the embeddings.
    fn has_own_head(&self) -> bool {
        self.pretrained().is_some_and(|pretrained| pretrained.own_head)
    }

    /// The embedding table [vocabulary, width]. On the CPU, the tensor library carries gradients
    /// to it and no further.
    pub(super) fn whole_table(&self) -> Result<Tensor> {
        let get = |name: &str| self.parameters.get(name);
        let own = get(TABLE);
        let Some(composed) = &self.composed else { return Ok(own.clone()) };
        if !own.device().is_cpu() {
            return Ok(match &composed.of {
                Made::OfFeatures(of) => {
                    let parts = match composed.permutation {
                        Some(order) => composite::permuted(get(PERMUTATION), get(FEATURES), order)?,
                        None => get(FEATURES).clone(),
                    };
                    composite::features(own, &parts, of, composed.rows)?
                }
                Made::OfVectors(of) => {
                    let (maps, offsets, gate) = (get(MAPS), get(OFFSETS), get(GATE));
                    let weights = MixtureWeights { maps, offsets, gate };
                    composite::mixture(own, &weights, of, composed.rows)?
                }
            });
        }
        composed.table(self.parameters.state(), || {
            let (values, size) = (self.table_values()?, (composed.rows, own.dim(1)?));
            let parts = composed.of.parameters(0, 0.0).into_iter().map(|(name, ..)| name);
            let mut parts = parts.chain(composed.permutation.map(|_| PERMUTATION));
            Ok(if own.track_op() || parts.any(|name| get(name).track_op()) {
                Var::from_vec(values, size, &Device::Cpu)?.into_inner()
            } else {
                Tensor::from_vec(values, size, &Device::Cpu)?
            })
        })
    }

    /// The numbers of the embedding table.
    pub(super) fn table_values(&self) -> Result<Vec<f32>> {
        let Some(Composed { of, permutation, rows, .. }) = &self.composed else {
            return self.parameters.values(TABLE);
        };
        let part = |name: &str| self.parameters.get(name).to_device(&Device::Cpu);
        let (own, width) = (part(TABLE)?, self.shape.embedding_size);
        match of {
            Made::OfFeatures(features) => {
                let parts = match permutation {
                    Some(order) => {
                        let rows = self.features_in_order(*order)?;
                        Tensor::from_vec(rows, (features.n(), width), &Device::Cpu)?
                    }
                    None => part(FEATURES)?,
                };
                Ok(fused::with_slice(&own, |own| {
                    fused::with_slice(
                        &parts,
                        |parts| Ok(features.compose(own, parts, *rows, width)),
                    )
                })?)
            }
            Made::OfVectors(mixture) => self
                .with_mixture(|weights| {
                    let made = |own: &[f32]| Ok(mixture.compose(own, weights, *rows, width));
                    fused::with_slice(&own, made)
                })?
                .map_err(Error::from),
        }
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
        let compared = if self.has_own_head() { OUTPUT } else { TABLE };
        if let Some(table) = whole {
            let dimensions = self.parameters.get(compared).shape();
            let table = Tensor::from_vec(table, dimensions, &Device::Cpu)?;
            gradients.insert_dense(compared.to_owned(), table)?;
        }
        for (name, rows) in [(TABLE, rows), (OUTPUT, self.sinks.rows_of_head.take())] {
            if !rows.rows.is_empty() {
                gradients.insert_rows(name.to_owned(), rows)?;
            }
        }
        Ok(())
    }

    /// Gives the gradient of a composed table, whose parts are added in their order, to what it is
    /// made of. Where only some rows of it have one, so it is with its parts.
    fn part_gradients(
        &self,
        composed: &Composed,
        (whole, carried, rows): (Option<Vec<f32>>, Option<Vec<f32>>, RowGradients),
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (owned, width) = self.parameters.get(TABLE).dims2()?;
        let without = composed.rows - owned;
        let whole = match (whole, carried) {
            (Some(mut sum), Some(carried)) => {
                add_in_pieces(&mut sum, &carried);
                Some(sum)
            }
            (whole, carried) => whole.or(carried),
        };
        let Some(mut whole) = whole else {
            self.made_gradients(composed, Of::Rows(&rows), gradients)?;
            if self.parameters.learns(TABLE) {
                gradients.insert_rows(TABLE.to_owned(), rows.beginning_at(without))?;
            }
            return Ok(());
        };
        rows.add_to(&mut whole);
        self.made_gradients(composed, Of::Whole(&whole), gradients)?;
        if self.parameters.learns(TABLE) {
            whole.drain(..without * width);
            let own = Tensor::from_vec(whole, (owned, width), &Device::Cpu)?;
            gradients.insert_dense(TABLE.to_owned(), own)?;
        }
        Ok(())
    }

    /// The gradients of features, and of the scores of their order, from that of features in their order.
    fn permuted_gradients(
        &self,
        order: Permutation,
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Result<()> {
        let width = self.shape.embedding_size;
        let (scores, rows) =
            (self.parameters.values(PERMUTATION)?, self.parameters.values(FEATURES)?);
        let mut give = |name: &str, make: &dyn Fn() -> Vec<f32>| -> Result<()> {
            if !self.parameters.learns(name) {
                return Ok(());
            }
            let values = Tensor::from_vec(make(), self.parameters.get(name).shape(), &Device::Cpu)?;
            gradients.insert_dense(name.to_owned(), values)
        };
        give(PERMUTATION, &|| order.of_scores(&scores, (&rows, gradient), width))?;
        give(FEATURES, &|| Permutation::of_rows(&order.chosen(&scores), gradient, width))
    }

    /// The gradients of what rows are made of beside their own: of features dF = Aᵀ dE.
    fn made_gradients(
        &self,
        composed: &Composed,
        of: Of<'_>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (width, learns) =
            (self.shape.embedding_size, |name: &str| self.parameters.learns(name));
        match (&composed.of, composed.permutation) {
            (Made::OfFeatures(features), Some(order)) => {
                let gradient = match of {
                    Of::Rows(rows) => {
                        features.of_rows(rows, width).into_dense(features.n() * width)
                    }
                    Of::Whole(table) => features.of_whole(table, width),
                };
                self.permuted_gradients(order, &gradient, gradients)?;
            }
            (Made::OfFeatures(features), None) if learns(FEATURES) => match of {
                Of::Rows(rows) => {
                    gradients.insert_rows(FEATURES.to_owned(), features.of_rows(rows, width))?;
                }
                Of::Whole(table) => {
                    let parts = features.of_whole(table, width);
                    let parts = Tensor::from_vec(parts, (features.n(), width), &Device::Cpu)?;
                    gradients.insert_dense(FEATURES.to_owned(), parts)?;
                }
            },
            (Made::OfVectors(mixture), _) if TEXTS.iter().any(|name| learns(name)) => {
                let own = |rows: &RowGradients| {
                    rows.rows.partition_point(|&row| (row as usize) < mixture.n_rows())
                };
                let (rows, gradient) = match of {
                    Of::Rows(rows) => (Some(&rows.rows[..own(rows)]), &rows.values[..]),
                    Of::Whole(table) => (None, table),
                };
                let made = self.with_mixture(|w| mixture.gradients(w, (rows, gradient), width))?;
                for (name, values) in
                    [(MAPS, made.maps), (OFFSETS, made.offsets), (GATE, made.gate)]
                {
                    if learns(name) {
                        let shape = self.parameters.get(name).shape();
                        let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
                        gradients.insert_dense(name.to_owned(), values)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The gradient of a table, or of some of its rows.
#[derive(Clone, Copy)]
enum Of<'a> {
    Whole(&'a [f32]),
    Rows(&'a RowGradients),
}
