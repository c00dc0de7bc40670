//! What is put around a history: one prompt or several.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tastemaker_nn::adapters::{AnyAdapter, SpecialTokens};
use tastemaker_nn::parameters::Group;

use super::setting;

/// One prompt or several, soft and hard, in the order in which they stand in their place. One alone
/// is written as it is, several as a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompts.
    pub pieces: Vec<AnyAdapter>,
}

impl From<AnyAdapter> for Prompt {
    fn from(piece: AnyAdapter) -> Self {
        Self { pieces: vec![piece] }
    }
}

impl Prompt {
    /// Why this cannot be a prompt of which something learns, if `learning`, or nothing does.
    pub(super) fn problem(&self, learning: bool) -> Option<crate::Error> {
        let soft = "soft-prompt, prefix or personal-prompt";
        let prompts = format!("{soft}, which learn, or special-tokens, which do not");
        let pieces = &self.pieces;
        if pieces.is_empty() {
            return Some(setting("prompt", "[]", format!("one or more of {prompts}")));
        }
        let other = |piece: &&AnyAdapter| piece.as_dyn().group() != Group::Prompt;
        if let Some(other) = pieces.iter().find(other) {
            return Some(setting("prompt", other.name(), prompts));
        }
        let learns = pieces.iter().find(|piece| piece.can_learn());
        match (learning, learns) {
            (true, None) => {
                let found = "special-tokens and nothing that learns";
                Some(setting("prompt", found, format!("{soft} beside them")))
            }
            (false, Some(piece)) => {
                let expected =
                    "special-tokens, which do not learn; prompt-tuning has those that do";
                Some(setting("prompt", piece.name(), expected))
            }
            _ => None,
        }
    }
}

impl Serialize for Prompt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.pieces[..] {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Pieces { tokens_alone: false })
    }
}

/// A prompt that is written as its named tokens, `{ tokens = […] }`, where it is them alone.
pub(super) mod named_tokens {
    use super::{AnyAdapter, Deserializer, Pieces, Prompt, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(prompt: &Prompt, to: S) -> Result<S::Ok, S::Error> {
        match &prompt.pieces[..] {
            [AnyAdapter::SpecialTokens(tokens)] => tokens.serialize(to),
            _ => prompt.serialize(to),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Prompt, D::Error> {
        from.deserialize_any(Pieces { tokens_alone: true })
    }
}

/// Reads a prompt.
struct Pieces {
    /// Whether named tokens can stand without their name.
    tokens_alone: bool,
}

impl<'de> Visitor<'de> for Pieces {
    type Value = Prompt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prompt, for example { soft-prompt = { tokens = 8 } }, or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompt, A::Error> {
        let mut pieces = Vec::new();
        while let Some(piece) = list.next_element()? {
            pieces.push(piece);
        }
        Ok(Prompt { pieces })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Prompt, A::Error> {
        if !self.tokens_alone {
            return AnyAdapter::deserialize(MapAccessDeserializer::new(table)).map(Prompt::from);
        }
        let first: Option<String> = table.next_key()?;
        let named = AnyAdapter::ENTRIES.iter().any(|entry| Some(entry.name) == first.as_deref());
        let whole = MapAccessDeserializer::new(Peeked { first, rest: table });
        if named {
            return AnyAdapter::deserialize(whole).map(Prompt::from);
        }
        SpecialTokens::deserialize(whole).map(|tokens| AnyAdapter::SpecialTokens(tokens).into())
    }
}

/// A table whose first key was looked at.
struct Peeked<A> {
    first: Option<String>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Peeked<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use tastemaker_nn::adapters::{Place, SoftPrompt};

    use super::*;
    use crate::paradigms::AnyParadigm;

    fn read(text: &str) -> Result<AnyParadigm, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn one_prompt_is_written_alone_and_several_as_a_list() {
        let soft = "{ soft-prompt = { tokens = 4 } }";
        let tokens = "{ special-tokens = { tokens = [\"next-item\"], place = \"after\" } }";
        for (written, kept) in [
            (format!("prompt-tuning = {{ prompt = {soft} }}"), r#"{"soft-prompt":{"#),
            (format!("prompt-tuning = {{ prompt = [{soft}] }}"), r#"{"soft-prompt":{"#),
            (format!("prompt-tuning = {{ prompt = [{tokens}, {soft}] }}"), r#"[{"special-"#),
            ("fixed-prompt-tuning = {}".to_owned(), r#"{"tokens":["next-item"]}"#),
            ("fixed-prompt-tuning = { prompt = {} }".to_owned(), r#"{"tokens":["next-item"]}"#),
            ("fixed-prompt-tuning = { prompt = { tokens = [\"a\"] } }".to_owned(), r#"{"tok"#),
            (
                format!("fixed-prompt-tuning = {{ prompt = {tokens} }}"),
                r#"{"tokens":["next-item"],"#,
            ),
            (format!("fixed-prompt-tuning = {{ prompt = [{tokens}, {soft}] }}"), r#"[{"special-"#),
        ] {
            let paradigm = read(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
            let json = serde_json::to_string(&paradigm).unwrap();
            assert!(json.contains(&format!(r#"{{"prompt":{kept}"#)), "{written}: {json}");
            assert_eq!(serde_json::from_str::<AnyParadigm>(&json).unwrap(), paradigm);
        }
        let soft = SoftPrompt { tokens: 4, inner_size: 0, place: Place::Before };
        let json = serde_json::to_string(&Prompt::from(AnyAdapter::SoftPrompt(soft))).unwrap();
        assert_eq!(json, r#"{"soft-prompt":{"tokens":4,"inner-size":0}}"#);
    }

    #[test]
    fn what_is_no_prompt_is_refused_by_name() {
        for (prompt, expected) in [
            ("{ soft-promt = {} }", "unknown variant `soft-promt`, expected one of"),
            (
                "[{ soft-prompt = { token = 3 } }]",
                "unknown field `token`, expected one of `tokens`",
            ),
            ("3", "expected a prompt, for example"),
        ] {
            let error = read(&format!("prompt-tuning = {{ prompt = {prompt} }}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = read("fixed-prompt-tuning = { prompt = { token = [] } }").unwrap_err();
        assert!(error.contains("unknown field `token`, expected `tokens` or `place`"), "{error}");
    }
}
