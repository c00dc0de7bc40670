//! Sequences of tokens that may be written.

use std::collections::BTreeMap;

use tastemaker_core::ItemId;

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
    pub(crate) const ROOT: usize = 0;

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
    pub(crate) fn next(&self, node: usize) -> impl Iterator<Item = (u32, usize)> {
        self.nodes[node].next.iter().map(|(&token, &next)| (token, next))
    }

    /// The items whose title ends here.
    pub(crate) fn items(&self, node: usize) -> &[ItemId] {
        &self.nodes[node].items
    }
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
}
