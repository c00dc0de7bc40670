//! A transformer over tokens with one table for embedding and output.

mod frozen;
mod pretrained;
mod reading;
mod stack;
mod table;
mod weights;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tastemaker_core::SeedTree;

use self::frozen::FrozenStack;
pub use self::frozen::{Frozen, Memory};
pub(crate) use self::pretrained::Pretrained;
pub use self::reading::Reading;
use self::stack::Stack;
pub(crate) use self::stack::blocks;
use self::table::{Composed, Sinks};
pub use self::table::{FEATURES, OUTPUT, PERMUTATION, TABLE, TEXTS, Table};
use crate::adapters::{Added, AnyAdapter, Inserted, ONE_OF_EACH, Place, Prompted};
use crate::backbones::{AnyBackbone, Shape};
use crate::fused::{
    AttentionMask, Block, BlockWeights, Dropout, Embedding, Intervals, Lanes, LayerNorm, Norm,
    Positions, Precision, RmsNorm, RowSink, Style,
};
use crate::parameters::{Group, Init, Parameters};
use crate::{Error, Result};

/// Standard deviation of the first weights (as GPT-2 and BERT).
const DEVIATION: f64 = 0.02;

/// Where an encoder's sites of dropout begin, so that they are none of its decoder's.
const ENCODER_SITES: u32 = 1 << 16;

/// The parameter that embeds places.
pub(crate) const PLACES: &str = "embedding.position";

/// That which embeds the places of what an encoder reads, where a decoder has its own.
const ENCODER_PLACES: &str = "embedding.encoder-position";

/// What a token sees of its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Itself and what came before it.
    Causal,
    /// All of it.
    Both,
}

/// How one pass over a batch is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The seed of the dropout's masks.
    pub seed: u64,
    /// What a token sees; what the backbone says where absent.
    pub sides: Option<Sides>,
    /// Whether the backward pass makes the blocks' activations again instead of keeping them.
    pub recompute: bool,
    /// What the factors of matrix products are rounded to.
    pub precision: Precision,
}

/// A batch of sequences as a backbone reads them.
#[derive(Clone, Debug)]
pub struct Input {
    /// The tokens of all sequences.
    pub tokens: Arc<[u32]>,
    /// How they are divided.
    pub lanes: Arc<Lanes>,
    /// The place of each token; where they stand if absent.
    pub places: Option<Vec<u32>>,
    /// What is hidden from each token further.
    pub mask: Option<Arc<AttentionMask>>,
    /// For each of the backbone's views, what it says of each token; unknown if absent.
    pub views: Vec<Arc<[u32]>>,
    /// For each sequence, what is known of whom it is of, as numbers of values; empty where nothing
    /// is known of any. A personal prompt is made from it, around what an encoder reads from what is
    /// known there.
    pub profiles: Arc<[Vec<u32>]>,
    /// The time of each token in seconds, not a number where unknown; all unknown if absent.
    pub times: Option<Arc<[f64]>>,
    /// What the encoder of an encoder–decoder reads of each sequence before.
    pub encoded: Option<Arc<Input>>,
}

impl Input {
    /// Sequences whose tokens stand where they are.
    pub fn new(tokens: Arc<[u32]>, lanes: Arc<Lanes>) -> Self {
        Self {
            tokens,
            lanes,
            places: None,
            mask: None,
            views: vec![],
            profiles: Arc::default(),
            times: None,
            encoded: None,
        }
    }

    /// [`Input::new`] of these sequences, none of them empty.
    pub fn of(sequences: &[Vec<u32>]) -> Self {
        let lanes = Lanes::new(sequences.iter().map(Vec::len).collect());
        Self::new(sequences.concat().into(), Arc::new(lanes))
    }
}

/// What a model finds at tokens: [tokens, width], and which sequences they are of.
struct States {
    x: Tensor,
    lanes: Arc<Lanes>,
}

/// A pre-norm transformer: embeddings of tokens and places, blocks, a last norm. What it finds at
/// a token is compared with the rows of the embedding table.
#[derive(Debug)]
pub struct Transformer {
    shape: Shape,
    sides: Sides,
    parameters: Parameters,
    /// How many values profiles have.
    values: usize,
    inserted: Inserted,
    encoder: Option<Stack>,
    body: Stack,
    generator: Option<Stack>,
    sinks: Sinks,
    /// What the rows of the embedding table are made of beside their own, if anything.
    composed: Option<Composed>,
    /// What it has beside its shape, if it was pre-trained over text.
    pretrained: Option<Pretrained>,
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
        let sides = if backbone.is_bidirectional() { Sides::Both } else { Sides::Causal };
        let mut model = Self::without_weights(device, shape, sides);
        model.add_all(dimensions(shape, vocabulary), seeds)?;
        Ok(model)
    }

    fn without_weights(device: Device, shape: Shape, sides: Sides) -> Self {
        Self {
            shape,
            sides,
            parameters: Parameters::on(device),
            values: 1,
            inserted: Inserted::default(),
            encoder: stack::encoder(shape),
            body: stack::body(shape),
            generator: None,
            sinks: Sinks::default(),
            composed: None,
            pretrained: None,
        }
    }

    /// The same before sequences whose profiles have this many values, at least one.
    #[must_use]
    pub fn with_values(self, values: usize) -> Self {
        Self { values: values.max(1), ..self }
    }

    /// Adds parameters as a transformer begins with them.
    fn add_all(&mut self, all: Vec<(String, Vec<usize>)>, seeds: &SeedTree) -> Result<()> {
        for (name, dimensions) in all {
            let init = match name.rsplit('.').next() {
                Some("bias") => Init::Zeros,
                Some("weight") if dimensions.len() == 1 => Init::Ones,
                _ => Init::Normal(DEVIATION),
            };
            self.parameters.add(&name, &dimensions, init, seeds)?;
        }
        Ok(())
    }

    /// Adds what an objective needs to ask its question: parameters `added`, whose names follow
    /// `prefix`, and, if `generator` is not 0, a second stack of so many blocks on the same
    /// embeddings.
    pub fn add_for_objective(
        &mut self,
        prefix: &str,
        added: Vec<Added>,
        generator: usize,
        seeds: &SeedTree,
    ) -> Result<()> {
        for (name, dimensions, init) in added {
            self.parameters.add(&format!("{prefix}.{name}"), &dimensions, init, seeds)?;
        }
        if generator > 0 {
            let stack = Stack::new(stack::Part::Generator, generator);
            self.add_all(stack.dimensions(self.shape), seeds)?;
            self.generator = Some(stack);
        }
        Ok(())
    }

    /// Takes out what objectives have added.
    pub fn remove_for_objectives(&mut self) {
        self.parameters.remove("objective");
        self.generator = None;
    }

    /// Puts in an adapter, whose first weights follow from `seeds`.
    ///
    /// # Errors
    /// If it does not fit or there is one of its kind, in its place, already.
    pub fn insert(&mut self, adapter: &AnyAdapter, seeds: &SeedTree) -> Result<()> {
        if self.inserted.adapters().iter().any(|other| other.prefix() == adapter.prefix()) {
            return Err(Error::setting("an adapter", adapter.name(), ONE_OF_EACH));
        }
        adapter.as_dyn().check(self.shape)?;
        if adapter.as_dyn().place() == Place::Within && self.pretrained.is_none() {
            let expected = "before or after, where no template says what stands within";
            return Err(Error::setting("place", "within", expected));
        }
        adapter.add((self.shape, self.values), &mut self.parameters, seeds)?;
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
        for stack in self.encoder.iter().chain([&self.body]) {
            for layer in 0..stack.layers {
                for (name, _) in stack.parameters(self.shape) {
                    let weight = self.weight(stack, layer, name)?.flatten_all()?;
                    merged.insert(stack.name(layer, name), weight.to_vec1::<f32>()?);
                }
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

    /// The vectors of soft prompts that stand before every sequence, and of those within prompts:
    /// [tokens, width] each; nothing where there are none.
    ///
    /// # Errors
    /// If something else was put in that is not merged.
    pub fn soft_prompts(&self) -> Result<[Vec<f32>; 2]> {
        self.inserted.soft_prompts(&self.parameters)
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
        Table { model: self, precision: pass.precision }
    }

    /// What the model finds at each token: [tokens, width].
    pub fn forward(&self, tokens: Arc<[u32]>, lanes: &Arc<Lanes>, pass: Pass) -> Result<Tensor> {
        self.states(&Input::new(tokens, lanes.clone()), pass)
    }

    /// What the model finds at each token of `input`: [tokens, width].
    ///
    /// # Errors
    /// If there is a mask as well as a prompt, which it does not know; if there is an encoder and
    /// nothing that it reads.
    pub fn states(&self, input: &Input, pass: Pass) -> Result<Tensor> {
        let memory = match &self.encoder {
            None => None,
            Some(encoder) => {
                let pass = Pass { sides: Some(Sides::Both), ..pass };
                Some(self.through(encoder, (stack::encoded(input)?, None), pass)?)
            }
        };
        let States { x, .. } = self.through(&self.body, (input, memory.as_ref()), pass)?;
        self.inserted.after_norm((&self.parameters, pass.precision), x)
    }

    /// What the generator finds at each token of `input`: [tokens, width].
    ///
    /// # Panics
    /// If no objective has added one, which is a mistake of the program.
    pub fn generated(&self, input: &Input, pass: Pass) -> Result<Tensor> {
        let generator = self.generator.as_ref().expect("an objective added a generator");
        Ok(self.through(generator, (input, None), pass)?.x)
    }

    /// The embeddings of the tokens of `input`.
    fn embedded(&self, stack: &Stack, input: &Input, dropout: Dropout) -> Result<Tensor> {
        let get = |name: &str| self.parameters.get(name);
        let mut embedding = Embedding::new(self.hard_tokens(input), &input.lanes, dropout);
        if let Some(places) = &input.places {
            embedding = embedding.places(places.clone());
        }
        let embedding = embedding.sink(self.sinks.rows.clone());
        let table = self.whole_table()?;
        let mut x = match self.shape.style.positions {
            Positions::Learned => embedding.apply(&table, get(stack.places()))?,
            Positions::Relative | Positions::Rotary => {
                let nowhere =
                    Tensor::zeros((1, self.shape.embedding_size), DType::F32, table.device())?;
                embedding.places(vec![0; input.tokens.len()]).apply(&table, &nowhere)?
            }
        };
        x = self.as_pretrained(stack, input, x)?;
        for (i, view) in self.shape.views.iter().enumerate() {
            x = (x + rows(
                get(view.parameter()),
                viewed(&input.views, i, input.tokens.len()),
                None,
            )?)?;
        }
        Ok(x)
    }

    /// What a stack makes of `input`, and of what an encoder has found where it reads that.
    fn through(
        &self,
        stack: &Stack,
        (input, memory): (&Input, Option<&States>),
        pass: Pass,
    ) -> Result<States> {
        let dropout = Dropout::new(self.shape.dropout, pass.seed).at(stack.first_site());
        let mut x = self.embedded(stack, input, dropout)?;
        let own = (&self.parameters, pass.precision);
        let none = Inserted::default();
        let inserted = if stack.is_backbone() { &self.inserted } else { &none };
        let sides = pass.sides.unwrap_or(self.sides);
        let prompted = inserted.prompted(input, sides == Sides::Causal)?;
        let prompted = prompted.filter(|_| stack.is_prompted(self.shape));
        if prompted.is_some() && input.mask.is_some() {
            return Err(Error::setting("a prompt", "beside an attention mask", "one of them"));
        }
        let lanes = prompted.as_ref().map_or(&input.lanes, |prompted| &prompted.lanes);
        let intervals = intervals(self.shape.style, input, prompted.as_ref())?;
        let shape = stack.block_shape(self.shape, sides);
        let looks = self.looks(stack, (input, lanes))?;
        for (layer, site) in (0..stack.layers).zip((1..).step_by(stack.sites_a_block())) {
            if let Some(prompted) = &prompted {
                x = inserted.prompts(own, prompted, layer, x)?;
            }
            let learns = self.learning(stack, layer);
            let (weights, sink) = self.packed(stack, layer, learns.contains(&true))?;
            let block = looks.at(layer, Block::new(shape, lanes.clone(), dropout.at(site)));
            let block = block.learning(learns).sink(sink).timed(intervals.clone());
            let block = block.recomputing(pass.recompute).precision(pass.precision);
            x = match memory {
                None => block.apply(&x, &weights)?,
                Some(States { x: memory, lanes }) => {
                    block.reading(Some(lanes.clone())).apply_reading(&x, memory, &weights)?
                }
            };
            x = inserted.after_block(own, &stack.block(layer), x)?;
        }
        let mut lanes = lanes.clone();
        if let Some(prompted) = prompted.as_ref().filter(|_| !stack.keeps_prompts()) {
            (x, lanes) = (prompted.remove(&x)?, input.lanes.clone());
        }
        let norm = |name: &str| self.parameters.get(&stack.norm(name));
        let Style { norm: kind, norm_epsilon, .. } = self.shape.style;
        let x = match kind {
            Norm::Layer => LayerNorm(norm_epsilon).apply(&x, norm("weight"), norm("bias"))?,
            Norm::Rms => RmsNorm(norm_epsilon).apply(&x, norm("weight"))?,
        };
        Ok(States { x, lanes })
    }

    /// The model as it is now, without what training needs; the factors of its blocks' products
    /// are rounded to `precision`, those of scores never are. What adapters add to weights is
    /// merged. Its tokens see what the backbone says.
    pub fn frozen(&self, precision: Precision) -> Result<Frozen> {
        self.frozen_seeing(self.sides, precision)
    }

    /// [`Transformer::frozen`], whose tokens see what `sides` says.
    ///
    /// # Errors
    /// If it is a language model over text, which [`crate::text::CausalModel::of`] reads.
    pub fn frozen_seeing(&self, sides: Sides, precision: Precision) -> Result<Frozen> {
        if self.pretrained.is_some() {
            let expected = "to be read as a causal model";
            return Err(Error::setting("a language model over text", "frozen", expected));
        }
        let encoder = self.encoder.as_ref();
        let encoder = encoder.map(|stack| self.frozen_stack(stack, Sides::Both, precision));
        Ok(Frozen {
            encoder: encoder.transpose()?,
            body: self.frozen_stack(&self.body, sides, precision)?,
            max_length: self.shape.max_length,
            table: self.table_values()?,
            views: self
                .shape
                .views
                .iter()
                .map(|view| self.parameters.values(view.parameter()))
                .collect::<Result<_>>()?,
            inserted: self.inserted.without_changes(),
            parameters: self.parameters.frozen(|name| Group::of(name).is_inserted())?,
            precision,
            int8: None,
        })
    }

    fn frozen_stack(
        &self,
        stack: &Stack,
        sides: Sides,
        precision: Precision,
    ) -> Result<FrozenStack> {
        let shape = stack.block_shape(self.shape, sides);
        let blocks = (0..stack.layers)
            .map(|layer| self.packed_values(stack, layer))
            .map(|weights| Ok(BlockWeights::forward(shape, &weights?, precision)));
        Ok(FrozenStack {
            stack: stack.clone(),
            prompted: stack.is_prompted(self.shape),
            shape,
            positions: match self.shape.style.positions {
                Positions::Learned => self.parameters.values(stack.places())?,
                Positions::Relative | Positions::Rotary => vec![],
            },
            blocks: blocks.collect::<Result<_>>()?,
            norm: (
                self.parameters.values(&stack.norm("weight"))?,
                match self.shape.style.norm {
                    Norm::Layer => self.parameters.values(&stack.norm("bias"))?,
                    Norm::Rms => vec![],
                },
            ),
        })
    }
}

/// These rows of a table [n, width], whose gradient goes to the sink, if there is one.
fn rows(table: &Tensor, tokens: Arc<[u32]>, sink: Option<RowSink>) -> Result<Tensor> {
    let nowhere = Tensor::zeros((1, table.dim(1)?), DType::F32, table.device())?;
    let (places, lanes) = (vec![0; tokens.len()], Lanes::new(vec![tokens.len()]));
    let rows = Embedding::new(tokens, &lanes, Dropout::none()).places(places);
    let rows = match sink {
        Some(sink) => rows.sink(sink),
        None => rows,
    };
    Ok(rows.apply(table, &nowhere)?)
}

/// The time between the tokens of `input`, if blocks of this style look at it; that from and to
/// the vectors before a sequence is unknown.
fn intervals(
    style: Style,
    input: &Input,
    prompted: Option<&Prompted>,
) -> Result<Option<Arc<Intervals>>> {
    if !style.intervals {
        return Ok(None);
    }
    let (times, n) = (input.times.as_deref(), input.lanes.n_tokens());
    if let Some(times) = times.filter(|times| times.len() != n) {
        return Err(Error::setting("tokens' times", times.len(), format!("one a token ({n})")));
    }
    Ok(Some(Arc::new(match (prompted, times) {
        (Some(prompted), Some(times)) => {
            Intervals::new(&prompted.lanes, Some(&prompted.times(times)))
        }
        (Some(prompted), None) => Intervals::new(&prompted.lanes, None),
        (None, times) => Intervals::new(&input.lanes, times),
    })))
}

/// What the `i`-th view says of `n` tokens.
fn viewed(views: &[Arc<[u32]>], i: usize, n: usize) -> Arc<[u32]> {
    views.get(i).cloned().unwrap_or_else(|| vec![0; n].into())
}

/// The names of the parameters of a backbone of this shape.
pub fn names(shape: Shape) -> Vec<String> {
    dimensions(shape, 1).into_iter().map(|(name, _)| name).collect()
}

fn dimensions(shape: Shape, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let width = shape.embedding_size;
    let mut all = vec![(TABLE.to_owned(), vec![vocabulary, width])];
    if shape.style.positions == Positions::Learned {
        let places = stack::all(shape).map(|stack| stack.places().to_owned());
        all.extend(places.map(|places| (places, vec![shape.max_length, width])));
    }
    let views = shape.views.iter();
    all.extend(views.map(|view| (view.parameter().to_owned(), vec![view.n(), width])));
    all.extend(stack::all(shape).flat_map(|stack| stack.dimensions(shape)));
    all
}
