//! The tests of the program and of the workspace as a whole.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// Layers, licences, tables, sizes: what the architecture promises.
mod architecture;
// Audits of what is no run, and what people say.
mod auditing;
// Where pre-trained models are, as for the crate that reads them.
#[path = "../../../tastemaker-nn/tests/it/models.rs"]
mod models;
// Lists, answers and losses from and for other tools.
mod exchange;
// The program as its users run it.
mod program;
// The real data: counts that are known, numbers that were published.
mod real_data;
// Models over text, and the hubs that have them.
mod texts;
// A server that says what it is told to, as for the crate that asks it.
#[path = "../../../tastemaker-endpoint/tests/it/server.rs"]
mod server;
