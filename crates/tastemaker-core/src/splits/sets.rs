//! The cuts of a split, checked, hashed and counted.

use std::ops::Range;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::ids::{ItemId, UserId};

/// The part of a split whose targets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Chooses: epochs, settings.
    Validation,
    /// Looked at once.
    Test,
}

impl Part {
    /// `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Where one user's sequence is cut; positions count from the user's oldest interaction.
///
/// The positions ascend: `train_end` ≤ `validation` ≤ `test` ≤ the length of the sequence. What
/// stands between two parts is in none, but is history for what comes after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCuts {
    /// Interactions before this position are learnt from.
    pub train_end: u32,
    /// The validation targets; empty for users that validate nothing.
    pub validation: Range<u32>,
    /// The test targets; empty for users that test nothing.
    pub test: Range<u32>,
}

impl UserCuts {
    /// The cuts of a user with `length` interactions who is learnt from and not asked about.
    pub fn train_only(length: u32) -> Self {
        Self { train_end: length, validation: length..length, test: length..length }
    }

    /// The targets of `part`.
    pub fn targets(&self, part: Part) -> &Range<u32> {
        match part {
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    fn positions(&self) -> [u32; 5] {
        let (validation, test) = (&self.validation, &self.test);
        [self.train_end, validation.start, validation.end, test.start, test.end]
    }
}

/// One user's history and what came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalCase<'a> {
    /// The user.
    pub user: UserId,
    /// Everything before the targets, oldest first.
    pub history: &'a [ItemId],
    /// What to foretell.
    pub targets: &'a [ItemId],
}

/// A data set divided: for every user the cuts in its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitSets {
    name: &'static str,
    hash: String,
    cuts: Vec<UserCuts>,
}

impl SplitSets {
    /// Checks and hashes `cuts`, one a user, of the split called `name`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the number of cuts is not the number of users or cuts do not ascend
    /// within a user's sequence; [`Error::EmptySplit`] if a part has nothing in it.
    pub fn new(name: &'static str, data: &Dataset, cuts: Vec<UserCuts>) -> Result<Self> {
        Self::with_advice(name, data, cuts, "change the split's settings or use more data")
    }

    /// [`SplitSets::new`], where `advice` says what to do about an empty part.
    pub(super) fn with_advice(
        name: &'static str,
        data: &Dataset,
        cuts: Vec<UserCuts>,
        advice: &str,
    ) -> Result<Self> {
        check_order(name, data, &cuts)?;
        check_parts(name, data, &cuts, advice)?;
        Ok(Self { name, hash: hash(name, &data.hash, &cuts), cuts })
    }

    /// Everything of `data` is learnt from but, where it `validates`, each user's last interaction: for
    /// learning anew from what was divided before, and not for reports.
    pub fn for_learning(data: &Dataset, validates: bool) -> Self {
        let cuts = data.interactions.users().map(|user| {
            let length = super::length(data, user);
            let train_end = length - u32::from(validates && length > 2);
            UserCuts { train_end, validation: train_end..length, test: length..length }
        });
        let cuts: Vec<UserCuts> = cuts.collect();
        let name = "everything";
        Self { name, hash: hash(name, &data.hash, &cuts), cuts }
    }

    /// The split's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// SHA-256 over the split's name, the data set's hash and every cut, in hexadecimal: two
    /// results with the same hash were asked for the same targets from the same histories.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Where the sequence of `user` is cut.
    pub fn cuts(&self, user: UserId) -> &UserCuts {
        &self.cuts[user.index()]
    }

    /// The number of users of the data set that was divided.
    pub fn n_users(&self) -> usize {
        self.cuts.len()
    }

    /// What `user` contributes to training, oldest first.
    pub fn train<'a>(&self, data: &'a Dataset, user: UserId) -> &'a [ItemId] {
        &data.interactions.sequence(user)[..self.cuts[user.index()].train_end as usize]
    }

    /// The users with targets in `part`, with their histories, one after the other.
    pub fn iter_cases<'a>(
        &'a self,
        data: &'a Dataset,
        part: Part,
    ) -> impl Iterator<Item = EvalCase<'a>> + use<'a> {
        data.interactions.users().zip(&self.cuts).filter_map(move |(user, cuts)| {
            let range = cuts.targets(part);
            let sequence = data.interactions.sequence(user);
            let (start, end) = (range.start as usize, range.end as usize);
            (start < end).then(|| EvalCase {
                user,
                history: &sequence[..start],
                targets: &sequence[start..end],
            })
        })
    }

    /// The users with targets in `part`, with their histories, all at once.
    pub fn cases<'a>(&'a self, data: &'a Dataset, part: Part) -> Vec<EvalCase<'a>> {
        self.iter_cases(data, part).collect()
    }

    /// The same split of which only what `keep` says of each user is learnt from and validated:
    /// the number of the user's first training interactions, 0 for users that are left out
    /// altogether. Users whom nothing is learnt from in this split validate as before. It is for choosing
    /// and learning, not for reports: the hash stays.
    #[must_use]
    pub fn few(&self, keep: impl Fn(UserId) -> u32) -> Self {
        let mut few = self.clone();
        for (user, cuts) in (0..).map(UserId).zip(&mut few.cuts) {
            let was_learnt = cuts.train_end > 0;
            cuts.train_end = keep(user).min(cuts.train_end);
            if was_learnt && cuts.train_end == 0 {
                cuts.validation = 0..0;
            }
        }
        few
    }

    /// The same cuts of `users` alone, whose data set is `data` ([`crate::prepare::of_users`]). A part
    /// may have nothing in it.
    #[must_use]
    pub fn of_users(&self, users: &[UserId], data: &Dataset) -> Self {
        let cuts: Vec<UserCuts> = users.iter().map(|user| self.cuts(*user).clone()).collect();
        Self { name: self.name, hash: hash(self.name, &data.hash, &cuts), cuts }
    }

    /// How often each item stands in the training part: what popularity is counted on.
    pub fn train_popularity(&self, data: &Dataset) -> Vec<u32> {
        let mut popularity = vec![0; data.n_items()];
        for item in data.interactions.users().flat_map(|user| self.train(data, user)) {
            popularity[item.index()] += 1;
        }
        popularity
    }

    /// Counts what is in each part.
    pub fn summary(&self, data: &Dataset) -> SplitSummary {
        let popularity = self.train_popularity(data);
        let trained = popularity.iter().map(|&n| n as usize);
        let part = |part| PartSummary::count(self.iter_cases(data, part), &popularity);
        let (validation, test) = (part(Part::Validation), part(Part::Test));
        let train_interactions: usize = trained.clone().sum();
        let in_parts = train_interactions + validation.targets + test.targets;
        SplitSummary {
            split: self.name,
            hash: self.hash.clone(),
            train_users: self.cuts.iter().filter(|cuts| cuts.train_end > 0).count(),
            train_items: trained.filter(|&n| n > 0).count(),
            train_interactions,
            left_out_interactions: data.interactions.len() - in_parts,
            validation,
            test,
        }
    }
}

/// What a split has in each of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitSummary {
    /// The split's name.
    pub split: &'static str,
    /// [`SplitSets::hash`].
    pub hash: String,
    /// Users with something in the training part.
    pub train_users: usize,
    /// Items with something in the training part.
    pub train_items: usize,
    /// Interactions that are learnt from.
    pub train_interactions: usize,
    /// Interactions in no part: between two parts, or after the last target.
    pub left_out_interactions: usize,
    /// What chooses.
    pub validation: PartSummary,
    /// What is looked at once.
    pub test: PartSummary,
}

/// What is asked for in a part of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartSummary {
    /// Users that are asked about.
    pub users: usize,
    /// Interactions to foretell.
    pub targets: usize,
    /// Targets whose item never occurs in the training part.
    pub targets_unseen_in_training: usize,
    /// Different items among those targets.
    pub items_unseen_in_training: usize,
}

impl PartSummary {
    fn count<'a>(cases: impl Iterator<Item = EvalCase<'a>>, popularity: &[u32]) -> Self {
        let mut counts = Self::default();
        let mut met = vec![false; popularity.len()];
        for case in cases {
            counts.users += 1;
            counts.targets += case.targets.len();
            for item in case.targets.iter().filter(|item| popularity[item.index()] == 0) {
                counts.targets_unseen_in_training += 1;
                counts.items_unseen_in_training += usize::from(!met[item.index()]);
                met[item.index()] = true;
            }
        }
        counts
    }
}

fn hash(name: &str, data_hash: &str, cuts: &[UserCuts]) -> String {
    let mut hasher = Sha256::new();
    for text in [name, data_hash] {
        // With its length before it, no text can run into the next.
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    for position in cuts.iter().flat_map(UserCuts::positions) {
        hasher.update(position.to_le_bytes());
    }
    crate::artifact::hex(&hasher.finalize())
}

fn check_order(name: &str, data: &Dataset, cuts: &[UserCuts]) -> Result<()> {
    let n_users = data.interactions.n_users();
    if cuts.len() != n_users {
        return Err(Error::Setting {
            name: format!("the number of users that {name} cuts"),
            found: cuts.len().to_string(),
            expected: format!("{n_users}, the number of users in the data"),
        });
    }
    for (user, cuts) in data.interactions.users().zip(cuts) {
        let length = super::length(data, user);
        let positions = cuts.positions();
        if !positions.is_sorted() || positions[4] > length {
            return Err(Error::Setting {
                name: format!("the {name} cut of user {}", user.0),
                found: format!("{positions:?} (train end, validation start and end, test)"),
                expected: format!("ascending positions up to {length}, the user's interactions"),
            });
        }
    }
    Ok(())
}

fn check_parts(name: &'static str, data: &Dataset, cuts: &[UserCuts], advice: &str) -> Result<()> {
    let parts = [
        ("train", cuts.iter().all(|cuts| cuts.train_end == 0)),
        ("validation", cuts.iter().all(|cuts| cuts.validation.is_empty())),
        ("test", cuts.iter().all(|cuts| cuts.test.is_empty())),
    ];
    let Some((part, _)) = parts.into_iter().find(|(_, empty)| *empty) else { return Ok(()) };
    let longest = data.interactions.users().map(|user| super::length(data, user)).max();
    let reason = format!(
        "of {} users with {} interactions (the longest sequence has {}) none has anything in it; \
         {advice}",
        data.interactions.n_users(),
        data.interactions.len(),
        longest.unwrap_or(0),
    );
    Err(Error::EmptySplit { part, split: name, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splits::testkit::data;

    fn cuts(train_end: u32, validation: Range<u32>, test: Range<u32>) -> UserCuts {
        UserCuts { train_end, validation, test }
    }

    #[test]
    fn cuts_that_do_not_ascend_are_refused_with_the_user() {
        let data = data(&[&[0, 1, 2], &[0, 1, 2]]);
        let bad = [
            cuts(2, 1..2, 2..3),
            cuts(1, 1..2, 1..3),
            cuts(1, 1..2, 2..4),
            #[expect(clippy::reversed_empty_ranges, reason = "that it is refused is the test")]
            cuts(1, 2..1, 2..3),
        ];
        for bad in bad {
            let error = SplitSets::new("mine", &data, vec![cuts(1, 1..2, 2..3), bad]).unwrap_err();
            assert!(error.to_string().contains("the mine cut of user 1"), "{error}");
        }
        let error = SplitSets::new("mine", &data, vec![cuts(1, 1..2, 2..3)]).unwrap_err();
        assert!(error.to_string().contains("expected 2"), "{error}");
    }

    #[test]
    fn a_part_without_anything_is_an_error_that_names_it() {
        let data = data(&[&[0, 1, 2]]);
        let named = |cuts| match SplitSets::new("mine", &data, vec![cuts]) {
            Err(Error::EmptySplit { part, split: "mine", .. }) => part,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(cuts(0, 0..1, 1..2)), "train");
        assert_eq!(named(cuts(1, 1..1, 1..2)), "validation");
        assert_eq!(named(cuts(1, 1..2, 2..2)), "test");
    }

    #[test]
    fn the_hash_is_of_the_name_the_data_and_the_cuts() {
        let data = data(&[&[0, 1, 2, 3]]);
        let hash = |name, data: &Dataset, cuts| {
            SplitSets::new(name, data, vec![cuts]).unwrap().hash().to_owned()
        };
        let first = hash("a", &data, cuts(1, 1..2, 2..3));
        assert_eq!(first, hash("a", &data, cuts(1, 1..2, 2..3)));
        assert_ne!(first, hash("b", &data, cuts(1, 1..2, 2..3)));
        assert_ne!(first, hash("a", &data, cuts(1, 1..2, 2..4)));
        let other = Dataset { hash: "other".into(), ..data };
        assert_ne!(first, hash("a", &other, cuts(1, 1..2, 2..3)));
    }

    #[test]
    fn the_summary_counts_targets_that_training_never_met() {
        let data = data(&[&[0, 1, 2, 3], &[0, 1, 3, 2, 4]]);
        let sets =
            SplitSets::new("mine", &data, vec![cuts(2, 2..3, 3..4), cuts(2, 2..3, 4..5)]).unwrap();
        let summary = sets.summary(&data);
        assert_eq!((summary.train_users, summary.train_items), (2, 2));
        assert_eq!((summary.train_interactions, summary.left_out_interactions), (4, 1));
        let unseen = PartSummary {
            users: 2,
            targets: 2,
            targets_unseen_in_training: 2,
            items_unseen_in_training: 2,
        };
        assert_eq!((&summary.validation, &summary.test), (&unseen, &unseen));
        assert_eq!(sets.train_popularity(&data), [2, 2, 0, 0, 0]);
    }
}
