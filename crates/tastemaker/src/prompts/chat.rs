//! Conversations, as models were taught to hold them.

use std::io::Write;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use tastemaker_nn::text::ChatFormat;

use crate::error::setting;
use crate::{Error, Result};

/// The name of the template in its environment.
const NAME: &str = "chat";

/// The date that templates which ask for today's are told, whatever the day is, so that runs can be repeated:
/// the one that Llama 3's takes where nobody tells it. Each is what `strftime` puts for a letter.
const DATE: [(char, &str); 9] = [
    ('d', "26"),
    ('m', "07"),
    ('Y', "2024"),
    ('y', "24"),
    ('b', "Jul"),
    ('B', "July"),
    ('a', "Fri"),
    ('A', "Friday"),
    ('%', "%"),
];

/// The chat template of a model.
#[derive(Clone, Debug)]
pub struct Chat {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Chat {
    /// That of the model at `path`.
    ///
    /// # Errors
    /// If it has none, or one that cannot be read.
    pub fn of_model(path: &Path) -> Result<Self> {
        Self::new(ChatFormat::of_model(path)?)
    }

    /// In this format, if the model has one.
    ///
    /// # Errors
    /// As [`Chat::of_model`].
    pub fn new(format: Option<ChatFormat>) -> Result<Self> {
        let Some(ChatFormat { template, bos, eos }) = format else {
            let expected = "false, since the model has no chat template";
            return Err(setting("chat", true, expected));
        };
        let mut environment = Environment::new();
        // As `transformers` fills them: Python's methods, blocks that leave no lines behind.
        environment.set_unknown_method_callback(unknown_method_callback);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| broken(&error))?);
        environment
            .add_function("raise_exception", |problem: String| Err::<(), _>(refused(problem)));
        environment.add_function("strftime_now", date);
        environment.add_filter("tojson", to_json);
        // Nothing is not iterable in Python.
        environment
            .add_test("iterable", |value: Value| !value.is_none() && value.try_iter().is_ok());
        let template = without_generation(&template);
        environment.add_template_owned(NAME, template).map_err(|error| broken(&error))?;
        Ok(Self { environment, bos, eos })
    }

    /// The text that a model is given when the user says `message` after what `system` says, if it
    /// says anything; the model is to answer.
    pub fn render(&self, system: &str, message: &str) -> Result<String> {
        let said = |role: &str, content: &str| context! { role => role, content => content };
        let mut messages = vec![said("user", message)];
        if !system.is_empty() {
            messages.insert(0, said("system", system));
        }
        let slots = context! {
            messages => messages,
            // Templates ask whether there are any.
            tools => (),
            documents => (),
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        let template = self.environment.get_template(NAME);
        template.and_then(|template| template.render(slots)).map_err(|error| broken(&error))
    }
}

/// Marks of what a model is to write, which matter in training on conversations, taken for blocks that do
/// nothing.
fn without_generation(template: &str) -> String {
    let mut plain = String::with_capacity(template.len());
    for part in template.split_inclusive("%}") {
        let at = part.rfind("{%").unwrap_or(part.len());
        let (before, tag) = part.split_at(at);
        let name = tag.trim_matches(|c: char| "{%-+}".contains(c) || c.is_whitespace());
        plain.push_str(before);
        match name {
            "generation" => plain.push_str(&tag.replace(name, "if true")),
            "endgeneration" => plain.push_str(&tag.replace(name, "endif")),
            _ => plain.push_str(tag),
        }
    }
    plain
}

/// [`DATE`] in the format of `strftime`.
#[expect(clippy::needless_pass_by_value, reason = "as templates call functions")]
fn date(format: String) -> std::result::Result<String, minijinja::Error> {
    let mut written = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            written.push(letter);
            continue;
        }
        let letter = letters.next().unwrap_or_default();
        let known = DATE.iter().find(|(known, _)| *known == letter);
        let Some((_, text)) = known else {
            return Err(refused(format!("strftime_now does not know %{letter}")));
        };
        written.push_str(text);
    }
    Ok(written)
}

/// As Python's `json.dumps` writes it, with letters of all alphabets as they are.
#[expect(clippy::needless_pass_by_value, reason = "as templates call functions")]
fn to_json(value: Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    for option in ["ensure_ascii", "separators", "sort_keys"] {
        if options.get::<Option<Value>>(option)?.is_some_and(|value| value.is_true()) {
            return Err(refused(format!("tojson does not know {option}")));
        }
    }
    options.assert_all_used()?;
    let failed =
        |error| minijinja::Error::new(ErrorKind::BadSerialization, "tojson").with_source(error);
    let mut written = Vec::new();
    let spaces = vec![b' '; indent.unwrap_or_default()];
    if indent.is_some() {
        let pretty = serde_json::ser::PrettyFormatter::with_indent(&spaces);
        let mut out = serde_json::Serializer::with_formatter(&mut written, pretty);
        value.serialize(&mut out).map_err(failed)?;
    } else {
        let mut out = serde_json::Serializer::with_formatter(&mut written, Spaced);
        value.serialize(&mut out).map_err(failed)?;
    }
    Ok(String::from_utf8_lossy(&written).into_owned())
}

/// A space after commas and colons.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Written {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Written {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> Written {
        out.write_all(b": ")
    }
}

/// Whether something was written.
type Written = std::io::Result<()>;

/// What a template cannot be told.
fn refused(problem: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, problem)
}

fn broken(error: &minijinja::Error) -> Error {
    setting("the model's chat template", error, "one that can be filled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        template: String,
        system: String,
        message: String,
        /// `None` where it raises an exception.
        expected: Option<String>,
    }

    #[test]
    fn templates_are_filled_as_jinja2_does() {
        let golden = include_str!("../../tests/golden/chat.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(cases.len() > 20 && cases.iter().any(|case| case.expected.is_none()));
        for Case { name, template, system, message, expected } in cases {
            let format = ChatFormat { template, bos: "<s>".to_owned(), eos: "</s>".to_owned() };
            let found = Chat::new(Some(format)).unwrap().render(&system, &message);
            assert_eq!(found.ok(), expected, "{name}");
        }
    }

    #[test]
    fn what_a_template_refuses_is_said() {
        let template = "{{ raise_exception('System role not supported') }}".to_owned();
        let chat = Chat::new(Some(ChatFormat { template, ..ChatFormat::default() })).unwrap();
        let error = chat.render("a", "b").unwrap_err().to_string();
        assert!(error.contains("System role not supported"), "{error}");
        let template = "{{ messages | tojson(sort_keys=true) }}".to_owned();
        let chat = Chat::new(Some(ChatFormat { template, ..ChatFormat::default() })).unwrap();
        assert!(chat.render("", "b").unwrap_err().to_string().contains("sort_keys"));
        assert!(date("%Q".to_owned()).unwrap_err().to_string().contains("%Q"));
    }
}
