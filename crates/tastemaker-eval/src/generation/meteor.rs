//! METEOR.

use super::{Pair, porter, words_13a};
use crate::metrics::mean_of;

/// How much precision counts in the mean of precision and recall.
const ALPHA: f64 = 0.9;

/// METEOR without synonyms, the mean over pairs, from 0 to 1; larger is better.
///
/// # Formula
/// `(1 − ½ (c/m)³) · P R / (0.9 P + 0.1 R)` with m words that are matched, as shares P of the generated
/// and R of the right ones, in c runs that stand alike in both texts; 0 where none is. First words that
/// are equal are matched, then those left whose stems by Porter are, each time from the last generated
/// word to the first, with the last right one that is left. Words are those of [`super::bleu`] in lower
/// case.
///
/// # When not to use it
/// Beside values with synonyms: that stage asks `WordNet`, and is left out here. Stems are English.
///
/// # References
/// Lavie and Agarwal 2007; `meteor_score` of nltk with its usual stemmer and a `WordNet` of no words.
pub fn meteor(pairs: &[Pair<'_>]) -> f64 {
    let words = |text: &str| words_13a(&text.to_lowercase());
    mean_of(pairs.iter().map(|(text, reference)| of_words(&words(text), &words(reference))))
}

fn of_words(own: &[String], other: &[String]) -> f64 {
    let stems = |words: &[String]| words.iter().map(|word| porter::stem(word)).collect::<Vec<_>>();
    // For each generated word the place of the right one it is matched with.
    let (mut places, mut taken) = (vec![None; own.len()], vec![false; other.len()]);
    match_equal((own, other), &mut places, &mut taken);
    match_equal((&stems(own), &stems(other)), &mut places, &mut taken);
    let matched = places.iter().flatten().count() as f64;
    if matched == 0.0 {
        return 0.0;
    }
    let goes_on = |pair: &&[Option<usize>]| pair[0].is_some_and(|at| pair[1] == Some(at + 1));
    let runs = matched - places.windows(2).filter(goes_on).count() as f64;
    let (precision, recall) = (matched / own.len() as f64, matched / other.len() as f64);
    let both = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
    (1.0 - 0.5 * (runs / matched).powi(3)) * both
}

/// Matches each word that is left with the last equal one that is.
fn match_equal(
    (own, other): (&[String], &[String]),
    places: &mut [Option<usize>],
    taken: &mut [bool],
) {
    for (word, place) in own.iter().zip(places).rev().filter(|(_, place)| place.is_none()) {
        *place = (0..other.len()).rev().find(|&at| !taken[at] && other[at] == *word);
        if let Some(at) = *place {
            taken[at] = true;
        }
    }
}
