//! The one training loop.

mod accountant;
mod asked;
mod batches;
mod cost;
mod event;
mod facts;
mod noisy;
mod privacy;
mod profiles;
mod resume;
mod schedule;
mod settings;
mod trainer;
mod views;
mod windows;

pub use asked::{Asked, at};
pub use batches::{Batch, BatchBuilder, BatchSize, pack};
pub use cost::{Cost, Meter, StageCost, WATTS_A_CORE, WATTS_A_GIBIBYTE};
pub use event::{Event, ObjectiveLoss, Observer, Silent};
pub use facts::{
    Categories, Facts, category_attributes, feature_attributes, unexchangeable, ungroupable,
    unknown_attribute,
};
pub use privacy::{Privacy, Spent};
pub use profiles::{Profiles, profile_attributes};
pub use resume::remove as remove_checkpoint;
pub use schedule::Schedule;
pub use settings::{Decay, Training};
pub use trainer::{Outcome, Question, Trainer};
pub use views::{numbers as view_numbers, sixteenth};
pub use windows::{Window, Windows};
