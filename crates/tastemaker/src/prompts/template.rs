//! Templates of prompts.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};
use tastemaker_core::catalog::Catalog;
use tastemaker_core::{Dataset, Interactions, ItemId, RecQuery, UserId, suggest};

use super::SHIPPED;
use super::soft::Soft;
use crate::error::setting;
use crate::{Error, Result};

/// What a template may speak of.
const SLOTS: [&str; 5] = ["candidates", "examples", "history", "item", "user"];

/// The name of the template in its environment.
const NAME: &str = "prompt";

/// A template of prompts, in Jinja's language.
///
/// | slot | is |
/// |---|---|
/// | `history` | the items that the user has met, oldest first |
/// | `candidates` | the items that are ranked, in the order in which they are given |
/// | `item` | the one item that is asked about, where each candidate has a prompt of its own |
/// | `user` | what is known of the user, by the names of attributes; empty where nothing is |
/// | `examples` | other users, each with `history` and the `next` item |
///
/// An item has its `title` and each of its attributes by name, as a person would write them; one
/// that is not known is empty. Where the data has ratings, an item of the history has the `rating` that the
/// user gave it, the first if there are several, as a number.
///
/// `soft('P', 4)` stands for four vectors that learn ([`tastemaker_nn::adapters::SoftPrompt`] within), where
/// it is said; the same ones wherever the same name is said.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
    slots: Vec<String>,
    tells_ratings: bool,
    soft: Soft,
}

/// What a prompt tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Whose it is, if it is a user of the data.
    pub user: Option<UserId>,
    /// What the user has met, oldest first.
    pub history: &'a [ItemId],
    /// What is ranked.
    pub candidates: &'a [ItemId],
    /// What is asked about.
    pub item: Option<ItemId>,
    /// Other users: what they have met, and what came next.
    pub examples: &'a [(Vec<ItemId>, ItemId)],
}

impl<'a> Told<'a> {
    /// What a query says.
    pub fn of(query: &RecQuery<'a>) -> Self {
        let candidates = query.candidates.unwrap_or_default();
        Self { user: query.user, history: query.history, candidates, item: None, examples: &[] }
    }
}

impl Template {
    /// Reads a template, or one that is shipped by its name; one that is none, or speaks of what
    /// there is not, is an error.
    pub fn parse(source: &str) -> Result<Self> {
        let source = if source.contains('{') { source } else { shipped(source)? };
        Self::new(source, &SLOTS, Soft::of(source)?)
    }

    /// Reads a template that may speak of these slots.
    pub(crate) fn speaking_of(source: &str, known: &[&str]) -> Result<Self> {
        Self::new(source, known, Soft::default())
    }

    fn new(source: &str, known: &[&str], soft: Soft) -> Result<Self> {
        let mut environment = Environment::new();
        if soft.n() > 0 {
            soft.add_to(&mut environment);
        }
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        // A prompt ends where its template does.
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|error| broken(&error))?);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| broken(&error))?;
        let template = environment.get_template(NAME).map_err(|error| broken(&error))?;
        let mut slots: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        slots.sort_unstable();
        // Functions of the language are no slots.
        slots.retain(|name| environment.globals().all(|(known, _)| known != name));
        if let Some(name) = slots.iter().find(|name| !known.contains(&name.as_str())) {
            let hint = suggest::hint(name, known.iter().copied());
            let expected = format!("one of {}{hint}", known.join(", "));
            return Err(setting("what the template speaks of", name, expected));
        }
        Ok(Self { environment, slots, tells_ratings: source.contains("rating"), soft })
    }

    /// Whether it speaks of this slot.
    pub fn speaks_of(&self, slot: &str) -> bool {
        self.slots.iter().any(|known| known == slot)
    }

    /// The soft tokens that it speaks of.
    pub(super) fn soft(&self) -> &Soft {
        &self.soft
    }

    /// Whether it may speak of ratings.
    pub(super) fn tells_ratings(&self) -> bool {
        self.tells_ratings
    }

    /// The prompt that tells this about `data`.
    pub fn render(&self, data: &Dataset, told: &Told<'_>) -> Result<String> {
        let item = |item: ItemId| of_item(&data.catalog, item, (None, None));
        let rated = |item: &ItemId| {
            let rating = told.user.filter(|_| self.tells_ratings);
            let rating = rating.and_then(|user| rating_of(&data.interactions, user, *item));
            of_item(&data.catalog, *item, (None, rating))
        };
        let items = |items: &[ItemId]| -> Vec<Value> { items.iter().map(|&i| item(i)).collect() };
        let example = |(history, next): &(Vec<ItemId>, ItemId)| {
            context! { history => items(history), next => item(*next) }
        };
        let slots = context! {
            history => told.history.iter().map(rated).collect::<Vec<_>>(),
            candidates => items(told.candidates),
            item => told.item.map(item),
            user => told.user.map(|user| of_user(data, user, None)),
            examples => told.examples.iter().map(example).collect::<Vec<_>>(),
        };
        self.fill(slots)
    }

    /// The text with these `slots`.
    pub(crate) fn fill(&self, slots: Value) -> Result<String> {
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(slots));
        text.map_err(|error| broken(&error))
    }
}

/// The template that is shipped under this name.
fn shipped(name: &str) -> Result<&'static str> {
    let named = SHIPPED.iter().find(|(known, _)| *known == name);
    named.map(|(_, source)| *source).ok_or_else(|| {
        let names = || SHIPPED.iter().map(|(name, _)| *name);
        let all = names().collect::<Vec<_>>().join(", ");
        let hint = suggest::hint(name, names());
        let expected = format!("a template that tells something, or the name of one: {all}{hint}");
        setting("template", format!("{name:?}"), expected)
    })
}

fn broken(error: &minijinja::Error) -> Error {
    setting("template", error, "one in Jinja's language")
}

/// The rating that a user gave an item first.
fn rating_of(interactions: &Interactions, user: UserId, item: ItemId) -> Option<f32> {
    if user.index() >= interactions.n_users() {
        return None;
    }
    let place = interactions.sequence(user).iter().position(|met| *met == item)?;
    interactions.values(user).map(|values| values[place])
}

/// What is written about an item, the `id` by which it is spoken of and the `rating` that it was given, where
/// there is one.
pub(crate) fn of_item(
    catalog: &Catalog,
    item: ItemId,
    (id, rating): (Option<&str>, Option<f32>),
) -> Value {
    let title = catalog.title(item).unwrap_or_default().to_owned();
    let others = catalog.attributes().iter().filter_map(|attribute| {
        let value = attribute.column.display(item.index())?;
        Some((attribute.name.clone(), Value::from(value)))
    });
    let id = id.map(|id| ("id".to_owned(), Value::from(id)));
    // Five stars are 5 and not 5.0.
    let number = |rating: f32| {
        let whole = rating.to_string().parse::<i64>();
        whole.map_or_else(|_| Value::from(rating), Value::from)
    };
    let rating = rating.map(|rating| ("rating".to_owned(), number(rating)));
    let all = others.chain([("title".to_owned(), Value::from(title))]).chain(id).chain(rating);
    Value::from(all.collect::<BTreeMap<String, Value>>())
}

/// What is known about a user, and the `id` by which one is spoken of, if there is one.
pub(crate) fn of_user(data: &Dataset, user: UserId, id: Option<&str>) -> Value {
    let attributes = data.people.attributes().iter().map(|known| &known.attribute);
    let known = attributes.filter_map(|attribute| {
        Some((attribute.name.clone(), attribute.column.display(user.index())?))
    });
    let id = id.map(|id| ("id".to_owned(), id.to_owned()));
    Value::from(known.chain(id).collect::<BTreeMap<String, String>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::catalog::{Attribute, Column};
    use tastemaker_core::people::{UserAttribute, UserAttributes};

    fn data() -> Dataset {
        let text = |name: &str, values: &[&str]| Attribute {
            name: name.to_owned(),
            column: Column::Text(values.iter().map(|value| Some((*value).to_owned())).collect()),
        };
        let catalog = vec![
            text("name", &["Alien", "Heat", "Amélie"]),
            text("genre", &["horror", "crime", "romance"]),
        ];
        let age = Column::Number(vec![Some(40.0), None]);
        let age = Attribute { name: "age".to_owned(), column: age };
        Dataset {
            catalog: Catalog::new(catalog, Some("name")),
            people: UserAttributes::new(vec![UserAttribute { attribute: age, sensitive: true }]),
            ..Dataset::default()
        }
    }

    #[test]
    fn slots_are_filled() {
        let template = Template::parse(
            "{% for item in history %}{{ item.title }} ({{ item.genre }}); {% endfor %}\
             {{ candidates | map(attribute='title') | join(' or ') }}?\n",
        )
        .unwrap();
        let items = [0, 1, 2].map(ItemId);
        let told = Told { history: &items[..2], candidates: &items[1..], ..Told::default() };
        let prompt = template.render(&data(), &told).unwrap();
        assert_eq!(prompt, "Alien (horror); Heat (crime); Heat or Amélie?\n");
        assert_eq!(template.render(&data(), &Told::default()).unwrap(), "?\n");
        let template = Template::parse(
            "{% for e in examples %}{{ e.history[0].title }} > {{ e.next.title }}. {% endfor %}\
             {{ user.age }}: {{ item.title }}",
        )
        .unwrap();
        let examples = [(vec![ItemId(2)], ItemId(1))];
        let of = |user: u32| {
            let (user, item) = (Some(UserId(user)), Some(ItemId(0)));
            template.render(&data(), &Told { user, item, examples: &examples, ..Told::default() })
        };
        assert_eq!(of(0).unwrap(), "Amélie > Heat. 40: Alien");
        assert_eq!(of(1).unwrap(), "Amélie > Heat. : Alien");
        assert!(template.speaks_of("item") && !template.speaks_of("history"));
    }

    #[test]
    fn what_users_gave_the_items_of_their_histories_is_told() {
        let items = [0, 1, 0].map(ItemId);
        let values = Some(vec![5.0, 2.5, 1.0, 3.0]);
        let all = vec![ItemId(0), ItemId(1), ItemId(0), ItemId(1)];
        let interactions = Interactions::from_columns(vec![0, 3, 4], all, None, values);
        let data = Dataset { interactions, ..data() };
        let of = |user: Option<UserId>, template: &str| {
            let told = Told { user, history: &items, item: Some(ItemId(2)), ..Told::default() };
            Template::parse(template).unwrap().render(&data, &told).unwrap()
        };
        let ratings = "{% for item in history %}{{ item.rating }};{% endfor %}{{ item.rating }}";
        // Of an item that was met again the rating of before, which is no target's.
        assert_eq!(of(Some(UserId(0)), ratings), "5;2.5;5;");
        assert_eq!(of(None, ratings), ";;;");
        let tallrec = of(Some(UserId(0)), "tallrec-rated");
        assert!(tallrec.contains("liked: \"Alien\", \"Alien\"\nThe user disliked: \"Heat\"\n"));
        let tallrec = of(None, "tallrec-rated");
        assert!(tallrec.contains("liked: \"Alien\", \"Heat\", \"Alien\"\n"), "{tallrec}");
        assert!(!tallrec.contains("disliked:"), "{tallrec}");
        // Nothing is liked, and nothing said of it.
        let told = Told { user: Some(UserId(1)), history: &items[1..2], ..Told::default() };
        let tallrec = Template::parse("tallrec-rated").unwrap().render(&data, &told).unwrap();
        assert!(tallrec.contains(".\nThe user disliked: \"Heat\"\n"), "{tallrec}");
    }

    #[test]
    fn every_shipped_template_tells_the_history() {
        let items = [0, 1, 2].map(ItemId);
        let examples = [(vec![ItemId(2)], ItemId(1))];
        let told = Told {
            user: Some(UserId(0)),
            history: &items[..2],
            candidates: &items[2..],
            item: Some(ItemId(2)),
            examples: &examples,
        };
        for (name, _) in SHIPPED {
            let template = Template::parse(name).unwrap();
            let text = template.render(&data(), &told).unwrap();
            assert!(text.contains("Alien") && text.contains("Heat"), "{name}: {text}");
            let asks = ["item", "candidates"].iter().any(|slot| template.speaks_of(slot));
            assert_eq!(text.contains("Amélie"), asks || template.speaks_of("examples"), "{name}");
            assert!(!text.contains("{{") && !text.contains("{%") && !text.contains("{#"), "{text}");
            let alone = template.render(&data(), &Told::default()).unwrap();
            assert!(!alone.contains("Alien"), "{name}: {alone}");
        }
    }

    #[test]
    fn templates_that_cannot_be_filled_are_refused() {
        let of = |source: &str| Template::parse(source).unwrap_err().to_string();
        let problem = of("{{ histroy }}");
        assert!(problem.contains("histroy, expected one of candidates, examples"), "{problem}");
        assert!(problem.ends_with("did you mean \"history\"?"), "{problem}");
        assert!(of("{% for item in history %}").contains("unexpected end"));
        assert!(
            Template::parse("{% for i in range(3) %}{{ history[i].title }}{% endfor %}").is_ok()
        );
        let problem = of("talrec");
        assert!(problem.ends_with("did you mean \"tallrec\"?"), "{problem}");
    }
}
