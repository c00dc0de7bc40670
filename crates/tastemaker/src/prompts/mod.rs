//! Prompts: what a language model over text is told of a user.

mod chat;
mod prompter;
mod soft;
mod template;

pub use chat::Chat;
pub(crate) use prompter::usual_model;
pub use prompter::{Prompter, Prompting, Shown};
pub use template::{Template, Told};
pub(crate) use template::{of_item, of_user};

/// The templates that can be named, each a file in `prompts/`, which says whose it is.
pub const SHIPPED: [(&str, &str); 18] = [
    ("chosen-as-data", include_str!("../../prompts/chosen-as-data.jinja")),
    ("chosen-in-order", include_str!("../../prompts/chosen-in-order.jinja")),
    ("conversational", include_str!("../../prompts/conversational.jinja")),
    ("explanation", include_str!("../../prompts/explanation.jinja")),
    ("few-shot", include_str!("../../prompts/few-shot.jinja")),
    ("llmrank-as-data", include_str!("../../prompts/llmrank-as-data.jinja")),
    ("llmrank-in-context", include_str!("../../prompts/llmrank-in-context.jinja")),
    ("llmrank-recency", include_str!("../../prompts/llmrank-recency.jinja")),
    ("llmrank-sequential", include_str!("../../prompts/llmrank-sequential.jinja")),
    ("p5-direct", include_str!("../../prompts/p5-direct.jinja")),
    ("p5-rating", include_str!("../../prompts/p5-rating.jinja")),
    ("p5-sequential", include_str!("../../prompts/p5-sequential.jinja")),
    ("prompt4nr-action", include_str!("../../prompts/prompt4nr-action.jinja")),
    ("prompt4nr-continuous", include_str!("../../prompts/prompt4nr-continuous.jinja")),
    ("prompt4nr-hybrid", include_str!("../../prompts/prompt4nr-hybrid.jinja")),
    ("prompt4nr-utility", include_str!("../../prompts/prompt4nr-utility.jinja")),
    ("tallrec", include_str!("../../prompts/tallrec.jinja")),
    ("tallrec-rated", include_str!("../../prompts/tallrec-rated.jinja")),
];
