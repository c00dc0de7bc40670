//! Weights of causal language models, by the names that GGUF files have for them.

use std::path::PathBuf;

use super::family::{Config, Family};
use super::folder::WeightFiles;
use super::gguf::Gguf;
use crate::Result;
use crate::checkpoint::Checkpoint;
use crate::fused::{Affine, Matrix, More, Norm, PreNormShape, PreNormWeights, WithBias};

/// Where weights come from.
pub(super) trait Weights {
    fn has(&self, name: &str) -> bool;

    /// The numbers of a weight; rows of queries and keys so that a pair that turns together is half a
    /// head apart.
    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix>;

    /// The numbers of a weight that is a row.
    fn row(&mut self, name: &str, n: usize) -> Result<Vec<f32>> {
        Ok(self.of(name, &[n])?.values)
    }

    /// A row, or zeros where there is none.
    fn row_or_zeros(&mut self, name: &str, n: usize) -> Result<Vec<f32>> {
        if self.has(name) { self.row(name, n) } else { Ok(vec![0.0; n]) }
    }

    /// Scale and shift of the norm `name`.
    fn norm(&mut self, name: &str, shape: PreNormShape) -> Result<Affine> {
        let scale = self.row(&format!("{name}.weight"), shape.width)?;
        let shift = match shape.norm {
            Norm::Layer => self.row(&format!("{name}.bias"), shape.width)?,
            Norm::Rms => vec![0.0; shape.width],
        };
        Ok((scale, shift))
    }

    /// Embeddings of places: [places, width]; none where places turn.
    fn places(&mut self, config: &Config) -> Result<Vec<f32>> {
        match config.family {
            Family::Gpt2 => {
                Ok(self.of("position_embd.weight", &[config.longest, config.shape.width])?.values)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A matrix, and its bias if it has one.
    fn linear(&mut self, name: &str, (outputs, inputs): (usize, usize)) -> Result<WithBias> {
        let weight = self.of(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok((weight, self.row_or_zeros(&format!("{name}.bias"), outputs)?))
    }

    /// Matrices one below the other, with their biases.
    fn below(&mut self, parts: &[(String, usize)], inputs: usize) -> Result<WithBias> {
        let mut all = (Vec::new(), Vec::new());
        for (name, outputs) in parts {
            let (weight, bias) = self.linear(name, (*outputs, inputs))?;
            all.0.push(weight);
            all.1.extend(bias);
        }
        Ok((Matrix::below(all.0), all.1))
    }

    /// The weights of a block.
    fn block(&mut self, config: &Config, layer: usize) -> Result<PreNormWeights> {
        let (shape, name) = (config.shape, |part: &str| format!("blk.{layer}.{part}"));
        let PreNormShape { width, inner, size, .. } = shape;
        let (queries, keys) = (shape.queries(), shape.keys());
        let (qkv, into) = if config.family == Family::Gpt2 {
            (vec![(name("attn_qkv"), queries + 2 * keys)], vec![(name("ffn_up"), inner)])
        } else {
            let qkv = [("attn_q", queries), ("attn_k", keys), ("attn_v", keys)];
            let into = [("ffn_gate", inner), ("ffn_up", inner)];
            let named = |(part, n)| (name(part), n);
            (qkv.map(named).to_vec(), into.map(named).to_vec())
        };
        let mut pair = |parts: [&str; 2], n: usize| -> Result<[Vec<f32>; 2]> {
            let [first, second] = parts.map(|part| self.row(&name(&format!("{part}.weight")), n));
            Ok([first?, second?])
        };
        let heads = config.family.has_head_norms();
        let heads = heads.then(|| pair(["attn_q_norm", "attn_k_norm"], size)).transpose()?;
        let after = config.family.has_after_norms();
        let after = after.then(|| pair(["post_attention_norm", "post_ffw_norm"], width));
        let (rotation, window) = config.of_block(layer);
        Ok(PreNormWeights {
            more: More { head_norms: heads, after_norms: after.transpose()?, rotation, window },
            qkv: self.below(&qkv, width)?,
            out: self.linear(&name("attn_output"), (width, queries))?,
            attention_norm: self.norm(&name("attn_norm"), shape)?,
            into: self.below(&into, width)?,
            out_of: self.linear(&name("ffn_down"), (width, inner))?,
            feed_forward_norm: self.norm(&name("ffn_norm"), shape)?,
        })
    }
}

impl Weights for Gguf {
    fn has(&self, name: &str) -> bool {
        Gguf::has(self, name)
    }

    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix> {
        let matrix = self.tensor(name, dimensions)?;
        let turns = name.contains("attn_q.") || name.contains("attn_k.");
        if !turns || self.text("general.architecture")? != "llama" {
            return Ok(matrix);
        }
        // In files of this architecture the pairs are neighbours.
        let heads = self.count("llama.attention.head_count")?;
        let of_keys = self.count_if_there("llama.attention.head_count_kv")?.unwrap_or(heads);
        let heads = if name.contains("attn_q.") { heads } else { of_keys };
        let size = dimensions[0] / heads.max(1);
        let of_head = |first: usize| (0..2).flat_map(move |i| (first + i..first + size).step_by(2));
        let apart: Vec<usize> = (0..dimensions[0]).step_by(size).flat_map(of_head).collect();
        Ok(matrix.reordered(dimensions[0], &apart))
    }
}

/// The weights of a folder.
pub(super) struct Folder {
    path: PathBuf,
    family: Family,
    file: Checkpoint<()>,
}

/// What a part of a block is called in GGUF files and by `transformers`.
type Parts = [(&'static str, &'static str)];

const PARTS: [(&str, &str); 11] = [
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_norm", "input_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_norm", "post_attention_layernorm"),
];

/// Those that Gemma 3 calls otherwise.
const PARTS_GEMMA: [(&str, &str); 3] = [
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

const PARTS_GPT2: [(&str, &str); 6] = [
    ("attn_qkv", "attn.c_attn"),
    ("attn_output", "attn.c_proj"),
    ("attn_norm", "ln_1"),
    ("ffn_up", "mlp.c_fc"),
    ("ffn_down", "mlp.c_proj"),
    ("ffn_norm", "ln_2"),
];

impl Folder {
    pub(super) fn read(files: &WeightFiles, family: Family) -> Result<Self> {
        Ok(Self { path: files.path.clone(), family, file: files.read()? })
    }

    /// The name that `transformers` has for what GGUF files call `name`.
    fn translated(&self, name: &str) -> String {
        let parts: &[&Parts] = match self.family {
            Family::Gpt2 => &[&PARTS_GPT2],
            Family::Gemma3 => &[&PARTS_GEMMA, &PARTS],
            Family::Llama | Family::Qwen2 | Family::Qwen3 => &[&PARTS],
        };
        let gpt2 = self.family == Family::Gpt2;
        let translated = match name.split('.').collect::<Vec<_>>()[..] {
            ["output", kind] => return format!("lm_head.{kind}"),
            ["position_embd", kind] => format!("wpe.{kind}"),
            ["token_embd", kind] if gpt2 => format!("wte.{kind}"),
            ["output_norm", kind] if gpt2 => format!("ln_f.{kind}"),
            ["token_embd", kind] => format!("embed_tokens.{kind}"),
            ["output_norm", kind] => format!("norm.{kind}"),
            ["blk", layer, part, kind] => {
                let mut known = parts.iter().flat_map(|parts| parts.iter());
                let part = known.find(|(known, _)| *known == part).map_or(part, |(_, own)| own);
                let blocks = if gpt2 { "h" } else { "layers" };
                format!("{blocks}.{layer}.{part}.{kind}")
            }
            _ => return name.to_owned(),
        };
        let within = if gpt2 { "transformer" } else { "model" };
        let whole = format!("{within}.{translated}");
        // Files of GPT-2 leave it out.
        if self.file.tensors.contains_key(&whole) || !gpt2 { whole } else { translated }
    }
}

impl Weights for Folder {
    fn has(&self, name: &str) -> bool {
        self.file.tensors.contains_key(&self.translated(name))
    }

    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix> {
        let own = self.translated(name);
        let values = match *dimensions {
            // GPT-2 keeps the matrices of its blocks by columns.
            [outputs, inputs] if self.family == Family::Gpt2 && name.starts_with("blk.") => {
                let columns = self.file.tensor(&self.path, &own, &[inputs, outputs])?;
                let at = |i: usize| columns[i % inputs * outputs + i / inputs];
                (0..outputs * inputs).map(at).collect()
            }
            _ => self.file.tensor(&self.path, &own, dimensions)?.to_vec(),
        };
        let mut matrix = Matrix { values, quantised: Vec::new() };
        if self.family == Family::Gemma3 && name.contains("norm") {
            // Its scales are kept as what they are above 1.
            matrix.values.iter_mut().for_each(|scale| *scale += 1.0);
        }
        Ok(matrix)
    }
}
