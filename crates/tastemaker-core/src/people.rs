//! What is known about the users.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;

use crate::catalog::{Attribute, Column};
use crate::{SeedTree, UserId};

/// Attributes of users; which of them are sensitive is a typed fact, not a convention of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserAttributes {
    attributes: Vec<UserAttribute>,
}

/// One attribute of users, one row a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserAttribute {
    /// Name and values.
    pub attribute: Attribute,
    /// Whether treating users differently by it needs a justification (gender, age, …).
    pub sensitive: bool,
}

impl UserAttributes {
    /// Builds from attributes that all have one row a user.
    pub fn new(attributes: Vec<UserAttribute>) -> Self {
        Self { attributes }
    }

    /// All attributes.
    pub fn attributes(&self) -> &[UserAttribute] {
        &self.attributes
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&UserAttribute> {
        self.attributes.iter().find(|known| known.attribute.name == name)
    }

    /// The categories of the attribute `name` that `user` has; none where it holds no categories.
    pub fn categories(&self, name: &str, user: UserId) -> &[String] {
        match self.attribute(name).map(|known| &known.attribute.column) {
            Some(Column::Categories(rows)) => rows.get(user.index()).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// The same people, of whom each has another value of the attributes `names`: one that others
    /// have, each as likely. Of whom nothing is known, nothing is known afterwards.
    #[must_use]
    pub fn exchanged(&self, names: &[String], seeds: &SeedTree) -> Self {
        let mut all = self.clone();
        for known in all.attributes.iter_mut().filter(|a| names.contains(&a.attribute.name)) {
            let column = &known.attribute.column;
            let values: Vec<Option<String>> =
                (0..column.len()).map(|row| column.display(row)).collect();
            let rows = values.iter().enumerate().rev();
            let first: BTreeMap<&String, usize> =
                rows.filter_map(|(row, value)| Some((value.as_ref()?, row))).collect();
            let mut rng = seeds.child(&known.attribute.name).rng();
            let other = |(row, value): (usize, &Option<String>)| {
                let Some(value) = value else { return row };
                let others: Vec<usize> =
                    first.iter().filter(|(v, _)| **v != value).map(|(_, &row)| row).collect();
                others.choose(&mut rng).copied().unwrap_or(row)
            };
            let rows: Vec<usize> = values.iter().enumerate().map(other).collect();
            known.attribute.column = column.select(&rows);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_another_value_that_somebody_has_and_nothing_stays_nothing() {
        let gender = ["F", "M", "", "F", "X", "F"];
        let column = |name: &str, column| UserAttribute {
            attribute: Attribute { name: name.to_owned(), column },
            sensitive: true,
        };
        let row = |value: &str| if value.is_empty() { vec![] } else { vec![value.to_owned()] };
        let people = UserAttributes::new(vec![
            column("gender", Column::Categories(gender.map(row).into())),
            column("age", Column::Number((0_u8..6).map(|age| Some(f64::from(age))).collect())),
            column("town", Column::Text(vec![Some("Bari".to_owned()); 6])),
        ]);
        let names = ["gender".to_owned(), "town".to_owned()];
        let others = people.exchanged(&names, &SeedTree::new(1));
        for (user, own) in (0..).map(UserId).zip(gender) {
            let other = others.categories("gender", user);
            match own {
                "" => assert!(other.is_empty()),
                own => assert!(other[0] != own && gender.contains(&&other[0][..]), "{other:?}"),
            }
        }
        // What is the same of all has no other value, and what is not named stays.
        assert_eq!(others.attributes[1..], people.attributes[1..]);
        assert_eq!(others, people.exchanged(&names, &SeedTree::new(1)));
        assert!(people.categories("age", UserId(0)).is_empty());
    }
}
