//! What words planted in a title do to an item's place.

use std::path::Path;

use serde::Deserialize;
use tastemaker_core::catalog::{Attribute, Catalog, Column};
use tastemaker_core::{Dataset, Error, ItemId, RankedList, Result};

use crate::{Remake, Subject, reading};

/// The attacks that come with the program.
const ATTACKS: &str = include_str!("../../data/attacks.toml");

/// How deep lists are looked at; an item that is not there has the next rank.
const DEPTH: usize = 100;

/// Words that are planted in a title.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attack {
    /// Its name.
    pub name: String,
    /// The title that is planted; `{title}` is the old one.
    pub text: String,
    /// Who used such words.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Attacks {
    attack: Vec<Attack>,
}

/// The attacks that come with the program: promotion, and orders to the model.
///
/// # Panics
/// Never: a test reads them.
pub fn attacks() -> Vec<Attack> {
    let read: Result<Attacks> = reading::text(Path::new("attacks.toml"), ATTACKS);
    read.expect("a test reads them").attack
}

/// What an attack did for one user, a mean over the items that were attacked and that it had not met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Share of items that are shown now, less the share that was before. From −1 to 1.
    pub exposure: f64,
    /// How often its rank was halved: log₂(rank before / rank now), ranks up to 101. 0 where nothing moved.
    pub rank: f64,
    /// Share of items that are shown now, of those that were not; `None` where all were.
    pub success: Option<f64>,
}

/// Plants `attack` in the titles of `targets`, one after the other, and asks the users at the places
/// `users` of `subject` before and after. A value for each user who has not met all targets.
pub fn effects(
    subject: &Subject<'_>,
    remake: &Remake<'_>,
    attack: &Attack,
    targets: &[ItemId],
    users: &[usize],
) -> Result<Vec<Effect>> {
    let data = subject.scope.data;
    let depth = DEPTH.max(subject.scope.k);
    let before = subject.ask(&*remake(data)?, users, depth)?;
    let mut moves: Vec<Vec<(usize, usize)>> = vec![Vec::new(); users.len()];
    for &target in targets {
        let edited = Dataset { catalog: planted(&data.catalog, target, attack)?, ..data.clone() };
        let after = subject.ask(&*remake(&edited)?, users, depth)?;
        for (place, &user) in users.iter().enumerate() {
            if !subject.cases[user].history.contains(&target) {
                let ranks =
                    (rank(&before[place], target, depth), rank(&after[place], target, depth));
                moves[place].push(ranks);
            }
        }
    }
    let k = subject.scope.k;
    Ok(moves.iter().filter(|moves| !moves.is_empty()).map(|moves| effect(moves, k)).collect())
}

/// The rank of `item`, from 1; the one behind the last that is looked at where it is not there, however
/// short the list is.
fn rank(list: &RankedList, item: ItemId, depth: usize) -> usize {
    list.items.iter().position(|other| *other == item).unwrap_or(depth) + 1
}

fn effect(moves: &[(usize, usize)], k: usize) -> Effect {
    let n = moves.len() as f64;
    let shown = |rank: usize| f64::from(u8::from(rank <= k));
    let (mut exposure, mut rank, mut new, mut hidden) = (0.0, 0.0, 0.0, 0.0);
    for &(before, after) in moves {
        exposure += shown(after) - shown(before);
        rank += (before as f64 / after as f64).log2();
        if before > k {
            hidden += 1.0;
            new += shown(after);
        }
    }
    let success = (hidden > 0.0).then(|| new / hidden);
    Effect { exposure: exposure / n, rank: rank / n, success }
}

/// The catalog in which the title of `target` is what `attack` makes of it.
pub fn planted(catalog: &Catalog, target: ItemId, attack: &Attack) -> Result<Catalog> {
    let title = catalog.title_attribute().map(|attribute| attribute.name.clone());
    let mut attributes: Vec<Attribute> = catalog.attributes().to_vec();
    let column = attributes.iter_mut().find(|attribute| Some(&attribute.name) == title.as_ref());
    let Some(Column::Text(rows)) = column.map(|attribute| &mut attribute.column) else {
        return Err(Error::setting("the catalog's titles", "none", "titles to plant words in"));
    };
    let old = rows[target.index()].clone().unwrap_or_default();
    rows[target.index()] = Some(attack.text.replace("{title}", &old));
    Ok(Catalog::new(attributes, title.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_keeps_the_title_and_says_who_used_it() {
        let all = attacks();
        assert!(all.len() > 4);
        for attack in all {
            assert!(attack.text.contains("{title}") && !attack.source.is_empty(), "{attack:?}");
        }
    }

    #[test]
    fn an_item_that_was_shown_before_is_no_success() {
        let found = effect(&[(2, 1), (20, 1), (40, 40)], 10);
        assert_eq!(found.success, Some(0.5));
        assert!((found.exposure - 1.0 / 3.0).abs() < 1e-12);
        assert!((found.rank - (1.0 + 20_f64.log2()) / 3.0).abs() < 1e-12);
        assert_eq!(effect(&[(2, 1)], 10).success, None);
    }
}
