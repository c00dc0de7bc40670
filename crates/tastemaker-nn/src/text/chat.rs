//! How a model was taught to hold a conversation.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::gguf::Gguf;
use super::{TextTokenizer, json};
use crate::Result;

/// The chat template of a model, in Jinja's language as `transformers` fills it, and the tokens that
/// it may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFormat {
    /// The template.
    pub template: String,
    /// The token before a text, `bos_token` in templates; empty where there is none.
    pub bos: String,
    /// The token after a text, `eos_token` in templates; empty where there is none.
    pub eos: String,
}

/// `tokenizer_config.json`, as far as it matters.
#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Option<Value>,
    #[serde(default)]
    bos_token: Option<Value>,
    #[serde(default)]
    eos_token: Option<Value>,
}

/// `config.json` and `generation_config.json`, as far as they matter: a number, or several.
#[derive(Default, Deserialize)]
struct Ends {
    #[serde(default)]
    eos_token_id: Option<Value>,
}

/// The tokens with which the model at `path`, a GGUF file or a folder, ends what it writes: first the one
/// after a text, then others that it names, as that after a turn. None where it names none that the tokenizer
/// knows.
pub fn ends_of_model(path: &Path, tokenizer: &TextTokenizer) -> Result<Vec<u32>> {
    let mut ends = Vec::new();
    if path.is_dir() {
        let read = |name: &str| -> Result<Ends> {
            let path = path.join(name);
            if path.exists() { json(&path) } else { Ok(Ends::default()) }
        };
        let config = path.join("tokenizer_config.json");
        if config.exists() {
            let token = json::<TokenizerConfig>(&config)?.eos_token;
            let token = token.as_ref().and_then(content);
            ends.extend(token.and_then(|token| tokenizer.token(&token)));
        }
        for Ends { eos_token_id } in [read("generation_config.json")?, read("config.json")?] {
            ends.extend(eos_token_id.as_ref().map(numbers).unwrap_or_default());
        }
    } else {
        let file = Gguf::open(path)?;
        for name in ["eos", "eot", "eom"] {
            let id = file.count_if_there(&format!("tokenizer.ggml.{name}_token_id"))?;
            ends.extend(id.and_then(|id| u32::try_from(id).ok()));
        }
    }
    let mut met = HashSet::new();
    ends.retain(|end| tokenizer.knows(*end) && met.insert(*end));
    Ok(ends)
}

/// A number, or those of a list.
fn numbers(written: &Value) -> Vec<u32> {
    let all = written.as_array().map_or(std::slice::from_ref(written), Vec::as_slice);
    all.iter().filter_map(|one| u32::try_from(one.as_u64()?).ok()).collect()
}

impl ChatFormat {
    /// The format of the model at `path`, a GGUF file or a folder; `None` where it has none.
    pub fn of_model(path: &Path) -> Result<Option<Self>> {
        if path.is_dir() { Self::of_folder(path) } else { Self::of_gguf(path) }
    }

    fn of_gguf(path: &Path) -> Result<Option<Self>> {
        let file = Gguf::open(path)?;
        let Ok(template) = file.text("tokenizer.chat_template") else { return Ok(None) };
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let named = |key: &str| -> Result<String> {
            let id = file.count_if_there(&format!("tokenizer.ggml.{key}_token_id"))?;
            Ok(id.and_then(|id| tokens.get(id)).map(|&token| token.to_owned()).unwrap_or_default())
        };
        let template = template.to_owned();
        Ok(Some(Self { template, bos: named("bos")?, eos: named("eos")? }))
    }

    fn of_folder(path: &Path) -> Result<Option<Self>> {
        let (own, config) = (path.join("chat_template.jinja"), path.join("tokenizer_config.json"));
        if !config.exists() {
            return Ok(None);
        }
        let config: TokenizerConfig = json(&config)?;
        let written = if own.exists() {
            let text = fs_err::read_to_string(&own);
            Some(text.map_err(|source| tastemaker_core::Error::read(&own, source))?)
        } else {
            config.chat_template.as_ref().and_then(template)
        };
        let token = |token: Option<Value>| token.as_ref().and_then(content).unwrap_or_default();
        let (bos, eos) = (token(config.bos_token), token(config.eos_token));
        Ok(written.map(|template| Self { template, bos, eos }))
    }
}

/// The template, or of several the one called default.
fn template(written: &Value) -> Option<String> {
    match written {
        Value::String(template) => Some(template.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|one| one["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// A token, written as it is or as an object.
fn content(token: &Value) -> Option<String> {
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}
