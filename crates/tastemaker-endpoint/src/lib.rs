//! Language models behind endpoints that speak the chat protocol of OpenAI: vLLM, Ollama, llama.cpp's
//! server, gateways, and OpenAI itself.
//!
//! A [`Client`] asks one thing after the other, again where that can help, no faster than it is
//! allowed to and no more than its budget has. What was asked and answered is kept in a file, and is
//! answered from it the next time: a study that is repeated costs nothing and gives the same.
//!
//! A [`Hub`] has models that can be fetched, which are then files as any others. A [`Tracker`] is told
//! about runs.

mod client;
mod error;
mod hub;
mod hub_name;
mod record;
mod settings;
mod tracker;

pub use client::{Answer, Client, Message, Spent};
pub use error::{Error, Result};
pub use hub::{Fetched, Hub};
pub use settings::{Budget, Endpoint};
pub use tracker::{Tracked, Tracker};
