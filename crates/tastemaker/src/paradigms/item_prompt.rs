//! Hard prompts of items.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

/// A hard prompt for a model whose only words are items: which of the history it is shown, and
/// how. The default shows the history as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ItemPrompt {
    /// Only this many of the last items are shown; 0 is all.
    pub last: usize,
    /// This many of the last items are said once more at the end: the "recency-focused" prompt of
    /// `LLMRank` (Hou et al. 2024).
    pub repeat: usize,
}

impl ItemPrompt {
    /// The history as the model is shown it.
    pub fn render(self, history: &[ItemId]) -> Vec<u32> {
        let end = |n: usize| history.len().saturating_sub(n);
        let shown = if self.last == 0 { history } else { &history[end(self.last)..] };
        let again = &history[end(self.repeat)..];
        shown.iter().chain(again).map(|item| item.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_shows_the_end_and_says_it_again() {
        let history = [3, 1, 4, 1, 5].map(ItemId);
        let render = |last, repeat| ItemPrompt { last, repeat }.render(&history);
        assert_eq!(render(0, 0), [3, 1, 4, 1, 5]);
        assert_eq!(render(2, 0), [1, 5]);
        assert_eq!(render(0, 2), [3, 1, 4, 1, 5, 1, 5]);
        assert_eq!(render(9, 9), [3, 1, 4, 1, 5, 3, 1, 4, 1, 5]);
    }
}
