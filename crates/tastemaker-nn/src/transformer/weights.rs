//! The weights of blocks: packed for a pass, and their gradients afterwards.

use candle_core::{Device, Tensor, Var};

use super::stack::exists;
use super::{Stack, Transformer};
use crate::Result;
use crate::adapters::AnyAdapter;
use crate::fused::{self, PARAMETERS, Sink};
use crate::gradients::Gradients;

impl Transformer {
    /// Which of a block's parameters have gradients: those that learn, and those to which an
    /// adapter that learns adds something.
    pub(super) fn learning(&self, stack: &Stack, layer: usize) -> [bool; PARAMETERS] {
        stack.block_shape(self.shape, self.sides).parameters().map(|(name, size)| {
            if !exists(&size) {
                return false;
            }
            let changes = |adapter: &AnyAdapter| {
                adapter.as_dyn().changes(name) && self.any_learns(&adapter.prefix())
            };
            self.parameters.learns(&stack.name(layer, name))
                || (stack.is_backbone() && self.inserted.adapters().iter().any(changes))
        })
    }

    fn any_learns(&self, prefix: &str) -> bool {
        self.parameters.learning().any(|(name, _)| name.starts_with(prefix))
    }

    /// The gradients of `loss`, which was made from this model's hidden states and table.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients> {
        let mut store = loss.backward()?;
        let mut gradients = self.parameters.taken_from(&mut store)?;
        for stack in std::iter::once(&self.body).chain(&self.encoder).chain(&self.generator) {
            for (layer, sink) in stack.sinks.iter().enumerate() {
                if let Some(packed) = sink.take() {
                    self.unpack(stack, layer, packed, &mut gradients)?;
                }
            }
        }
        self.table_gradients(&mut store, &mut gradients)?;
        Ok(gradients)
    }

    /// Puts the gradients of a block's parameters, of which some learn, where they belong.
    fn unpack(
        &self,
        stack: &Stack,
        layer: usize,
        packed: Vec<f32>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let shape = stack.block_shape(self.shape, self.sides);
        let packed = Tensor::from_vec(packed, shape.n_parameters(), &Device::Cpu)?;
        for ((name, dimensions), range) in shape.parameters().into_iter().zip(shape.ranges()) {
            let name = stack.name(layer, name);
            if exists(&dimensions) && self.parameters.learns(&name) {
                let gradient = packed.narrow(0, range.start, range.len())?.reshape(dimensions)?;
                gradients.insert_dense(name, gradient)?;
            }
        }
        Ok(())
    }

    /// The weights of a block in one tensor, through which the tensor library carries a gradient if
    /// any `learns`, and the sink for it. On the CPU it ends there; elsewhere, and where adapters
    /// have changed the weights, there is no sink and it goes on to the parameters.
    pub(super) fn packed(
        &self,
        stack: &Stack,
        layer: usize,
        learns: bool,
    ) -> Result<(Tensor, Option<Sink>)> {
        if !self.parameters.device().is_cpu()
            || (learns && stack.is_backbone() && self.inserted.changes())
        {
            let flat: candle_core::Result<Vec<Tensor>> =
                self.of_block(stack, layer)?.iter().map(Tensor::flatten_all).collect();
            return Ok((Tensor::cat(&flat?, 0)?, None));
        }
        let packed = self.packed_values(stack, layer)?;
        let n = packed.len();
        if learns {
            let packed = Var::from_vec(packed, n, &Device::Cpu)?.into_inner();
            return Ok((packed, Some(stack.sinks[layer].clone())));
        }
        Ok((Tensor::from_vec(packed, n, &Device::Cpu)?, None))
    }

    /// The numbers of a block's weights, one parameter after the other.
    pub(super) fn packed_values(&self, stack: &Stack, layer: usize) -> Result<Vec<f32>> {
        let parts = self.of_block(stack, layer)?;
        let mut packed = Vec::with_capacity(parts.iter().map(Tensor::elem_count).sum());
        for part in parts {
            fused::with_slice(&part.to_device(&Device::Cpu)?, |part| {
                packed.extend_from_slice(part);
                Ok(())
            })?;
        }
        Ok(packed)
    }

    /// The weights of a block, in the order in which they are packed.
    fn of_block(&self, stack: &Stack, layer: usize) -> Result<Vec<Tensor>> {
        stack.parameters(self.shape).map(|(name, _)| self.weight(stack, layer, name)).collect()
    }

    /// A weight of a block, with what adapters add to it.
    pub(super) fn weight(&self, stack: &Stack, layer: usize, name: &str) -> Result<Tensor> {
        let own = self.parameters.get(&stack.name(layer, name));
        if !stack.is_backbone() {
            return Ok(own.clone());
        }
        self.inserted.changed(&self.parameters, (&stack.block(layer), name), own)
    }
}
