//! Sequences of tokens that may be written.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use tastemaker_core::{ItemId, RankOptions, RecQuery};
use tastemaker_nn::transformer::{Frozen, Input, Memory, Reading};

/// Beginnings that are kept for a longer list at most, where no more are asked for: each is read.
pub(crate) const MOST_BEAMS: usize = 100;

/// The titles of items, token by token: after each beginning the tokens with which some title goes
/// on, and the items whose title ends there.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    next: BTreeMap<u32, usize>,
    items: Vec<ItemId>,
}

impl Trie {
    /// Where every title begins.
    const ROOT: usize = 0;

    /// Of these items, each with the tokens of its title; those without any are left out.
    pub(crate) fn new<'a>(titles: impl Iterator<Item = (ItemId, &'a [u32])>) -> Self {
        let mut trie = Self { nodes: vec![Node::default()] };
        for (item, tokens) in titles.filter(|(_, tokens)| !tokens.is_empty()) {
            let mut node = Self::ROOT;
            for &token in tokens {
                let new = trie.nodes.len();
                node = *trie.nodes[node].next.entry(token).or_insert(new);
                if node == new {
                    trie.nodes.push(Node::default());
                }
            }
            trie.nodes[node].items.push(item);
        }
        trie
    }

    /// The tokens with which some title goes on, and where they lead.
    fn next(&self, node: usize) -> impl Iterator<Item = (u32, usize)> {
        self.nodes[node].next.iter().map(|(&token, &next)| (token, next))
    }

    /// The items whose title ends here.
    fn items(&self, node: usize) -> &[ItemId] {
        &self.nodes[node].items
    }
}

/// One token more on a beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// The number of the beginning.
    from: usize,
    token: u32,
    node: usize,
    /// The beginning's score and the logarithm of the token's probability, by softmax over all tokens.
    score: f32,
}

impl Trie {
    /// A step of beam search: the best `most` ways to go on from `beginnings`, each with its node and
    /// its score, to nodes that are `allowed`, best first. Each takes a row of `scores`, those of all
    /// tokens after it.
    fn steps<'s>(
        &self,
        beginnings: impl Iterator<Item = (usize, f32)>,
        scores: &mut impl Iterator<Item = &'s [f32]>,
        allowed: impl Fn(usize) -> bool,
        most: usize,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        for (from, ((node, before), scores)) in beginnings.zip(scores).enumerate() {
            let whole = log_sum(scores);
            for (token, node) in self.next(node).filter(|(_, node)| allowed(*node)) {
                let score = before + scores[token as usize] - whole;
                steps.push(Step { from, token, node, score });
            }
        }
        // Of equal ones the first, so that it is always the same.
        steps.sort_by(|a, b| b.score.total_cmp(&a.score));
        steps.truncate(most);
        steps
    }
}

/// The beginning of what may be written.
#[derive(Clone, Debug)]
pub(crate) struct Beam {
    /// What was read before, and what was written.
    pub(crate) tokens: Vec<u32>,
    /// Which of the beams before it goes on from.
    from: usize,
    node: usize,
    score: f32,
}

/// Beam search for one query: what is written is some item of a trie, and none that was seen.
#[derive(Debug)]
pub(crate) struct Search<'t> {
    trie: Cow<'t, Trie>,
    seen: HashSet<ItemId>,
    /// Beginnings that are kept.
    most: usize,
    /// Items that are wanted; 0: all that are found.
    n: usize,
    beams: Vec<Beam>,
    found: Vec<(ItemId, f32)>,
}

impl<'t> Search<'t> {
    /// Of what `query` asks for, among its candidates or everything in `all`, where `of` gives an
    /// item's tokens; `most` beginnings are kept, each after what was `read`.
    pub(crate) fn new<'a>(
        (all, of): (&'t Trie, impl Fn(ItemId) -> &'a [u32]),
        (query, options): (&RecQuery<'_>, &RankOptions<'_>),
        most: usize,
        read: Vec<u32>,
    ) -> Self {
        let trie = match query.candidates {
            Some(candidates) => {
                Cow::Owned(Trie::new(candidates.iter().map(|&item| (item, of(item)))))
            }
            None => Cow::Borrowed(all),
        };
        let seen = options.seen(query).iter().copied().collect();
        let beams = vec![Beam { tokens: read, from: 0, node: Trie::ROOT, score: 0.0 }];
        Self { trie, seen, most, n: options.n, beams, found: vec![] }
    }

    /// The beginnings that go on; none where the search is over.
    pub(crate) fn beams(&self) -> &[Beam] {
        &self.beams
    }

    /// Makes the beginnings one token longer, each by a row of `scores`, those of all tokens after it.
    pub(crate) fn go_on<'s>(&mut self, scores: &mut impl Iterator<Item = &'s [f32]>) {
        let Self { trie, seen, .. } = self;
        let beginnings = self.beams.iter().map(|beam| (beam.node, beam.score));
        let goes_on = |node| trie.next(node).next().is_some();
        let allowed = |node| goes_on(node) || trie.items(node).iter().any(|i| !seen.contains(i));
        let steps = trie.steps(beginnings, scores, allowed, self.most);
        let mut beams = Vec::with_capacity(steps.len());
        for Step { from, token, node, score } in steps {
            let items = trie.items(node).iter().filter(|item| !seen.contains(item));
            self.found.extend(items.map(|&item| (item, score)));
            if goes_on(node) {
                let tokens = [&self.beams[from].tokens[..], &[token]].concat();
                beams.push(Beam { tokens, from, node, score });
            }
        }
        if self.n > 0 && self.found.len() >= self.n {
            self.found.sort_by(|a, b| b.1.total_cmp(&a.1));
            let worst = self.found[self.n - 1].1;
            // What is longer is less likely.
            beams.retain(|beam| beam.score >= worst);
        }
        self.beams = beams;
    }

    /// The items that were found, with the logarithms of their probabilities.
    pub(crate) fn found(self) -> Vec<(ItemId, f32)> {
        self.found
    }
}

/// The best items for each query by beam search of `most` beginnings after what was `read` for it, none of
/// it empty, over the first `n_tokens` tokens of `model`. Where the model has an encoder, that reads it,
/// and the decoder begins with the token after those.
pub(crate) fn write_items<'a, 't>(
    (model, n_tokens): (&Frozen, u32),
    (all, of): (&'t Trie, impl Fn(ItemId) -> &'a [u32]),
    (queries, options): (&[RecQuery<'_>], &RankOptions<'_>),
    most: usize,
    read: Vec<Vec<u32>>,
) -> tastemaker_nn::Result<Vec<Vec<(ItemId, f32)>>> {
    let memory = model.memory(&Input::of(&read))?;
    let search = |(query, read)| {
        let read = if memory.is_some() { vec![n_tokens] } else { read };
        Search::new((all, &of), (query, options), most, read)
    };
    let mut searches: Vec<Search<'t>> = queries.iter().zip(read).map(search).collect();
    let scores = |states: &[f32]| model.scores(states, n_tokens as usize);
    search_all(&mut searches, (model, memory), scores)?;
    Ok(searches.into_iter().map(Search::found).collect())
}

/// Goes on with `searches` until each is over, by the `scores` [states, tokens] that tokens have after
/// states of `model`. Where the model has an encoder, each looks at the sequence of `memory` that has its number.
pub(crate) fn search_all(
    searches: &mut [Search<'_>],
    (model, memory): (&Frozen, Option<Memory>),
    scores: impl Fn(&[f32]) -> Vec<f32>,
) -> tastemaker_nn::Result<()> {
    let first = searches.iter().flat_map(Search::beams).map(|beam| beam.tokens.clone()).collect();
    let (mut reading, mut hidden) = Reading::new(model, first, memory)?;
    while !hidden.is_empty() {
        let all = scores(&hidden);
        let n_tokens = all.len() / (hidden.len() / model.width());
        let mut rows = all.chunks_exact(n_tokens);
        let (mut steps, mut begin) = (Vec::new(), 0);
        for search in searches.iter_mut() {
            let n = search.beams.len();
            search.go_on(&mut rows);
            let of = |beam: &Beam| Some((begin + beam.from, *beam.tokens.last()?));
            steps.extend(search.beams.iter().filter_map(of));
            begin += n;
        }
        hidden = reading.go_on(&steps)?;
    }
    Ok(())
}

/// log Σ eˣ over the scores of all tokens.
pub(crate) fn log_sum(scores: &[f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    let sum = scores.iter().map(|score| f64::from(score - most).exp()).sum::<f64>().ln() as f32;
    most + sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_and_nothing_else_can_be_written() {
        let titles: [&[u32]; 5] = [&[1, 2], &[1, 2, 3], &[4], &[], &[1, 2]];
        let items = (0..).map(ItemId);
        let trie = Trie::new(items.zip(titles));
        let mut found = Vec::new();
        let mut open = vec![(Trie::ROOT, vec![])];
        while let Some((node, written)) = open.pop() {
            found.extend(trie.items(node).iter().map(|item| (item.0, written.clone())));
            open.extend(trie.next(node).map(|(token, to)| (to, [&written[..], &[token]].concat())));
        }
        found.sort();
        let expected = [(0, vec![1, 2]), (1, vec![1, 2, 3]), (2, vec![4]), (4, vec![1, 2])];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_step_takes_the_likeliest_tokens_that_are_allowed() {
        let titles: [&[u32]; 3] = [&[0, 1], &[0, 2], &[3]];
        let trie = Trie::new((0..).map(ItemId).zip(titles));
        let ln = |p: [f32; 4]| p.map(f32::ln);
        let first = ln([0.5, 0.2, 0.1, 0.2]);
        let take = |beginnings: &[(usize, f32)], rows: &[&[f32]], most| {
            trie.steps(beginnings.iter().copied(), &mut rows.iter().copied(), |_| true, most)
        };
        let steps = take(&[(Trie::ROOT, 0.0)], &[&first], 5);
        assert_eq!(steps.iter().map(|step| step.token).collect::<Vec<_>>(), [0, 3]);
        assert!((steps[0].score - 0.5_f32.ln()).abs() < 1e-6);
        let second = ln([0.1, 0.3, 0.4, 0.2]);
        let next = take(&[(steps[0].node, steps[0].score)], &[&second], 1);
        assert_eq!((next.len(), next[0].from, next[0].token), (1, 0, 2));
        assert!((next[0].score - 0.2_f32.ln()).abs() < 1e-6);
        let only = |node: usize| trie.items(node) == [ItemId(2)];
        let rows = [&first[..]];
        let beginnings = [(Trie::ROOT, 0.0)].into_iter();
        let allowed = trie.steps(beginnings, &mut rows.into_iter(), only, 5);
        assert_eq!(allowed.iter().map(|step| step.token).collect::<Vec<_>>(), [3]);
    }
}
