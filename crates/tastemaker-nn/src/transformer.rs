//! A transformer over tokens with one table for embedding and output.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use tastemaker_core::SeedTree;

use crate::Result;
use crate::backbones::{AnyBackbone, Shape};
use crate::fused::{
    self, Block, BlockShape, BlockWeights, CatalogSoftmax, Dropout, Embedding, Int8Table, Keeper,
    Lanes, LayerNorm, Precision, RowSink, SampledKind, SampledLoss, Sink, View, multiply,
};
use crate::gradients::Gradients;
use crate::parameters::{Init, Parameters};

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
        let mut model = Self { shape, bidirectional, parameters, sinks };
        for (name, dimensions) in model.dimensions(vocabulary) {
            let init = match name.rsplit('.').next() {
                Some("bias") => Init::Zeros,
                Some("weight") if dimensions.len() == 1 => Init::Ones,
                _ => Init::Normal(DEVIATION),
            };
            model.parameters.add(&name, &dimensions, init, seeds)?;
        }
        Ok(model)
    }

    fn dimensions(&self, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
        let width = self.shape.embedding_size;
        let mut all = vec![
            (TABLE.to_owned(), vec![vocabulary, width]),
            ("embedding.position".to_owned(), vec![self.shape.max_length, width]),
        ];
        for layer in 0..self.shape.layers {
            let parameters = self.block_shape().parameters().into_iter();
            all.extend(parameters.map(|(name, dimensions)| (block_name(layer, name), dimensions)));
        }
        all.push(("norm.weight".to_owned(), vec![width]));
        all.push(("norm.bias".to_owned(), vec![width]));
        all
    }

    fn block_shape(&self) -> BlockShape {
        BlockShape {
            width: self.shape.embedding_size,
            heads: self.shape.heads,
            inner: self.shape.inner_size,
            causal: !self.bidirectional,
        }
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
        for (layer, site) in (0..self.shape.layers).zip((1..).step_by(SITES_A_BLOCK as usize)) {
            let learns = self
                .block_shape()
                .parameters()
                .map(|(name, _)| self.parameters.learns(&block_name(layer, name)));
            let block = Block::new(self.block_shape(), lanes.clone(), dropout.at(site));
            let block = block.learning(learns).sink(self.sinks.blocks[layer].clone());
            let block = block.recomputing(pass.recompute).precision(pass.precision);
            x = block.apply(&x, &self.packed(layer, learns.contains(&true))?)?;
        }
        Ok(LayerNorm.apply(&x, get("norm.weight"), get("norm.bias"))?)
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
    /// any `learns`. On the CPU it ends there, for the block leaves it in its sink; elsewhere it
    /// goes on to the parameters.
    fn packed(&self, layer: usize, learns: bool) -> Result<Tensor> {
        if !self.parameters.device().is_cpu() {
            let flat: candle_core::Result<Vec<Tensor>> =
                self.of_block(layer).map(Tensor::flatten_all).collect();
            return Ok(Tensor::cat(&flat?, 0)?);
        }
        let packed = self.packed_values(layer)?;
        let n = packed.len();
        if learns {
            return Ok(Var::from_vec(packed, n, &Device::Cpu)?.into_inner());
        }
        Ok(Tensor::from_vec(packed, n, &Device::Cpu)?)
    }

    /// The numbers of a block's weights, one parameter after the other.
    fn packed_values(&self, layer: usize) -> Result<Vec<f32>> {
        let mut packed = Vec::with_capacity(self.block_shape().n_parameters());
        for part in self.of_block(layer) {
            fused::with_slice(&part.to_device(&Device::Cpu)?, |part| {
                packed.extend_from_slice(part);
                Ok(())
            })?;
        }
        Ok(packed)
    }

    /// The parameters of a block, in the order in which they are packed.
    fn of_block(&self, layer: usize) -> impl Iterator<Item = &Tensor> {
        let names = self.block_shape().parameters().map(|(name, _)| block_name(layer, name));
        names.into_iter().map(|name| self.parameters.get(&name))
    }

    /// The model as it is now, without what training needs; the factors of its blocks' products
    /// are rounded to `precision`, those of scores never are.
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
            int8: None,
        })
    }
}

fn block_name(layer: usize, name: &str) -> String {
    format!("block.{layer}.{name}")
}

/// A trained transformer that answers and no longer learns.
#[derive(Debug)]
pub struct Frozen {
    shape: BlockShape,
    max_length: usize,
    table: Vec<f32>,
    positions: Vec<f32>,
    blocks: Vec<BlockWeights>,
    norm: (Vec<f32>, Vec<f32>),
    int8: Option<Int8Table>,
}

impl Frozen {
    /// Of longer sequences the end is looked at.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Width of a hidden state.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// Ranks the first `classes` tokens by bounds from eight-bit numbers first and scores in full
    /// those that they leave: the same best, and fewer bytes to read.
    #[must_use]
    pub fn ranking_by_int8(self, classes: usize) -> Self {
        let width = self.shape.width;
        let int8 = Some(Int8Table::new(&self.table[..classes * width], width));
        Self { int8, ..self }
    }

    /// Offers the first `classes` tokens, scored after `hidden` states [keepers, width], at most
    /// [`fused::RANKED_ROWS`] of them, to each state's keeper; on the calling thread.
    pub fn rank<K: Keeper>(&self, hidden: &[f32], classes: usize, keepers: &mut [K]) {
        let width = self.shape.width;
        let table = &self.table[..classes * width];
        match &self.int8 {
            Some(int8) => int8.rank(hidden, table, keepers),
            None => fused::rank(hidden, table, width, keepers),
        }
    }

    /// Scores of the first `classes` tokens after `hidden` states [n, width], written to `scores`
    /// [n, classes]; on the calling thread.
    pub fn score(&self, hidden: &[f32], classes: usize, scores: &mut [f32]) {
        let width = self.shape.width;
        let shape = (hidden.len() / width, classes, width);
        let table = View::rows(&self.table[..classes * width], width).transposed();
        multiply(scores, classes, shape, View::rows(hidden, width), table);
    }

    /// What the model finds at the last token of each sequence, none of them empty:
    /// [sequences, width].
    pub fn last_hidden(&self, sequences: &[Vec<u32>]) -> Result<Vec<f32>> {
        let width = self.shape.width;
        let lanes = Arc::new(Lanes::new(sequences.iter().map(Vec::len).collect()));
        let embedding = Embedding::new(sequences.concat().into(), &lanes, Dropout::none());
        let mut x = embedding.run(&self.table, &self.positions, width)?;
        for weights in &self.blocks {
            let block = Block::new(self.shape, lanes.clone(), Dropout::none());
            x = block.run(&x, weights, false)?;
        }
        let last: Vec<f32> = lanes
            .last_tokens()
            .flat_map(|token| &x[token * width..(token + 1) * width])
            .copied()
            .collect();
        Ok(LayerNorm::run(&last, &self.norm.0, &self.norm.1))
    }
}
