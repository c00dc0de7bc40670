//! A transformer over tokens with one table for embedding and output.

mod frozen;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;

pub use self::frozen::Frozen;
use crate::adapters::{AnyAdapter, Inserted};
use crate::backbones::{AnyBackbone, Shape};
use crate::fused::{
    self, Block, BlockShape, BlockWeights, CatalogSoftmax, Dropout, Embedding, Lanes, LayerNorm,
    Precision, RowSink, SampledKind, SampledLoss, Sink,
};
use crate::gradients::Gradients;
use crate::parameters::{Group, Init, Parameters};
use crate::{Error, Result};

/// Standard deviation of the first weights (as GPT-2 and BERT).
const DEVIATION: f64 = 0.02;

/// Sites of dropout that a block has, and so the distance of the blocks' seeds.
const SITES_A_BLOCK: u32 = 2;

/// The parameter that embeds tokens and compares with them.
const TABLE: &str = "embedding.token";

/// How one pass over a batch is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The seed of the dropout's masks.
    pub seed: u64,
    /// Whether the backward pass makes the blocks' activations again instead of keeping them.
    pub recompute: bool,
    /// What the factors of matrix products are rounded to.
    pub precision: Precision,
}

/// The embedding table [vocabulary, width], as losses see it.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    tensor: &'a Tensor,
    sinks: &'a Sinks,
    precision: Precision,
}

impl Table<'_> {
    /// The table itself. Gradients through it are of the whole table.
    pub fn tensor(&self) -> &Tensor {
        self.tensor
    }

    /// The mean over `hidden` states [targets, width] of the softmax cross-entropy over the first
    /// `classes` rows.
    pub fn softmax(&self, hidden: &Tensor, targets: Vec<u32>, classes: usize) -> Result<Tensor> {
        let loss = CatalogSoftmax::new(targets, classes).precision(self.precision);
        Ok(loss.sink(self.sinks.table.clone()).apply(hidden, self.tensor)?)
    }

    /// The mean over `hidden` states of a loss against sampled negatives; of each state, `classes`
    /// has the target and then its negatives.
    pub fn sampled(&self, kind: SampledKind, hidden: &Tensor, classes: Vec<u32>) -> Result<Tensor> {
        let loss = SampledLoss::new(kind, classes, hidden.dim(0)?);
        Ok(loss.sink(self.sinks.rows.clone()).apply(hidden, self.tensor)?)
    }
}

/// Where the operations of a pass leave their weights' gradients.
#[derive(Debug, Default)]
struct Sinks {
    /// Of some rows of the embedding table.
    rows: RowSink,
    /// Of the whole of it.
    table: Sink,
    /// Of each block's packed weights.
    blocks: Vec<Sink>,
}

/// A pre-norm transformer: embeddings of tokens and places, blocks, a last norm. What it finds at
/// a token is compared with the rows of the embedding table.
#[derive(Debug)]
pub struct Transformer {
    shape: Shape,
    bidirectional: bool,
    parameters: Parameters,
    inserted: Inserted,
    sinks: Sinks,
}

impl Transformer {
    /// A transformer over `vocabulary` tokens with fresh weights, on the CPU.
    pub fn new(backbone: &AnyBackbone, vocabulary: usize, seeds: &SeedTree) -> Result<Self> {
        Self::on(Device::Cpu, backbone, vocabulary, seeds)
    }

    /// A transformer over `vocabulary` tokens with fresh weights, the same ones on every device.
    pub fn on(
        device: Device,
        backbone: &AnyBackbone,
        vocabulary: usize,
        seeds: &SeedTree,
    ) -> Result<Self> {
        let backbone = backbone.as_dyn();
        let shape = backbone.shape()?;
        let bidirectional = backbone.is_bidirectional();
        let blocks = (0..shape.layers).map(|_| Sink::default()).collect();
        let (parameters, sinks) = (Parameters::on(device), Sinks { blocks, ..Sinks::default() });
        let inserted = Inserted::default();
        let mut model = Self { shape, bidirectional, parameters, inserted, sinks };
        for (name, dimensions) in dimensions(shape, vocabulary) {
            let init = match name.rsplit('.').next() {
                Some("bias") => Init::Zeros,
                Some("weight") if dimensions.len() == 1 => Init::Ones,
                _ => Init::Normal(DEVIATION),
            };
            model.parameters.add(&name, &dimensions, init, seeds)?;
        }
        Ok(model)
    }

    fn block_shape(&self) -> BlockShape {
        block_shape(self.shape, !self.bidirectional)
    }

    /// Puts in an adapter, whose first weights follow from `seeds`.
    ///
    /// # Errors
    /// If it does not fit or there is one of its kind already.
    pub fn insert(&mut self, adapter: &AnyAdapter, seeds: &SeedTree) -> Result<()> {
        if self.inserted.adapters().iter().any(|other| other.name() == adapter.name()) {
            return Err(Error::setting("an adapter", adapter.name(), "one of each kind"));
        }
        adapter.as_dyn().check(self.shape)?;
        adapter.add(self.shape, &mut self.parameters, seeds)?;
        self.inserted.push(adapter.clone());
        Ok(())
    }

    /// The adapters, in the order in which they were put in.
    pub fn adapters(&self) -> &[AnyAdapter] {
        self.inserted.adapters()
    }

    /// Takes out all adapters; what is left is the backbone.
    pub fn remove_adapters(&mut self) {
        for adapter in self.inserted.adapters() {
            self.parameters.remove(&adapter.prefix());
        }
        self.inserted = Inserted::default();
    }

    /// Adds to the backbone's weights what adapters add to them, and takes those adapters out. The
    /// model finds the same.
    pub fn merge(&mut self) -> Result<()> {
        let mut merged = BTreeMap::new();
        for layer in 0..self.shape.layers {
            for (name, _) in self.block_shape().parameters() {
                let weight = self.weight(layer, name)?.flatten_all()?;
                merged.insert(block_name(layer, name), weight.to_vec1::<f32>()?);
            }
        }
        for (name, variable) in self.parameters.iter() {
            if let Some(values) = merged.remove(name) {
                let device = self.parameters.device();
                variable.set(&Tensor::from_vec(values, variable.shape(), device)?)?;
            }
        }
        for adapter in self.inserted.adapters().iter().filter(|a| a.as_dyn().is_mergeable()) {
            self.parameters.remove(&adapter.prefix());
        }
        self.inserted = self.inserted.without_changes();
        Ok(())
    }

    /// Says of every parameter, by its name, whether it learns.
    pub fn choose(&mut self, learns: impl Fn(&str) -> bool) {
        self.parameters.choose(learns);
    }

    /// The architecture's numbers.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The embedding table, as losses of a pass see it.
    pub fn table(&self, pass: Pass) -> Table<'_> {
        let precision = pass.precision;
        Table { tensor: self.parameters.get(TABLE), sinks: &self.sinks, precision }
    }

    /// What the model finds at each token: [tokens, width].
    pub fn forward(&self, tokens: Arc<[u32]>, lanes: &Arc<Lanes>, pass: Pass) -> Result<Tensor> {
        let get = |name: &str| self.parameters.get(name);
        let dropout = Dropout::new(self.shape.dropout, pass.seed);
        let embedding = Embedding::new(tokens, lanes, dropout).sink(self.sinks.rows.clone());
        let mut x = embedding.apply(get(TABLE), get("embedding.position"))?;
        let own = (&self.parameters, pass.precision);
        let prompted = self.inserted.prompted(lanes);
        let lanes = prompted.as_ref().map_or(lanes, |prompted| &prompted.lanes);
        for (layer, site) in (0..self.shape.layers).zip((1..).step_by(SITES_A_BLOCK as usize)) {
            if let Some(prompted) = &prompted {
                x = self.inserted.prompts(own, prompted, layer, x)?;
            }
            let learns = self.learning(layer);
            let block = Block::new(self.block_shape(), lanes.clone(), dropout.at(site));
            let (weights, sink) = self.packed(layer, learns.contains(&true))?;
            let block = block.learning(learns).sink(sink);
            let block = block.recomputing(pass.recompute).precision(pass.precision);
            x = block.apply(&x, &weights)?;
            x = self.inserted.after_block(own, layer, x)?;
        }
        if let Some(prompted) = &prompted {
            x = prompted.remove(&x)?;
        }
        let x = LayerNorm.apply(&x, get("norm.weight"), get("norm.bias"))?;
        self.inserted.after_norm(own, x)
    }

    /// Which of a block's parameters have gradients: those that learn, and those to which an
    /// adapter that learns adds something.
    fn learning(&self, layer: usize) -> [bool; 12] {
        self.block_shape().parameters().map(|(name, _)| {
            let changes = |adapter: &AnyAdapter| {
                adapter.as_dyn().changes(name) && self.any_learns(&adapter.prefix())
            };
            self.parameters.learns(&block_name(layer, name))
                || self.inserted.adapters().iter().any(changes)
        })
    }

    fn any_learns(&self, prefix: &str) -> bool {
        self.parameters.learning().any(|(name, _)| name.starts_with(prefix))
    }

    /// The gradients of `loss`, which was made from this model's hidden states and table.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients> {
        let mut store = loss.backward()?;
        let mut gradients = Gradients::default();
        for (name, variable) in self.parameters.learning() {
            if let Some(gradient) = store.remove(variable) {
                let gradient = gradient.to_device(&Device::Cpu)?.contiguous()?;
                gradients.insert_dense(name.to_owned(), gradient)?;
            }
        }
        for (layer, sink) in self.sinks.blocks.iter().enumerate() {
            if let Some(packed) = sink.take() {
                self.unpack(layer, packed, &mut gradients)?;
            }
        }
        if let Some(table) = self.sinks.table.take() {
            let dimensions = self.parameters.get(TABLE).shape();
            let table = Tensor::from_vec(table, dimensions, &Device::Cpu)?;
            gradients.insert_dense(TABLE.to_owned(), table)?;
        }
        let rows = self.sinks.rows.take();
        if !rows.rows.is_empty() {
            gradients.insert_rows(TABLE.to_owned(), rows)?;
        }
        Ok(gradients)
    }

    /// Puts the gradients of a block's parameters, of which some learn, where they belong.
    fn unpack(&self, layer: usize, packed: Vec<f32>, gradients: &mut Gradients) -> Result<()> {
        let shape = self.block_shape();
        let packed = Tensor::from_vec(packed, shape.n_parameters(), &Device::Cpu)?;
        for ((name, dimensions), range) in shape.parameters().into_iter().zip(shape.ranges()) {
            let name = block_name(layer, name);
            if self.parameters.learns(&name) {
                let gradient = packed.narrow(0, range.start, range.len())?.reshape(dimensions)?;
                gradients.insert_dense(name, gradient)?;
            }
        }
        Ok(())
    }

    /// The weights of a block in one tensor, through which the tensor library carries a gradient if
    /// any `learns`, and the sink for it. On the CPU it ends there; elsewhere, and where adapters
    /// have changed the weights, there is no sink and it goes on to the parameters.
    fn packed(&self, layer: usize, learns: bool) -> Result<(Tensor, Option<Sink>)> {
        if !self.parameters.device().is_cpu() || (learns && self.inserted.changes()) {
            let flat: candle_core::Result<Vec<Tensor>> =
                self.of_block(layer)?.iter().map(Tensor::flatten_all).collect();
            return Ok((Tensor::cat(&flat?, 0)?, None));
        }
        let packed = self.packed_values(layer)?;
        let n = packed.len();
        if learns {
            let packed = Var::from_vec(packed, n, &Device::Cpu)?.into_inner();
            return Ok((packed, Some(self.sinks.blocks[layer].clone())));
        }
        Ok((Tensor::from_vec(packed, n, &Device::Cpu)?, None))
    }

    /// The numbers of a block's weights, one parameter after the other.
    fn packed_values(&self, layer: usize) -> Result<Vec<f32>> {
        let mut packed = Vec::with_capacity(self.block_shape().n_parameters());
        for part in self.of_block(layer)? {
            fused::with_slice(&part.to_device(&Device::Cpu)?, |part| {
                packed.extend_from_slice(part);
                Ok(())
            })?;
        }
        Ok(packed)
    }

    /// The weights of a block, in the order in which they are packed.
    fn of_block(&self, layer: usize) -> Result<Vec<Tensor>> {
        let parameters = self.block_shape().parameters().into_iter();
        parameters.map(|(name, _)| self.weight(layer, name)).collect()
    }

    /// A weight of a block, with what adapters add to it.
    fn weight(&self, layer: usize, name: &str) -> Result<Tensor> {
        let own = self.parameters.get(&block_name(layer, name));
        self.inserted.changed(&self.parameters, (layer, name), own)
    }

    /// The model as it is now, without what training needs; the factors of its blocks' products
    /// are rounded to `precision`, those of scores never are. What adapters add to weights is
    /// merged.
    pub fn frozen(&self, precision: Precision) -> Result<Frozen> {
        let shape = self.block_shape();
        let blocks = (0..self.shape.layers)
            .map(|layer| self.packed_values(layer))
            .map(|weights| Ok(BlockWeights::forward(shape, &weights?, precision)));
        Ok(Frozen {
            shape: self.block_shape(),
            max_length: self.shape.max_length,
            table: self.parameters.values(TABLE)?,
            positions: self.parameters.values("embedding.position")?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: (self.parameters.values("norm.weight")?, self.parameters.values("norm.bias")?),
            inserted: self.inserted.without_changes(),
            parameters: self.parameters.frozen(|name| !Group::of(name).is_backbone())?,
            precision,
            int8: None,
        })
    }
}

/// The names of the parameters of a backbone of this shape.
pub fn names(shape: Shape) -> Vec<String> {
    dimensions(shape, 1).into_iter().map(|(name, _)| name).collect()
}

fn dimensions(shape: Shape, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let width = shape.embedding_size;
    let mut all = vec![
        (TABLE.to_owned(), vec![vocabulary, width]),
        ("embedding.position".to_owned(), vec![shape.max_length, width]),
    ];
    for layer in 0..shape.layers {
        let parameters = block_shape(shape, true).parameters().into_iter();
        all.extend(parameters.map(|(name, dimensions)| (block_name(layer, name), dimensions)));
    }
    all.push(("norm.weight".to_owned(), vec![width]));
    all.push(("norm.bias".to_owned(), vec![width]));
    all
}

fn block_shape(shape: Shape, causal: bool) -> BlockShape {
    BlockShape { width: shape.embedding_size, heads: shape.heads, inner: shape.inner_size, causal }
}

fn block_name(layer: usize, name: &str) -> String {
    format!("block.{layer}.{name}")
}
