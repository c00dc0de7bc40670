//! What becomes of lists when what is chosen from them is learnt from.

use rand::Rng;
use tastemaker_core::artifact::sha256;
use tastemaker_core::{
    Dataset, Interactions, ItemId, RankedList, RecQuery, Recommender, Result, SeedTree,
};
use tastemaker_eval::Ground;
use tastemaker_eval::metrics::{Diversity, Metric};

use super::agreement::jaccard;
use crate::Subject;
use crate::mitigations::{AnyMitigation, Mitigated};

/// How attractive an item is that has nothing of what its user likes.
const CURIOSITY: f64 = 0.1;

/// With how many others each user's list is compared.
const OTHERS: usize = 20;

/// Learns anew from what has been chosen until now.
pub type Refit<'a> = dyn FnMut(&Dataset) -> Result<Box<dyn Recommender>> + 'a;

/// Rounds of recommending, choosing and learning.
///
/// # The choice model, and what it assumes
/// In each round every user chooses one item of its list, at place r with a probability in proportion to
/// (0.1 + t) / log₂(r + 1). t is how much the item has of the user's first history: the mean over its
/// categories of their shares there, so that tastes do not change; without categories it is 0, and only
/// places count. Nobody leaves, nobody comes, nobody finds an item elsewhere, and what is chosen is liked.
///
/// # What is learnt from
/// What the users have met before their targets, and what they have chosen since, at the end of their
/// sequences; without times and values.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackLoop {
    /// How many rounds.
    pub rounds: usize,
    /// The attribute whose categories are looked at; all of them where absent.
    pub attribute: Option<String>,
    /// What is done to each list; nothing where absent.
    pub mitigation: Option<AnyMitigation>,
}

/// What lists were like in one round, a value a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// ILD.
    pub diversity: Vec<f64>,
    /// Entropy of the list's categories, in nats.
    pub entropy: Vec<f64>,
    /// Jaccard's likeness to other users' lists.
    pub likeness: Vec<f64>,
    /// Share of users of the training part that had met an item of the list, its mean.
    pub popularity: Vec<f64>,
}

impl FeedbackLoop {
    /// Runs over the users at the places `users` of `subject`, asking `recommender`, which is made anew
    /// after each round where there is `refit`.
    pub fn run(
        &self,
        subject: &Subject<'_>,
        recommender: &dyn Recommender,
        users: &[usize],
        mut refit: Option<&mut Refit<'_>>,
        seeds: &SeedTree,
    ) -> Result<Vec<Round>> {
        let ground = &subject.ground;
        let mut histories: Vec<Vec<ItemId>> =
            users.iter().map(|&user| subject.cases[user].history.to_vec()).collect();
        let attribute = self.attribute.as_deref();
        let tastes: Vec<_> = histories.iter().map(|first| ground.mix(first, attribute)).collect();
        let mut refitted: Option<Box<dyn Recommender>> = None;
        let mut rounds = Vec::with_capacity(self.rounds);
        for round in 0..self.rounds {
            let asked = refitted.as_deref().unwrap_or(recommender);
            let lists = self.lists(subject, asked, users, &histories)?;
            rounds.push(self.measure(subject, &lists, seeds));
            for (place, list) in lists.iter().enumerate() {
                let liking = |item: &ItemId| {
                    let own: Vec<u32> = ground.categories(*item, attribute).collect();
                    let shares = own.iter().filter_map(|category| tastes[place].get(category));
                    shares.sum::<f64>() / own.len().max(1) as f64
                };
                let seeds = seeds.child("choice").index(round as u64).index(place as u64);
                histories[place].extend(choose(&list.items, liking, &seeds));
            }
            if let (Some(refit), true) = (refit.as_mut(), round + 1 < self.rounds) {
                refitted = Some(refit(&grown(subject, users, &histories))?);
            }
        }
        Ok(rounds)
    }

    fn lists<'h>(
        &self,
        subject: &Subject<'_>,
        recommender: &dyn Recommender,
        users: &[usize],
        histories: &'h [Vec<ItemId>],
    ) -> Result<Vec<RankedList>> {
        let query = |(&at, history): (&usize, &'h Vec<ItemId>)| RecQuery {
            user: Some(subject.cases[at].user),
            history,
            candidates: None,
        };
        let queries: Vec<RecQuery<'_>> = users.iter().zip(histories).map(query).collect();
        let options = subject.options(subject.scope.k);
        match &self.mitigation {
            None => recommender.recommend(&queries, &options),
            Some(mitigation) => Mitigated::new(recommender, mitigation, &subject.ground)
                .recommend(&queries, &options),
        }
    }

    fn measure(&self, subject: &Subject<'_>, lists: &[RankedList], seeds: &SeedTree) -> Round {
        let attribute = self.attribute.as_deref();
        let ground = &subject.ground;
        let diversity = Diversity { k: subject.scope.k, attribute: self.attribute.clone() };
        let about = tastemaker_eval::About {
            history: &[],
            candidates: ground.n_items(),
            seen: &[],
            ground,
        };
        Round {
            diversity: lists
                .iter()
                .filter_map(|list| diversity.of_user(list, &[], &about))
                .collect(),
            entropy: lists.iter().map(|list| entropy(&list.items, attribute, ground)).collect(),
            likeness: likeness(lists, &seeds.child("others")),
            popularity: lists.iter().map(|list| popularity(&list.items, ground)).collect(),
        }
    }
}

/// One of `items`, as the choice model has it; none of none.
fn choose(items: &[ItemId], liking: impl Fn(&ItemId) -> f64, seeds: &SeedTree) -> Option<ItemId> {
    let weigh =
        |(place, item): (usize, &ItemId)| (CURIOSITY + liking(item)) / ((place + 2) as f64).log2();
    let weights: Vec<f64> = items.iter().enumerate().map(weigh).collect();
    let mut left = seeds.rng().random::<f64>() * weights.iter().sum::<f64>();
    let stop = weights.iter().position(|weight| {
        left -= weight;
        left <= 0.0
    });
    stop.map(|place| items[place]).or_else(|| items.last().copied())
}

/// The data as it is after these choices.
fn grown(subject: &Subject<'_>, users: &[usize], histories: &[Vec<ItemId>]) -> Dataset {
    let data = subject.scope.data;
    let mut sequences: Vec<Vec<ItemId>> = data
        .interactions
        .users()
        .map(|user| subject.scope.split.train(data, user).to_vec())
        .collect();
    for case in &subject.cases {
        sequences[case.user.index()] = case.history.to_vec();
    }
    let mut chosen = data.hash.clone().into_bytes();
    for (&user, history) in users.iter().zip(histories) {
        chosen.extend(history.iter().flat_map(|item| item.0.to_le_bytes()));
        sequences[subject.cases[user].user.index()].clone_from(history);
    }
    let interactions = Interactions::from_sequences(sequences);
    Dataset { hash: sha256(&chosen), interactions, ..data.clone() }
}

/// How evenly the categories of `items` are spread, in nats: −Σ p ln p of their shares, each item dividing
/// one among its own. From 0 (one category) to the logarithm of their number.
pub fn entropy(items: &[ItemId], attribute: Option<&str>, ground: &Ground) -> f64 {
    ground.mix(items, attribute).values().fold(0.0, |sum, share| sum - share * share.ln())
}

/// The mean share of the users of the training part who have met an item of `items`; 0 of none.
pub fn popularity(items: &[ItemId], ground: &Ground) -> f64 {
    let sum: f64 = items.iter().map(|item| f64::from(ground.popularity(*item))).sum();
    sum / (items.len().max(1) * ground.n_users().max(1)) as f64
}

/// For each list the mean of its Jaccard's likeness to those of up to 20 others, drawn from `seeds`; 0 of a
/// single list.
pub fn likeness(lists: &[RankedList], seeds: &SeedTree) -> Vec<f64> {
    let n = lists.len().saturating_sub(1);
    let of = |(own, list): (usize, &RankedList)| {
        let mut rng = seeds.index(own as u64).rng();
        let others = rand::seq::index::sample(&mut rng, n, n.min(OTHERS));
        let like = |other: usize| {
            // The own list is left out of the numbers.
            jaccard(&list.items, &lists[other + usize::from(other >= own)].items)
        };
        others.into_iter().map(like).sum::<f64>() / n.clamp(1, OTHERS) as f64
    };
    lists.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_fall_by_place_and_by_taste_as_the_model_says() {
        let items: Vec<ItemId> = (0..3).map(ItemId).collect();
        let liking = |item: &ItemId| if item.0 == 2 { 0.4 } else { 0.0 };
        let mut counts = [0.0; 3];
        let n = 20_000;
        for draw in 0..n {
            let chosen = choose(&items, liking, &SeedTree::new(1).index(draw));
            counts[chosen.map_or(0, ItemId::index)] += 1.0 / n as f64;
        }
        let weights = [0.1, 0.1 / 3_f64.log2(), 0.5 / 2.0];
        let sum: f64 = weights.iter().sum();
        for (share, weight) in counts.iter().zip(weights) {
            assert!((share - weight / sum).abs() < 0.015, "{counts:?}");
        }
        assert_eq!(choose(&[], liking, &SeedTree::new(1)), None);
    }
}
