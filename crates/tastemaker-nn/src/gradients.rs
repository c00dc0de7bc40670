//! What a loss asks of each parameter.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;
use tastemaker_core::SeedTree;

use crate::fused::{RowGradients, add_in_pieces, slice, slice_mut, with_slice};
use crate::parameters::{Parameters, normal};

/// Numbers of which a sum is taken by one task.
const PIECE: usize = 1 << 14;

/// The gradients of a model's parameters, by name.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Of whole parameters.
    pub(crate) dense: BTreeMap<String, Tensor>,
    /// Of some rows of tables whose other rows have none.
    pub(crate) rows: BTreeMap<String, RowGradients>,
}

impl Gradients {
    /// Adds the gradients of another part of the batch.
    pub fn add(&mut self, other: Self) -> crate::Result<()> {
        for (name, gradient) in other.dense {
            self.insert_dense(name, gradient)?;
        }
        for (name, rows) in other.rows {
            self.insert_rows(name, rows)?;
        }
        Ok(())
    }

    /// Puts in, or adds to what is there, a parameter's gradient.
    pub(crate) fn insert_dense(&mut self, name: String, gradient: Tensor) -> crate::Result<()> {
        if let Some(sum) = self.dense.get(&name) {
            return Ok(sum.inplace_op2(&gradient, &Add)?);
        }
        if let Some(rows) = self.rows.remove(&name) {
            gradient.inplace_op1(&AddRows(&rows))?;
        }
        self.dense.insert(name, gradient);
        Ok(())
    }

    /// Puts in, or adds to what is there, the gradients of a table's rows.
    pub(crate) fn insert_rows(&mut self, name: String, rows: RowGradients) -> crate::Result<()> {
        if let Some(gradient) = self.dense.get(&name) {
            gradient.inplace_op1(&AddRows(&rows))?;
        } else {
            let sum = self.rows.remove(&name).unwrap_or_default().merged(rows);
            self.rows.insert(name, sum);
        }
        Ok(())
    }

    /// √Σ g², over all numbers of all parameters.
    pub fn norm(&self) -> crate::Result<f64> {
        let mut total = 0.0;
        for name in self.dense.keys().chain(self.rows.keys()) {
            total += self.square_norm(name)?.unwrap_or_default();
        }
        Ok(total.sqrt())
    }

    /// Σ g² of a parameter, in a fixed order; `None` if it has no gradient.
    pub(crate) fn square_norm(&self, name: &str) -> crate::Result<Option<f64>> {
        if let Some(gradient) = self.dense.get(name) {
            return Ok(Some(with_slice(gradient, |values| Ok(square_sum(values)))?));
        }
        Ok(self.rows.get(name).map(|rows| square_sum(&rows.values)))
    }

    /// Multiplies every number by `factor`.
    #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
    pub fn scale(&mut self, factor: f64) -> crate::Result<()> {
        for gradient in self.dense.values_mut() {
            *gradient = gradient.affine(factor, 0.0)?;
        }
        for value in self.rows.values_mut().flat_map(|rows| &mut rows.values) {
            *value *= factor as f32;
        }
        Ok(())
    }

    /// Adds normal noise of this `deviation` to every number of each of the `parameters` that
    /// learns, also where it has no gradient. A parameter's noise follows from `seeds` and its name.
    pub fn add_noise(
        &mut self,
        deviation: f64,
        parameters: &Parameters,
        seeds: &SeedTree,
    ) -> crate::Result<()> {
        for (name, variable) in parameters.learning() {
            let noise = normal(variable.elem_count(), deviation, &seeds.child(name));
            let noise = Tensor::from_vec(noise, variable.shape(), &Device::Cpu)?;
            self.insert_dense(name.to_owned(), noise)?;
        }
        Ok(())
    }

    /// The whole gradient of a parameter of `n` numbers, copied; `None` if it has none.
    pub fn values(&self, name: &str, n: usize) -> crate::Result<Option<Vec<f32>>> {
        if let Some(gradient) = self.dense.get(name) {
            return Ok(Some(gradient.flatten_all()?.to_vec1()?));
        }
        Ok(self.rows.get(name).map(|rows| rows.clone().into_dense(n)))
    }
}

fn square_sum(values: &[f32]) -> f64 {
    let square = |values: &[f32]| values.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    let pieces: Vec<f64> = values.par_chunks(PIECE).map(square).collect();
    pieces.iter().sum()
}

/// Adds a gradient to another in its place.
struct Add;

impl InplaceOp2 for Add {
    fn name(&self) -> &'static str {
        "add-gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> candle_core::Result<()> {
        add_in_pieces(slice_mut(sum, sum_layout)?, slice(other, other_layout)?);
        Ok(())
    }
}

/// Adds rows to a whole table's gradient in its place.
struct AddRows<'a>(&'a RowGradients);

impl InplaceOp1 for AddRows<'_> {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(&self, table: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        self.0.add_to(slice_mut(table, layout)?);
        Ok(())
    }
}
