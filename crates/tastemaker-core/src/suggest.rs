//! "Did you mean …?"

/// The candidate most like `written`, if one is like enough to be a slip of the keyboard.
///
/// ```
/// use tastemaker_core::suggest::did_you_mean;
/// assert_eq!(did_you_mean("ndgc", ["mrr", "ndcg"]), Some("ndcg"));
/// assert_eq!(did_you_mean("perplexity", ["mrr", "ndcg"]), None);
/// ```
pub fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&written, &candidate.to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "x"?`, or nothing, ready to end an error message.
pub fn hint<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(written, candidates)
        .map(|best| format!("; did you mean {best:?}?"))
        .unwrap_or_default()
}
