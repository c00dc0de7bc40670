//! Whether users who were learnt from can be told from those who were not.

/// The probability that a member has a larger score than one who is none.
///
/// # Formula
/// The share of pairs in which the member's is larger, those alike counting half. 0.5 is chance, 1 tells
/// all apart. Not a number where either has none.
///
/// # References
/// Mann and Whitney 1947; `roc_auc_score` of scikit-learn.
pub fn auc(members: &[f64], non_members: &[f64]) -> f64 {
    let all = members.iter().map(|&score| (score, true));
    let all: Vec<_> = all.chain(non_members.iter().map(|&score| (score, false))).collect();
    tastemaker_eval::predictions::auc(&all).unwrap_or(f64::NAN)
}

/// The largest share of members that is found where of the others no more than the share `most` is taken
/// for members.
///
/// # Formula
/// The largest true-positive rate of a threshold on scores whose false-positive rate is `most` or less.
/// From 0 to 1; chance is `most`. Not a number where either has none.
///
/// # References
/// Carlini et al. 2022, *Membership Inference Attacks From First Principles*, which asks for it since AUC
/// does not see a few users who are found with certainty; `roc_curve` of scikit-learn.
pub fn found_at(members: &[f64], non_members: &[f64], most: f64) -> f64 {
    if members.is_empty() || non_members.is_empty() {
        return f64::NAN;
    }
    let mut others = non_members.to_vec();
    others.sort_by(|a, b| b.total_cmp(a));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let may = (most * others.len() as f64 + 1e-9).floor() as usize;
    // Whoever is above the first that must not be taken for a member.
    let bar = others.get(may).copied().unwrap_or(f64::NEG_INFINITY);
    let found = members.iter().filter(|score| **score > bar).count();
    found as f64 / members.len() as f64
}
