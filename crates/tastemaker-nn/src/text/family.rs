//! What a causal language model is, by what its file or folder says of it.

use std::f64::consts::TAU;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::gguf::Gguf;
use super::json;
use crate::fused::{Active, Norm, PreNormShape, Rotation};
use crate::transformer::Pretrained;
use crate::{Error, Result};

/// The most tokens that a model is made ready for; what it could read more would cost memory.
const MOST: usize = 8192;

/// Of so many blocks of Gemma 3 the last one sees everything, where nothing else is said.
const GEMMA_EVERY: usize = 6;

/// The base of the turns of those of Gemma 3 that see the end, where nothing else is said.
const GEMMA_LOCAL_BASE: f64 = 10_000.0;

/// A kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Gpt2,
}

/// What files and folders call the families.
const FAMILIES: [(&str, Family); 7] = [
    ("gemma3", Family::Gemma3),
    ("gemma3_text", Family::Gemma3),
    ("gpt2", Family::Gpt2),
    ("llama", Family::Llama),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    // What llama.cpp calls files of Mistral's models, too.
    ("mistral", Family::Llama),
];

impl Family {
    /// Whether heads of queries and keys are normalised.
    pub(super) fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Whether what attention and the feed-forward layer add is.
    pub(super) fn has_after_norms(self) -> bool {
        self == Self::Gemma3
    }

    pub(super) fn of(name: &str) -> std::result::Result<Self, String> {
        let found = FAMILIES.iter().find(|(known, _)| *known == name).map(|(_, family)| *family);
        found.ok_or_else(|| {
            let known: Vec<&str> = FAMILIES.iter().map(|(known, _)| *known).collect();
            format!("{name:?}, expected one of {}", known.join(", "))
        })
    }

    fn active(self) -> Active {
        match self {
            Self::Gpt2 => Active::Gelu,
            Self::Gemma3 => Active::GeluGated,
            Self::Llama | Self::Qwen2 | Self::Qwen3 => Active::SiluGated,
        }
    }

    fn norm(self) -> Norm {
        if self == Self::Gpt2 { Norm::Layer } else { Norm::Rms }
    }
}

/// What fixes the shape of a model.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) shape: PreNormShape,
    pub(super) layers: usize,
    pub(super) n_tokens: usize,
    pub(super) longest: usize,
    turns: Vec<Turns>,
    /// For each block which of the turns is its, and how far back it sees.
    blocks: Vec<(Option<usize>, Option<usize>)>,
}

/// How places turn queries and keys.
#[derive(Clone, Debug)]
struct Turns {
    base: f64,
    slower: Slower,
}

/// How many times as slowly a pair of numbers turns as it would.
#[derive(Clone, Debug)]
enum Slower {
    /// All pairs alike.
    By(f64),
    /// Pairs that turn slowly, for longer texts than were read first (Grattafiori et al. 2024, *`LLaMA`
    /// 3*, from 3.1 on).
    Llama3 { factor: f64, low: f64, high: f64, first: f64 },
    /// What the file says of each pair.
    Pairs(Vec<f32>),
}

impl Slower {
    fn of(&self, pair: usize, angle: f64) -> f64 {
        match *self {
            Self::By(factor) => factor,
            Self::Llama3 { factor, low, high, first } => {
                // Whole turns in a text of the length that was read first.
                let turns = first * angle / TAU;
                let as_it_is = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                1.0 / ((1.0 - as_it_is) / factor + as_it_is)
            }
            Self::Pairs(ref pairs) => f64::from(pairs[pair]),
        }
    }
}

impl Config {
    /// What the file or folder at `path` says.
    pub(super) fn at(path: &Path) -> Result<Self> {
        if path.is_dir() { Self::of_folder(path) } else { Self::of_gguf(&mut Gguf::open(path)?) }
    }

    /// What turns queries and keys, by the numbers that the blocks have for it.
    pub(super) fn rotations(&self) -> Vec<Rotation> {
        let rotation = |Turns { base, slower }: &Turns| {
            let slower = |pair, angle| slower.of(pair, angle);
            Rotation::slower(self.shape.size, self.longest, *base, slower)
        };
        self.turns.iter().map(rotation).collect()
    }

    /// Which of the rotations is a block's, and how far back it sees.
    pub(super) fn of_block(&self, layer: usize) -> (Option<usize>, Option<usize>) {
        self.blocks[layer]
    }

    /// What embeddings of tokens are multiplied with.
    pub(super) fn scale(&self) -> f32 {
        match self.family {
            Family::Gemma3 => (self.shape.width as f32).sqrt(),
            _ => 1.0,
        }
    }

    /// What the model has beside what a transformer's shape says.
    pub(super) fn pretrained(&self, own_head: bool) -> Pretrained {
        let (rotations, scale) = (self.rotations(), self.scale());
        Pretrained { rotations, blocks: self.blocks.clone(), scale, own_head }
    }

    /// Of a model whose blocks are alike but that, of `every` so many, all but the last see no more
    /// than a window and turn by a base of their own.
    fn new(
        (family, shape): (Family, PreNormShape),
        (layers, n_tokens, longest): (usize, usize, usize),
        turns: Turns,
        window: Option<(usize, usize, f64)>,
    ) -> std::result::Result<Self, String> {
        let PreNormShape { heads, key_heads, size, .. } = shape;
        if key_heads == 0 || heads % key_heads != 0 || size == 0 || size % 2 != 0 {
            return Err(format!(
                "{heads} heads of {size} numbers cannot share {key_heads} heads of keys"
            ));
        }
        if let Slower::Pairs(pairs) = &turns.slower
            && pairs.len() != size / 2
        {
            return Err(format!("{} numbers slow down {} pairs", pairs.len(), size / 2));
        }
        let (turns, blocks) = match (family, window) {
            // Its places have embeddings.
            (Family::Gpt2, _) => (vec![], vec![(None, None); layers]),
            (_, None) => (vec![turns], vec![(Some(0), None); layers]),
            (_, Some((window, every, base))) => {
                let local = Turns { base, slower: Slower::By(1.0) };
                let block = |layer: usize| match (layer + 1) % every {
                    0 => (Some(0), None),
                    _ => (Some(1), Some(window)),
                };
                (vec![turns, local], (0..layers).map(block).collect())
            }
        };
        let longest = longest.min(MOST);
        Ok(Self { family, shape, layers, n_tokens, longest, turns, blocks })
    }

    pub(super) fn of_gguf(file: &mut Gguf) -> Result<Self> {
        let architecture = file.text("general.architecture")?.to_owned();
        let family = Family::of(&architecture)
            .map_err(|problem| file.failed(format!("general.architecture is {problem}")))?;
        let key = |what: &str| format!("{architecture}.{what}");
        let (width, heads) =
            (file.count(&key("embedding_length"))?, file.count(&key("attention.head_count"))?);
        let optional = |what: &str| file.count_if_there(&key(what));
        let key_heads = optional("attention.head_count_kv")?.unwrap_or(heads);
        let size = optional("attention.key_length")?.unwrap_or(width / heads.max(1));
        let epsilon = match family {
            Family::Gpt2 => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        };
        let shape = PreNormShape {
            width,
            heads,
            key_heads,
            size,
            inner: file.count(&key("feed_forward_length"))?,
            epsilon: file.number(&key(epsilon))?,
            norm: family.norm(),
            active: family.active(),
        };
        let window = match family {
            Family::Gemma3 => {
                let every = optional("attention.sliding_window_pattern")?.unwrap_or(GEMMA_EVERY);
                let base =
                    file.number(&key("rope.local.freq_base")).map_or(GEMMA_LOCAL_BASE, f64::from);
                Some((file.count(&key("attention.sliding_window"))?, every.max(1), base))
            }
            _ => None,
        };
        let scaling = file.text(&key("rope.scaling.type")).unwrap_or("none");
        let slower = match scaling {
            "none" if file.has("rope_freqs.weight") => {
                Slower::Pairs(file.tensor("rope_freqs.weight", &[size / 2])?.values)
            }
            "none" => Slower::By(1.0),
            "linear" => Slower::By(f64::from(file.number(&key("rope.scaling.factor"))?)),
            other => {
                let problem = format!("{} is {other:?}", key("rope.scaling.type"));
                return Err(file.failed(format!("{problem}, expected none or linear")));
            }
        };
        let base = file.number(&key("rope.freq_base")).map_or(10_000.0, f64::from);
        let numbers = (
            file.count(&key("block_count"))?,
            file.texts("tokenizer.ggml.tokens")?.len(),
            file.count(&key("context_length"))?,
        );
        Self::new((family, shape), numbers, Turns { base, slower }, window)
            .map_err(|problem| file.failed(problem))
    }

    pub(super) fn of_folder(path: &Path) -> Result<Self> {
        let path = path.join("config.json");
        let config: FolderConfig = json(&path)?;
        config.resolve().map_err(|problem| Error::Checkpoint { path, problem })
    }
}

/// `config.json`, as far as it matters.
#[derive(Debug, Deserialize)]
struct FolderConfig {
    model_type: String,
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    #[serde(default)]
    num_key_value_heads: Option<usize>,
    #[serde(default)]
    head_dim: Option<usize>,
    #[serde(default, alias = "n_inner")]
    intermediate_size: Option<usize>,
    #[serde(alias = "hidden_activation", alias = "activation_function")]
    hidden_act: String,
    #[serde(alias = "layer_norm_epsilon")]
    rms_norm_eps: f32,
    vocab_size: usize,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<Rope>,
    /// Where newer files say how places turn, at once or for each kind of block.
    #[serde(default)]
    rope_parameters: Option<Value>,
    #[serde(default)]
    rope_local_base_freq: Option<f64>,
    #[serde(default)]
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: Option<bool>,
    #[serde(default)]
    sliding_window_pattern: Option<usize>,
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    query_pre_attn_scalar: Option<f64>,
    #[serde(default)]
    attn_logit_softcapping: Option<f64>,
    #[serde(default)]
    final_logit_softcapping: Option<f64>,
}

/// How places turn.
#[derive(Clone, Debug, Default, Deserialize)]
struct Rope {
    #[serde(default, rename = "rope_theta")]
    base: Option<f64>,
    #[serde(default, rename = "rope_type")]
    kind: Option<String>,
    /// What older files call it; some say both.
    #[serde(default, rename = "type")]
    old_kind: Option<String>,
    #[serde(default)]
    factor: Option<f64>,
    #[serde(default)]
    low_freq_factor: Option<f64>,
    #[serde(default)]
    high_freq_factor: Option<f64>,
    #[serde(default)]
    original_max_position_embeddings: Option<f64>,
}

impl Rope {
    fn slower(&self) -> std::result::Result<Slower, String> {
        let missing = || "rope_scaling lacks a number that its kind has".to_owned();
        match self.kind.as_deref().or(self.old_kind.as_deref()).unwrap_or("default") {
            "default" => Ok(Slower::By(1.0)),
            "linear" => Ok(Slower::By(self.factor.ok_or_else(missing)?)),
            "llama3" => Ok(Slower::Llama3 {
                factor: self.factor.ok_or_else(missing)?,
                low: self.low_freq_factor.ok_or_else(missing)?,
                high: self.high_freq_factor.ok_or_else(missing)?,
                first: self.original_max_position_embeddings.ok_or_else(missing)?,
            }),
            other => Err(format!("rope_type is {other:?}, expected default, linear or llama3")),
        }
    }
}

impl FolderConfig {
    /// How places turn in blocks of this kind.
    fn rope(&self, kind: &str) -> std::result::Result<Rope, String> {
        let read = |value: &Value| {
            serde_json::from_value::<Rope>(value.clone()).map_err(|error| error.to_string())
        };
        let mut rope = match &self.rope_parameters {
            Some(all) => read(all.get(kind).unwrap_or(all))?,
            None => self.rope_scaling.clone().unwrap_or_default(),
        };
        rope.base = rope.base.or(self.rope_theta);
        Ok(rope)
    }

    /// How far the blocks of Gemma 3 see back, of how many the last one sees all, and the base of the
    /// others' turns.
    fn window(&self) -> std::result::Result<(usize, usize, f64), String> {
        let window = self.sliding_window.ok_or("sliding_window is missing")?;
        let every = match (&self.layer_types, self.sliding_window_pattern) {
            (Some(kinds), _) => {
                let all = kinds.iter().position(|kind| kind == "full_attention");
                let every = all.map_or(kinds.len(), |first| first) + 1;
                let as_said = |(layer, kind): (usize, &String)| {
                    ((layer + 1) % every == 0) == (kind == "full_attention")
                };
                if !kinds.iter().enumerate().all(as_said) {
                    return Err("layer_types do not repeat".to_owned());
                }
                every
            }
            (None, every) => every.unwrap_or(GEMMA_EVERY).max(1),
        };
        let own = self.rope("sliding_attention")?;
        let base = match self.rope_parameters {
            Some(_) => own.base,
            None => self.rope_local_base_freq,
        };
        Ok((window, every, base.unwrap_or(GEMMA_LOCAL_BASE)))
    }

    fn resolve(&self) -> std::result::Result<Config, String> {
        let family = Family::of(&self.model_type)
            .map_err(|problem| format!("model_type is {problem}, t5"))?;
        let expected = match family.active() {
            Active::SiluGated => "silu",
            Active::GeluGated => "gelu_pytorch_tanh",
            Active::Gelu => "gelu_new",
        };
        if self.hidden_act != expected {
            let found = &self.hidden_act;
            return Err(format!("hidden_act is {found:?}, expected {expected:?}"));
        }
        let (heads, width) = (self.num_attention_heads, self.hidden_size);
        let size = self.head_dim.unwrap_or(width / heads.max(1));
        let scaled = self.query_pre_attn_scalar.is_some_and(|by| (by - size as f64).abs() > 1e-9);
        let capped = self.attn_logit_softcapping.or(self.final_logit_softcapping).is_some();
        let own_window = family != Family::Gemma3
            && self.use_sliding_window.unwrap_or(family == Family::Llama)
            && self
                .sliding_window
                .is_some_and(|window| window < self.max_position_embeddings.min(MOST));
        if scaled || capped || own_window {
            let what = if scaled {
                "attention is scaled by another number than the size of a head"
            } else if capped {
                "logits are capped"
            } else {
                "every block sees no more than a window"
            };
            return Err(format!("{what}, which is not known here"));
        }
        let inner = match (self.intermediate_size, family) {
            (Some(inner), _) => inner,
            (None, Family::Gpt2) => 4 * width,
            (None, _) => return Err("intermediate_size is missing".to_owned()),
        };
        let shape = PreNormShape {
            width,
            heads,
            key_heads: self.num_key_value_heads.unwrap_or(heads),
            size,
            inner,
            epsilon: self.rms_norm_eps,
            norm: family.norm(),
            active: family.active(),
        };
        let rope = self.rope("full_attention")?;
        let turns = Turns { base: rope.base.unwrap_or(10_000.0), slower: rope.slower()? };
        let window = (family == Family::Gemma3).then(|| self.window()).transpose()?;
        let numbers = (self.num_hidden_layers, self.vocab_size, self.max_position_embeddings);
        Config::new((family, shape), numbers, turns, window)
    }
}
