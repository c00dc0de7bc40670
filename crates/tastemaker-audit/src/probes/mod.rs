//! How signs are measured: functions of lists, scores and recommenders, each with its formula.

pub mod agreement;
pub mod attribute_inference;
pub mod claims;
pub mod confidence;
pub mod exposure;
pub mod feedback_loop;
pub mod groups;
pub mod membership;
pub mod planted_text;
pub mod sensitivity;
