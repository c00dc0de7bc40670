//! Tokens, texts and items by embeddings that a caller brings: this crate knows no model.
//!
//! Embeddings that are compared are of one length. The cosine with one of zeros is 0.

use crate::metrics::mean_of;

/// An embedding of each token, or item.
pub type Embeddings<'a> = &'a [&'a [f32]];

/// How near the tokens of generated texts are to those of the right ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenSimilarity {
    /// How near the generated tokens are to a right one.
    pub precision: f64,
    /// How near the right tokens are to a generated one.
    pub recall: f64,
    /// The harmonic mean of both, text by text.
    pub f1: f64,
}

/// The similarity of `BERTScore` without weights of tokens and without rescaling, the means over pairs of
/// a generated text and the right one; from −1 to 1, larger is better.
///
/// # Formula
/// P = 1/|x̂| Σ maxᵢ cos(xᵢ, x̂ⱼ) over the generated tokens x̂ⱼ, R = 1/|x| Σ maxⱼ cos(xᵢ, x̂ⱼ) over the
/// right ones xᵢ, F₁ = 2 P R / (P + R); all 0 where a text has no token, and F₁ where P + R is.
///
/// # When not to use it
/// Between models: name the one that the embeddings are of, and its layer. F₁ has no bounds where P or R
/// is below 0.
///
/// # References
/// Zhang et al. 2020; `bert_score` with `idf=False` and no baseline, which gives the tokens that begin and
/// end a text no weight: leave them out.
pub fn token_similarity(pairs: &[(Embeddings<'_>, Embeddings<'_>)]) -> TokenSimilarity {
    let (mut precision, mut recall, mut f1) = (0.0, 0.0, 0.0);
    for (own, other) in pairs {
        let (p, r) = (nearest(own, other), nearest(other, own));
        (precision, recall) = (precision + p, recall + r);
        f1 += if p + r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) };
    }
    let n = pairs.len().max(1) as f64;
    TokenSimilarity { precision: precision / n, recall: recall / n, f1: f1 / n }
}

/// The mean cosine of the embeddings of generated texts with those of the right ones, from −1 to 1; larger
/// is better.
///
/// # References
/// `cosine_similarity` of scikit-learn, of each pair.
pub fn text_similarity(pairs: &[(&[f32], &[f32])]) -> f64 {
    mean_of(pairs.iter().map(|(own, other)| cosine(own, other)))
}

/// How different the items of a list are by their embeddings, from 0 to 2; larger is more varied.
///
/// # Formula
/// The mean over pairs of items of 1 − their cosine; 0 for fewer than two items.
///
/// # References
/// Intra-list diversity (Ziegler et al. 2005); `IntraListDiversity` of `RecTools` with this distance. By
/// categories it is the metric `diversity`.
pub fn list_diversity(items: Embeddings<'_>) -> f64 {
    let pairs = (1..items.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    mean_of(pairs.map(|(i, j)| 1.0 - cosine(items[i], items[j])))
}

/// The mean over `own` of the cosine with the nearest of `other`; 0 where there is none.
fn nearest(own: Embeddings<'_>, other: Embeddings<'_>) -> f64 {
    let of = |own: &&[f32]| other.iter().map(|other| cosine(own, other)).reduce(f64::max);
    mean_of(own.iter().filter_map(of))
}

/// The cosine between two vectors; 0 where one is zeros.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let (mut product, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (product, of_a, of_b) = (product + a * b, of_a + a * a, of_b + b * b);
    }
    let lengths = (of_a * of_b).sqrt();
    if lengths > 0.0 { product / lengths } else { 0.0 }
}
