//! A transformer over tokens with one table for embedding and output.

use std::sync::Arc;

use candle_core::Tensor;
use tastemaker_core::SeedTree;

use crate::backbones::{AnyBackbone, Shape};
use crate::fused::{
    self, Block, BlockShape, Dropout, Embedding, Keeper, Lanes, LayerNorm, View, multiply,
};
use crate::parameters::{Init, Parameters};
use crate::{Result, composite};

/// Standard deviation of the first weights (as GPT-2 and BERT).
const DEVIATION: f64 = 0.02;

/// Sites of dropout that a block has, and so the distance of the blocks' seeds.
const SITES_A_BLOCK: u32 = 2;

/// A pre-norm transformer: embeddings of tokens and places, blocks, a last norm. What it finds at
/// a token is compared with the rows of the embedding table.
#[derive(Debug)]
pub struct Transformer {
    shape: Shape,
    bidirectional: bool,
    parameters: Parameters,
}

impl Transformer {
    /// A transformer over `vocabulary` tokens with fresh weights.
    pub fn new(backbone: &AnyBackbone, vocabulary: usize, seeds: &SeedTree) -> Result<Self> {
        let backbone = backbone.as_dyn();
        let shape = backbone.shape()?;
        let bidirectional = backbone.is_bidirectional();
        let mut model = Self { shape, bidirectional, parameters: Parameters::default() };
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
            ("embedding.token".to_owned(), vec![vocabulary, width]),
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

    /// The architecture's numbers.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The embedding table [vocabulary, width].
    pub fn table(&self) -> &Tensor {
        self.parameters.get("embedding.token")
    }

    /// What the model finds at each token: [tokens, width]. `dropout` is the seed of this step's
    /// masks.
    pub fn forward(&self, tokens: Arc<[u32]>, lanes: &Arc<Lanes>, dropout: u64) -> Result<Tensor> {
        let get = |name: &str| self.parameters.get(name);
        let (table, positions) = (self.table(), get("embedding.position"));
        let (weight, bias) = (get("norm.weight"), get("norm.bias"));
        let dropout = Dropout::new(self.shape.dropout, dropout);
        let fused = table.device().is_cpu();
        let mut x = if fused {
            table.apply_op2(positions, Embedding::new(tokens, lanes, dropout))?
        } else {
            composite::embedding(table, positions, (&tokens, lanes), dropout)?
        };
        for (layer, site) in (0..self.shape.layers).zip((1..).step_by(SITES_A_BLOCK as usize)) {
            let (shape, dropout, packed) =
                (self.block_shape(), dropout.at(site), self.packed(layer)?);
            x = if fused {
                x.apply_op2(&packed, Block::new(shape, lanes.clone(), dropout))?
            } else {
                composite::block(shape, &x, &packed, lanes, dropout)?
            };
        }
        Ok(if fused {
            x.apply_op3(weight, bias, LayerNorm)?
        } else {
            composite::layer_norm(&x, weight, bias)?
        })
    }

    /// The weights of a block in one tensor.
    fn packed(&self, layer: usize) -> Result<Tensor> {
        let part = |(name, _): (&str, Vec<usize>)| {
            self.parameters.get(&block_name(layer, name)).flatten_all()
        };
        let parts: candle_core::Result<Vec<Tensor>> =
            self.block_shape().parameters().into_iter().map(part).collect();
        Ok(Tensor::cat(&parts?, 0)?)
    }

    /// The model as it is now, without what training needs.
    pub fn frozen(&self) -> Result<Frozen> {
        let blocks = (0..self.shape.layers).map(|layer| Ok(self.packed(layer)?.to_vec1()?));
        Ok(Frozen {
            shape: self.block_shape(),
            max_length: self.shape.max_length,
            table: self.parameters.values("embedding.token")?,
            positions: self.parameters.values("embedding.position")?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: (self.parameters.values("norm.weight")?, self.parameters.values("norm.bias")?),
        })
    }
}

fn block_name(layer: usize, name: &str) -> String {
    format!("block.{layer}.{name}")
}

/// A trained transformer that answers and no longer learns.
#[derive(Clone, Debug)]
pub struct Frozen {
    shape: BlockShape,
    max_length: usize,
    table: Vec<f32>,
    positions: Vec<f32>,
    blocks: Vec<Vec<f32>>,
    norm: (Vec<f32>, Vec<f32>),
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

    /// Offers the first `classes` tokens, scored after `hidden` states [keepers, width], at most
    /// [`fused::RANKED_ROWS`] of them, to each state's keeper; on the calling thread.
    pub fn rank<K: Keeper>(&self, hidden: &[f32], classes: usize, keepers: &mut [K]) {
        let width = self.shape.width;
        fused::rank(hidden, &self.table[..classes * width], width, keepers);
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
            x = Block::new(self.shape, lanes.clone(), Dropout::none()).run(&x, weights, false)?;
        }
        let last: Vec<f32> = lanes
            .last_tokens()
            .flat_map(|token| &x[token * width..(token + 1) * width])
            .copied()
            .collect();
        Ok(LayerNorm::run(&last, &self.norm.0, &self.norm.1))
    }
}
