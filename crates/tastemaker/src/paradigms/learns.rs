//! Which parameters learn.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tastemaker_core::suggest;
use tastemaker_nn::adapters::can_learn;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::parameters::Group;

use super::setting;

/// Some of a model's parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learns {
    /// All that can learn.
    All,
    /// The tables of tokens, of their features and of places.
    Embeddings,
    /// The blocks and the last norm.
    Body,
    /// What was put into the body.
    Adapters,
    /// What stands before or after every sequence, but named tokens, which never learn.
    Prompt,
    /// What stands between the body and the scores.
    Head,
    /// The norms of the backbone.
    Norms,
    /// The biases of the backbone, those of norms among them (`BitFit`, Ben Zaken et al. 2022).
    Biases,
    /// This many of the last blocks, and the last norm; of an encoder–decoder those of the decoder.
    TopLayers(usize),
    /// Parameters by name; `*` stands for anything, as in `block.*.attention.*`. The names of an
    /// encoder's beside a decoder begin with `encoder.`.
    Named(String),
}

impl Learns {
    /// Whether the parameter `name` of a backbone of this shape is one of them.
    pub fn includes(&self, shape: Shape, name: &str) -> bool {
        let group = Group::of(name);
        if !can_learn(name) {
            return false;
        }
        match self {
            Self::All => true,
            Self::Embeddings => group == Group::Embeddings,
            Self::Body => group == Group::Body,
            Self::Adapters => group == Group::Adapter,
            Self::Prompt => group == Group::Prompt,
            Self::Head => group == Group::Head,
            Self::Norms => group == Group::Body && name.contains("norm."),
            Self::Biases => group == Group::Body && name.rsplit('.').next() == Some("bias"),
            Self::TopLayers(n) => match layer(name) {
                Some(layer) => layer + n >= shape.layers,
                None => group == Group::Body && !name.starts_with(ENCODER),
            },
            Self::Named(pattern) => matches(pattern, name),
        }
    }

    /// Why this cannot be asked of a model whose parameters have these names.
    pub(super) fn problem(&self, shape: Shape, names: &[String]) -> Option<crate::Error> {
        if let Self::TopLayers(n) = self
            && !(1..=shape.layers).contains(n)
        {
            let expected = format!("a number from 1 to {}, the backbone's layers", shape.layers);
            return Some(setting("top-layers", n, &expected));
        }
        if names.iter().any(|name| self.includes(shape, name)) {
            return None;
        }
        let found = serde_json::to_string(self).unwrap_or_default();
        let any_block = |name: &String| match layer(name.strip_prefix(ENCODER).unwrap_or(name)) {
            Some(layer) => name.replacen(&format!("block.{layer}."), "block.*.", 1),
            None => name.clone(),
        };
        let known = names.iter().filter(|name| can_learn(name));
        let kinds: BTreeSet<String> = known.map(any_block).collect();
        let kinds: Vec<String> = kinds.into_iter().collect();
        let hint = match self {
            Self::Named(pattern) => hint(pattern, &kinds),
            _ => String::new(),
        };
        let expected = format!("something that the model has, which is {}{hint}", kinds.join(", "));
        Some(setting("learns", found, &expected))
    }
}

/// What may have been meant by `pattern`: a name, or the beginning of some.
fn hint(pattern: &str, names: &[String]) -> String {
    let dots =
        |name: &String| -> Vec<usize> { name.match_indices('.').map(|(at, _)| at).collect() };
    let beginnings = |name: &String| -> Vec<String> {
        dots(name).into_iter().map(|at| format!("{}.*", &name[..at])).collect()
    };
    let all: BTreeSet<String> = names.iter().flat_map(beginnings).chain(names.to_vec()).collect();
    suggest::hint(pattern, all.iter().map(String::as_str))
}

/// What the names of the parameters of an encoder beside a decoder begin with.
const ENCODER: &str = "encoder.";

/// The block of the parameter `name`, if it is the backbone's own and not of an encoder beside it.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("block.")?.split('.').next()?.parse().ok()
}

/// Whether `name` is `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("norm.bias", "norm.bias", true),
            ("norm", "norm.bias", false),
            ("block.*.attention.*", "block.0.attention.qkv.bias", true),
            ("block.*.attention.*", "block.0.feed-forward.in.bias", false),
            ("*.bias", "norm.bias", true),
            ("*.bias", "norm.bias.more", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
