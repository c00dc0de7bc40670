//! The one training loop.

mod batches;
mod event;
mod resume;
mod settings;
mod trainer;

pub use batches::{Batch, BatchBuilder, BatchSize, Windows, pack};
pub use event::{Event, Observer, Silent};
pub use settings::{Decay, Training};
pub use trainer::{Outcome, Trainer};
