//! The tests of this crate that need more than one module.

// Metrics against ranx, over lists with ties.
mod golden;
// Generated texts against sacrebleu, rouge-score, nltk and torchmetrics.
mod generation;
// Ratings and clicks against scikit-learn and torchmetrics.
mod predictions;
// What is true of every metric, whatever the lists.
mod properties;
// Comparisons against scipy.
mod significance;
// Embeddings against bert_score, scikit-learn and RecTools.
mod similarity;
