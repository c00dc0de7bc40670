//! The one training loop.

mod event;
mod settings;

pub use event::{Event, Observer, Silent};
pub use settings::{Decay, Training};
