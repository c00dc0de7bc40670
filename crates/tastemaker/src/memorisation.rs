//! Whether a pre-trained language model knows a public data set by heart.

use std::path::Path;

use rand::seq::index;
use serde::Serialize;
use tastemaker_core::catalog::words;
use tastemaker_core::{Dataset, ItemId, SeedTree};
use tastemaker_eval::similarity;
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::TextEncoder;

use crate::error::setting;
use crate::recommenders::{FitContext, check};
use crate::verbalizers::Reader;
use crate::{Error, Result};

/// Asks a model for the titles of items by the ids that they have in a data set's files.
///
/// # What it does
/// Shows the model lines `id, separator, title` of some items, and then the id of another. A model
/// that has read the files often can go on with that item's title; one that has not cannot know
/// which title belongs to which number. Two things are measured:
///
/// * `exact`: the share of items whose title the model writes, word by word;
/// * `association`: how often the item's own title is likelier (per token) than another item's, where
///   ½ is chance. It finds what is known too weakly to be written.
///
/// An encoder writes nothing: it is shown the id and the separator alone, and titles are compared by the
/// cosine of their embeddings to that.
///
/// # When not to use it
/// As proof that nothing is known: a model can know a data set without its ids (what people met
/// together, say). A data set whose ids were made by others, or permuted, shows nothing.
///
/// # References
/// Di Palma et al. 2025, *Do LLMs memorize recommendation datasets?*, for exact titles after ids;
/// the comparison with other titles is the probability of superiority (the area under a ROC curve).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorisationProbe {
    /// Items that are asked for.
    pub items: usize,
    /// Lines that are shown before.
    pub examples: usize,
    /// Titles of others that each is compared with.
    pub others: usize,
    /// What stands between id and title in the files.
    pub separator: String,
}

impl Default for MemorisationProbe {
    fn default() -> Self {
        Self { items: 100, examples: 5, others: 19, separator: "|".to_owned() }
    }
}

/// What a [`MemorisationProbe`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memorised {
    /// Items that were asked for.
    pub items: usize,
    /// The share of them whose title was written, with its 95 % interval (Wilson's); not known of an encoder.
    pub exact: Option<Share>,
    /// The share of comparisons in which the own title was likelier or nearer, with its 95 % interval
    /// (normal, over items); not known of a model that tells no probabilities.
    pub association: Option<Share>,
    /// What was shown for the first item.
    pub prompt: String,
    /// What the model wrote there.
    pub answer: String,
    /// What would have been right.
    pub title: String,
    /// The title of each item, and what the model wrote.
    #[serde(skip)]
    pub written: Vec<(String, String)>,
}

/// A share, and between which values it is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// From 0 to 1.
    pub share: f64,
    /// The 95 % interval.
    pub interval: [f64; 2],
}

/// The quantile of the normal distribution for 95 % intervals.
const Z: f64 = 1.959_964;

/// The most tokens of a title that is written.
const MOST_TOKENS: usize = 48;

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A model that goes on with what it is shown.
    Writes(&'a Reader),
    /// One that embeds it.
    Encodes(&'a TextEncoder),
}

impl MemorisationProbe {
    /// What of the settings cannot be used.
    pub fn problems(&self) -> Vec<Error> {
        let counts = [
            check("items", self.items, 1..=1_000_000),
            check("examples", self.examples, 1..=1000),
            check("others", self.others, 1..=1000),
        ];
        let separator = || setting("separator", "empty", "what stands between id and title");
        let separator = self.separator.is_empty().then(separator);
        counts.into_iter().flatten().chain(separator).collect()
    }

    /// Asks `who` about the items of `data`; which ones follows from `seeds`.
    ///
    /// # Errors
    /// If a setting cannot be used or fewer items have titles than are needed.
    pub fn run(&self, who: Who<'_>, data: &Dataset, seeds: &SeedTree) -> Result<Memorised> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let titled: Vec<ItemId> =
            (0..).map(ItemId).take(data.n_items()).filter(|i| title(data, *i).is_some()).collect();
        let least = self.examples + self.others + 1;
        if titled.len() < least {
            let found = format!("{} items with titles", titled.len());
            return Err(setting("the data", found, format!("{least} or more")));
        }
        let mut rng = seeds.rng();
        let asked = index::sample(&mut rng, titled.len(), self.items.min(titled.len()));
        let (mut exact, mut likelier, mut first) = (0, Vec::new(), None);
        let (mut pairs, items) = (Vec::new(), asked.len());
        for at in asked {
            let item = titled[at];
            // The examples, then the others; one more is drawn in the place of the item itself.
            let drawn = index::sample(&mut rng, titled.len(), least);
            let drawn: Vec<ItemId> =
                drawn.into_iter().map(|i| titled[i]).filter(|i| *i != item).collect();
            let (examples, others) = drawn.split_at(self.examples);
            let others = &others[..self.others.min(others.len())];
            let shown = if matches!(who, Who::Encodes(_)) { &[] } else { examples };
            let prompt = self.prompt(data, item, shown);
            let own = title(data, item).unwrap_or_default();
            let others = others.iter().filter_map(|other| title(data, *other));
            let titles: Vec<&str> = std::iter::once(own).chain(others).collect();
            likelier.extend(who.scores(&prompt, &titles)?.and_then(|scores| won(&scores)));
            first.get_or_insert_with(|| (prompt.clone(), own.to_owned()));
            let Who::Writes(reader) = who else { continue };
            let answer = reader.complete(&prompt, MOST_TOKENS)?;
            let line = answer.lines().next().unwrap_or_default();
            // In some files, something else follows the title.
            let id = data.items.id(item.index()).unwrap_or_default();
            let line = line.strip_prefix(&format!("{id}{}", self.separator)).unwrap_or(line);
            let goes_on = line.find(&self.separator).filter(|_| !own.contains(&self.separator));
            let written = &line[..goes_on.unwrap_or(line.len())];
            exact += usize::from(words(written).eq(words(own)));
            pairs.push((own.to_owned(), line.to_owned()));
        }
        let (prompt, title) = first.unwrap_or_default();
        let answer = pairs.first().map(|(_, answer)| answer.clone()).unwrap_or_default();
        let association = (!likelier.is_empty()).then(|| mean(&likelier));
        let exact = (!pairs.is_empty()).then(|| wilson(exact, pairs.len()));
        Ok(Memorised { items, exact, association, prompt, answer, title, written: pairs })
    }

    /// Asks the encoder at `model` about the data that is learnt from.
    pub(crate) fn of_encoder(&self, model: &Path, context: &FitContext<'_>) -> Result<Memorised> {
        let encoder = TextEncoder::read(model, Precision::F32)?;
        self.run(Who::Encodes(&encoder), context.data, &context.seeds.child("memorisation"))
    }

    fn prompt(&self, data: &Dataset, item: ItemId, examples: &[ItemId]) -> String {
        let id = |item: ItemId| data.items.id(item.index()).unwrap_or_default();
        let line = |item: &ItemId| {
            format!("{}{}{}\n", id(*item), self.separator, title(data, *item).unwrap_or_default())
        };
        let lines: String = examples.iter().map(line).collect();
        format!("{lines}{}{}", id(item), self.separator)
    }
}

/// The title of an item, if there is a word in it.
fn title(data: &Dataset, item: ItemId) -> Option<&str> {
    data.catalog.title(item).filter(|title| words(title).next().is_some())
}

impl Who<'_> {
    /// How well each title goes with the prompt; `None` of a model that does not tell.
    fn scores(self, prompt: &str, titles: &[&str]) -> Result<Option<Vec<f64>>> {
        let encoder = match self {
            Self::Writes(reader) => {
                let scores = reader.likelihoods(prompt, titles)?;
                return Ok(scores.map(|all| all.into_iter().map(f64::from).collect()));
            }
            Self::Encodes(encoder) => encoder,
        };
        let all: Vec<&str> = std::iter::once(prompt).chain(titles.iter().copied()).collect();
        let embeddings = encoder.encode(&all)?;
        let mut rows = embeddings.chunks_exact(encoder.width());
        let Some(of_prompt) = rows.next() else { return Ok(None) };
        Ok(Some(rows.map(|row| similarity::cosine(of_prompt, row)).collect()))
    }
}

/// The share of the scores after the first that are below it; ties count half.
fn won(scores: &[f64]) -> Option<f64> {
    let (own, others) = scores.split_first()?;
    let won = |other: &f64| match own.partial_cmp(other) {
        Some(std::cmp::Ordering::Greater) => 1.0,
        Some(std::cmp::Ordering::Equal) => 0.5,
        _ => 0.0,
    };
    (!others.is_empty()).then(|| others.iter().map(won).sum::<f64>() / others.len() as f64)
}

/// `k` of `n`, with Wilson's interval (1927).
fn wilson(k: usize, n: usize) -> Share {
    let (k, n) = (k as f64, n as f64);
    let share = k / n;
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Share { share, interval: [(centre - half).max(0.0), (centre + half).min(1.0)] }
}

/// The mean, with the interval of its standard error.
fn mean(values: &[f64]) -> Share {
    let n = values.len() as f64;
    let share = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - share).powi(2)).sum();
    let half = Z * (squares / (n - 1.0).max(1.0) / n).sqrt();
    Share { share, interval: [(share - half).max(0.0), (share + half).min(1.0)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// statsmodels 0.15.0, `proportion_confint(5, 100, method="wilson")` and `(0, 20, …)`.
    #[test]
    fn intervals_are_those_of_statsmodels() {
        for (k, n, expected) in [(5, 100, [0.021_543_7, 0.111_750_5]), (0, 20, [0.0, 0.161_125])] {
            let found = wilson(k, n).interval;
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        }
        let Share { share, interval } = mean(&[0.2, 0.4, 0.9]);
        // numpy: std(ddof=1) = 0.360555.
        let half = 1.959_964 * 0.360_555 / 3.0_f64.sqrt();
        assert!((share - 0.5).abs() < 1e-12 && (interval[1] - 0.5 - half).abs() < 1e-5);
    }
}
