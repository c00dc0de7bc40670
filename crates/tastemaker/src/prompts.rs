//! Prompts: what a language model over text is told of a user.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};
use tastemaker_core::catalog::Catalog;
use tastemaker_core::{ItemId, suggest};

use crate::error::setting;
use crate::{Error, Result};

/// What a template may speak of.
const SLOTS: [&str; 2] = ["history", "candidates"];

/// The name of the template in its environment.
const NAME: &str = "prompt";

/// A template of prompts, in Jinja's language.
///
/// Two lists can be spoken of, `history` and `candidates`, oldest first and in the order in which
/// they are given. An item has its `title` and each of its attributes by name, as a person would
/// write them; one that is not known is empty.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Reads a template; one that is none, or speaks of what there is not, is an error.
    pub fn parse(source: &str) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        // A prompt ends where its template does.
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|error| broken(&error))?);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| broken(&error))?;
        let template = environment.get_template(NAME).map_err(|error| broken(&error))?;
        let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !SLOTS.contains(&name.as_str()));
        unknown.sort_unstable();
        if let Some(name) = unknown.first() {
            let expected = format!("history or candidates{}", suggest::hint(name, SLOTS));
            return Err(setting("what the template speaks of", name, expected));
        }
        Ok(Self { environment })
    }

    /// The prompt of a user with this `history` who is asked about `candidates`.
    pub fn render(
        &self,
        catalog: &Catalog,
        history: &[ItemId],
        candidates: &[ItemId],
    ) -> Result<String> {
        let of = |items: &[ItemId]| -> Vec<Value> {
            items.iter().map(|&item| of_item(catalog, item)).collect()
        };
        let slots = context! { history => of(history), candidates => of(candidates) };
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(slots));
        text.map_err(|error| broken(&error))
    }
}

fn broken(error: &minijinja::Error) -> Error {
    setting("template", error, "one in Jinja's language")
}

/// What is written about an item.
fn of_item(catalog: &Catalog, item: ItemId) -> Value {
    let title = catalog.title(item).unwrap_or_default().to_owned();
    let others = catalog.attributes().iter().filter_map(|attribute| {
        let value = attribute.column.display(item.index())?;
        Some((attribute.name.clone(), value))
    });
    let all: BTreeMap<String, String> = others.chain([("title".to_owned(), title)]).collect();
    Value::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::catalog::{Attribute, Column};

    fn catalog() -> Catalog {
        let text = |values: &[&str]| {
            Column::Text(values.iter().map(|value| Some((*value).to_owned())).collect())
        };
        let attributes = [
            ("name", text(&["Alien", "Heat", "Amélie"])),
            ("genre", text(&["horror", "crime", "romance"])),
        ];
        let attributes =
            attributes.map(|(name, column)| Attribute { name: name.to_owned(), column });
        Catalog::new(attributes.into(), Some("name"))
    }

    #[test]
    fn slots_are_filled() {
        let template = Template::parse(
            "{% for item in history %}{{ item.title }} ({{ item.genre }}); {% endfor %}\
             {{ candidates | map(attribute='title') | join(' or ') }}?\n",
        )
        .unwrap();
        let items = [0, 1, 2].map(ItemId);
        let prompt = template.render(&catalog(), &items[..2], &items[1..]).unwrap();
        assert_eq!(prompt, "Alien (horror); Heat (crime); Heat or Amélie?\n");
        assert_eq!(template.render(&catalog(), &[], &[]).unwrap(), "?\n");
    }

    #[test]
    fn templates_that_cannot_be_filled_are_refused() {
        let of = |source: &str| Template::parse(source).unwrap_err().to_string();
        let problem = of("{{ histroy }}");
        assert!(problem.contains("histroy, expected history or candidates"), "{problem}");
        assert!(problem.ends_with("did you mean \"history\"?"), "{problem}");
        assert!(of("{% for item in history %}").contains("unexpected end"));
    }
}
