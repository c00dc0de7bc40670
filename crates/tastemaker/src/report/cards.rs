//! Documents that go with an audited recommender: fields that are filled in, and fields that are not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The cards and their fields.
const CARDS: &str = include_str!("../../data/cards.toml");

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Card {
    /// What it is called.
    pub name: String,
    /// After whom its fields are.
    pub source: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A field of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What is to be said.
    pub asks: String,
    /// What is said; `None` where it is empty.
    #[serde(default)]
    pub says: Option<String>,
    /// What the run knows that fills it in, by name.
    #[serde(default, skip_serializing)]
    fact: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Cards {
    card: Vec<Card>,
}

/// Every card, filled in from `facts` and, where those say nothing, from `record`.
///
/// # Panics
/// Never: a test reads them.
pub(crate) fn cards(
    facts: &BTreeMap<&str, String>,
    record: &BTreeMap<String, String>,
) -> Vec<Card> {
    let cards: Cards = toml::from_str(CARDS).expect("a test reads them");
    let fill = |field: Field| {
        let fact = field.fact.as_ref().and_then(|fact| facts.get(&fact[..]));
        let says = fact.or_else(|| record.get(&field.name)).cloned();
        Field { says: says.filter(|text| !text.trim().is_empty()), ..field }
    };
    let filled = cards.card.into_iter().map(|card| {
        let fields = card.fields.into_iter().map(fill).collect();
        Card { fields, ..card }
    });
    filled.collect()
}

/// The fields of all cards that no fact fills in, so that a record can.
pub fn open_fields() -> Vec<(String, String)> {
    let all = cards(&BTreeMap::new(), &BTreeMap::new()).into_iter().flat_map(|card| card.fields);
    let mut open: Vec<(String, String)> =
        all.filter(|field| field.fact.is_none()).map(|field| (field.name, field.asks)).collect();
    open.sort();
    open.dedup_by(|a, b| a.0 == b.0);
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_fill_fields_then_the_record_and_the_rest_stays_empty() {
        let facts = BTreeMap::from([("version", "1".to_owned())]);
        let record = BTreeMap::from(["owner", "version"].map(|n| (n.to_owned(), "us".to_owned())));
        let cards = cards(&facts, &record);
        assert_eq!(cards.len(), 4);
        let says = |name: &str| {
            let field = cards[0].fields.iter().find(|field| field.name == name);
            field.unwrap().says.as_deref()
        };
        assert_eq!((says("version"), says("owner"), says("limits")), (Some("1"), Some("us"), None));
        assert!(open_fields().iter().any(|(name, _)| name == "main-flow"));
    }
}
