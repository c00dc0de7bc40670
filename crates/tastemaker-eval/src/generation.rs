//! Generated texts against what people wrote, and by themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::{mean_of, total};

mod meteor;
mod porter;

pub use meteor::meteor;

/// The longest n-grams of [`bleu`].
const BLEU_ORDER: usize = 4;

/// The longest n-grams of [`chrf`].
const CHRF_ORDER: usize = 6;

/// How many times as much recall counts as precision in [`chrf`].
const CHRF_BETA: f64 = 2.0;

/// A pair of a generated text and the right one.
pub type Pair<'a> = (&'a str, &'a str);

/// BLEU of all pairs together, from 0 to 100.
///
/// # Formula
/// `b · exp( ¼ Σₙ ln pₙ )` for n from 1 to 4, with `pₙ` the share of the generated n-grams that are right
/// ones, each counted as often as it is right at most; where none is, half as much as one for the first
/// such n, a quarter for the next, and so on. b = 1 where no fewer words were generated, else
/// exp(1 − right / generated words). 0 where no word is right.
///
/// # When not to use it
/// For single sentences. It is not the mean of sentences' values, nor that of one n alone.
///
/// # References
/// Papineni et al. 2002; `sacrebleu` with `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp` (Post 2018).
pub fn bleu(pairs: &[Pair<'_>]) -> f64 {
    let (mut right, mut all) = ([0_usize; BLEU_ORDER], [0_usize; BLEU_ORDER]);
    let (mut generated, mut wanted) = (0, 0);
    for (text, reference) in pairs {
        let (text, reference) = (words_13a(text), words_13a(reference));
        (generated, wanted) = (generated + text.len(), wanted + reference.len());
        for n in 1..=BLEU_ORDER {
            let (own, other) = (counts(&text, n), counts(&reference, n));
            right[n - 1] += common(&own, &other);
            all[n - 1] += own.values().sum::<usize>();
        }
    }
    if right.iter().all(|n| *n == 0) {
        return 0.0;
    }
    let (mut sum, mut smooth) = (0.0, 1.0);
    for (right, all) in right.into_iter().zip(all) {
        if all == 0 {
            // So long a text was never written.
            return 0.0;
        }
        let share = if right > 0 {
            right as f64 / all as f64
        } else {
            smooth *= 2.0;
            1.0 / (smooth * all as f64)
        };
        sum += share.ln();
    }
    let brevity =
        if generated < wanted { (1.0 - wanted as f64 / generated as f64).exp() } else { 1.0 };
    100.0 * brevity * (sum / BLEU_ORDER as f64).exp()
}

/// ROUGE-n, the mean of F₁ over pairs, from 0 to 1.
///
/// # Formula
/// F₁ of the common n-grams' share of the generated and of the right ones; words are runs of letters
/// and digits of ASCII in lower case, not stemmed. 0 where a text has no n-gram.
///
/// # References
/// Lin 2004; `rouge_score` with `use_stemmer=False`.
pub fn rouge_n(pairs: &[Pair<'_>], n: usize) -> f64 {
    mean_of(pairs.iter().map(|(text, reference)| {
        let (text, reference) = (plain_words(text), plain_words(reference));
        let (own, other) = (counts(&text, n), counts(&reference, n));
        f1(common(&own, &other), own.values().sum(), other.values().sum())
    }))
}

/// ROUGE-L, the mean of F₁ over pairs, from 0 to 1.
///
/// # Formula
/// As [`rouge_n`], of the words of the longest common subsequence.
///
/// # References
/// Lin 2004; `rougeL` of `rouge_score`.
pub fn rouge_l(pairs: &[Pair<'_>]) -> f64 {
    mean_of(pairs.iter().map(|(text, reference)| {
        let (own, other) = (plain_words(text), plain_words(reference));
        f1(longest_common(&own, &other), own.len(), other.len())
    }))
}

/// chrF of all pairs together, from 0 to 100.
///
/// # Formula
/// F₂ of the means, over n from 1 to 6, of the common character n-grams' shares of the generated and of
/// the right ones, spaces left out; generated ones do not count where the right text is too short to have
/// any, and orders of which either has none are left out.
///
/// # References
/// Popović 2015; `sacrebleu` with `nc:6|nw:0|space:no`.
pub fn chrf(pairs: &[Pair<'_>]) -> f64 {
    let mut sums = [(0, 0, 0); CHRF_ORDER];
    for (text, reference) in pairs {
        let letters = |text: &str| -> Vec<String> {
            text.chars().filter(|c| !c.is_whitespace()).map(String::from).collect()
        };
        let (text, reference) = (letters(text), letters(reference));
        for (n, (right, own, other)) in (1..).zip(&mut sums) {
            let (of_text, of_reference) = (counts(&text, n), counts(&reference, n));
            *right += common(&of_text, &of_reference);
            if !of_reference.is_empty() {
                *own += of_text.values().sum::<usize>();
            }
            *other += of_reference.values().sum::<usize>();
        }
    }
    let there = sums.iter().filter(|(_, own, other)| *own > 0 && *other > 0);
    let orders = there.clone().count().max(1) as f64;
    let (mut precision, mut recall) = (0.0, 0.0);
    for (right, own, other) in there {
        precision += *right as f64 / *own as f64 / orders;
        recall += *right as f64 / *other as f64 / orders;
    }
    let factor = CHRF_BETA.powi(2);
    let below = factor * precision + recall;
    if below > 0.0 { 100.0 * (1.0 + factor) * precision * recall / below } else { 0.0 }
}

/// Distinct-n: different n-grams of words over all of them, from 0 to 1; larger is more varied.
///
/// # When not to use it
/// To compare numbers of texts: it falls with them. Others divide by the number of texts.
///
/// # References
/// Li et al. 2016.
pub fn distinct(texts: &[&str], n: usize) -> f64 {
    let (mut different, mut all) = (BTreeSet::new(), 0);
    for text in texts {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        for gram in words.windows(n) {
            all += 1;
            different.insert(gram.to_vec());
        }
    }
    different.len() as f64 / f64::from(all.max(1))
}

/// USR: different texts over all of them, from 0 to 1; larger is more varied.
///
/// # References
/// Li, Zhang and Chen 2021, PETER.
pub fn unique_sentence_ratio(texts: &[&str]) -> f64 {
    let different: BTreeSet<Vec<&str>> =
        texts.iter().map(|text| text.split_whitespace().collect()).collect();
    different.len() as f64 / texts.len().max(1) as f64
}

/// FCR: features that any text speaks of over all of them, from 0 to 1; larger is more varied.
///
/// # Formula
/// `|F₁ ∪ … ∪ Fₙ| / |F|`, with Fᵢ the features that are words of text i. Words stand between spaces, and
/// are compared as they are written: put marks apart and letters in lower case before.
///
/// # References
/// Li, Zhang and Chen 2021, PETER.
pub fn feature_coverage(texts: &[&str], features: &BTreeSet<&str>) -> f64 {
    let all: BTreeSet<&str> = texts.iter().flat_map(|text| spoken_of(text, features)).collect();
    all.len() as f64 / features.len().max(1) as f64
}

/// FMR: texts that speak of the feature they should over all of them, from 0 to 1; larger is better.
/// Pairs are of a text and its feature.
///
/// # When not to use it
/// Where the model was told the feature, as PETER+ is. Words are those of [`feature_coverage`].
///
/// # References
/// Li, Zhang and Chen 2021, PETER.
pub fn feature_matching(pairs: &[Pair<'_>]) -> f64 {
    let speaks = |(text, feature): &Pair<'_>| text.split_whitespace().any(|word| word == *feature);
    pairs.iter().filter(|pair| speaks(pair)).count() as f64 / pairs.len().max(1) as f64
}

/// DIV: features in common, from 0; smaller is more varied.
///
/// # Formula
/// The mean over pairs of texts of `|Fᵢ ∩ Fⱼ|`, with F as for [`feature_coverage`]; 0 for fewer than two
/// texts.
///
/// # When not to use it
/// Alone: texts that speak of no feature have nothing in common.
///
/// # References
/// Li, Zhang and Chen 2021, PETER.
pub fn feature_diversity(texts: &[&str], features: &BTreeSet<&str>) -> f64 {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for feature in texts.iter().flat_map(|text| spoken_of(text, features)) {
        *counts.entry(feature).or_default() += 1;
    }
    let pairs = |n: usize| n * n.saturating_sub(1) / 2;
    let common: usize = counts.into_values().map(pairs).sum();
    common as f64 / pairs(texts.len()).max(1) as f64
}

/// Perplexity, from 1; smaller is better. `None` of no token.
///
/// # Formula
/// `exp( 1/n Σ lᵢ )` over the tokens, with l the negative logarithm of a token's probability, in nats.
///
/// # When not to use it
/// Between tokenizers: [`bits_per_byte`] can be compared.
///
/// # References
/// Jelinek et al. 1977.
pub fn perplexity(losses: &[f64]) -> Option<f64> {
    (!losses.is_empty()).then(|| mean_of(losses.iter().copied()).exp())
}

/// Bits per byte of the text that the tokens are of, from 0; smaller is better. `None` of no byte.
///
/// # Formula
/// `Σ lᵢ / (b ln 2)` over the tokens, with l as for [`perplexity`] and b the bytes of the text in UTF-8.
///
/// # References
/// Gao et al. 2020, The Pile.
pub fn bits_per_byte(losses: &[f64], bytes: usize) -> Option<f64> {
    let sum = total(losses.iter().copied());
    (bytes > 0).then(|| sum / (bytes as f64 * std::f64::consts::LN_2))
}

/// The features that are words of `text`, each once.
fn spoken_of<'a>(text: &'a str, features: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    text.split_whitespace().filter(|word| features.contains(word)).collect()
}

fn f1(right: usize, own: usize, other: usize) -> f64 {
    if right == 0 { 0.0 } else { 2.0 * right as f64 / (own + other) as f64 }
}

/// How often each n-gram stands there.
fn counts(words: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

/// N-grams in common, each as often as in the one that has fewer.
fn common(own: &BTreeMap<&[String], usize>, other: &BTreeMap<&[String], usize>) -> usize {
    own.iter().map(|(gram, n)| *n.min(other.get(gram).unwrap_or(&0))).sum()
}

fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut before = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { before + 1 } else { above.max(row[j]) };
            before = above;
        }
    }
    row[b.len()]
}

/// Runs of letters and digits of ASCII, in lower case.
fn plain_words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The words of mteval-v13a: marks are words of their own, but full stops and commas between digits.
fn words_13a(text: &str) -> Vec<String> {
    let text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    let mark =
        |c: char| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let mut apart = String::from(" ");
    for c in text.chars() {
        if mark(c) {
            apart.extend([' ', c, ' ']);
        } else {
            apart.push(c);
        }
    }
    apart.push(' ');
    let stop = |c: char| c == '.' || c == ',';
    let digit = |c: char| c.is_ascii_digit();
    let apart = pairs(&apart, |a, b| !digit(a) && stop(b), |a, b| format!("{a} {b} "));
    let apart = pairs(&apart, |a, b| stop(a) && !digit(b), |a, b| format!(" {a} {b}"));
    let apart = pairs(&apart, |a, b| digit(a) && b == '-', |a, b| format!("{a} {b} "));
    apart.split_whitespace().map(str::to_owned).collect()
}

/// Writes neighbours that are `wanted` as `written` says; none is part of two.
fn pairs(
    text: &str,
    wanted: impl Fn(char, char) -> bool,
    written: impl Fn(char, char) -> String,
) -> String {
    let letters: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (String::with_capacity(text.len()), 0);
    while i < letters.len() {
        match letters.get(i + 1) {
            Some(&next) if wanted(letters[i], next) => {
                out.push_str(&written(letters[i], next));
                i += 2;
            }
            _ => {
                out.push(letters[i]);
                i += 1;
            }
        }
    }
    out
}
