//! JSON values as attributes.

use serde::Deserialize;

use super::lines::quoted;

/// A JSON value of which only texts and numbers are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Json {
    /// `null`.
    Null(()),
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Anything else.
    Other(serde::de::IgnoredAny),
}

impl Json {
    /// All texts and numbers in it, in order, lists in lists included.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        self.collect(&mut texts);
        texts
    }

    fn collect(&self, texts: &mut Vec<String>) {
        match self {
            Self::Text(text) if !text.trim().is_empty() => texts.push(text.clone()),
            Self::Number(number) => texts.push(number.to_string()),
            Self::Bool(truth) => texts.push(truth.to_string()),
            Self::List(all) => all.iter().for_each(|json| json.collect(texts)),
            Self::Null(()) | Self::Text(_) | Self::Other(_) => {}
        }
    }
}

/// A JSON error within one line of JSON lines: the line is the file's, the column the error's.
pub(crate) fn describe(error: &serde_json::Error, line: &str) -> String {
    if line.trim_start().starts_with("{'") {
        return "is a Python literal (single quotes), expected JSON; convert the file first, such \
                as with Python's ast.literal_eval and json.dumps"
            .to_owned();
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!(
        "{message} at column {} of {}, expected one JSON object a line",
        error.column(),
        quoted(line)
    )
}
