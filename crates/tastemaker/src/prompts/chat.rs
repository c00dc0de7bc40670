//! Conversations, as models were taught to hold them.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use tastemaker_nn::text::ChatFormat;

use crate::error::setting;
use crate::{Error, Result};

/// The name of the template in its environment.
const NAME: &str = "chat";

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
        environment.add_function("raise_exception", |problem: String| {
            Err::<(), _>(minijinja::Error::new(ErrorKind::InvalidOperation, problem))
        });
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
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        let template = self.environment.get_template(NAME);
        template.and_then(|template| template.render(slots)).map_err(|error| broken(&error))
    }
}

fn broken(error: &minijinja::Error) -> Error {
    setting("the model's chat template", error, "one that can be filled")
}
