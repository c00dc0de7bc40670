//! The tests of this crate that need more than one module.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// What an audit is of, and of what not.
mod auditing;
// Real titles stay when they are cleaned.
mod cleaning;
// The controls against numpy and bm25s.
mod controls;
// Items known by their attributes, here and elsewhere.
mod features;
// What checks find where it is, and nothing where it is not.
mod hygiene;
// Items known by what a sentence encoder reads of their texts.
mod item_texts;
// Losses by their formulas; eight sequences by heart.
mod objectives;
// What a paradigm trains and what it leaves alone.
mod paradigms;
// Training that bounds what it gives away of a user.
mod privacy;
// Every file in recipes/ runs.
mod recipes;
// Settings that cannot be, or do nothing, and data that lacks something.
mod refusals;
// Settings that are searched for.
mod searching;
// Shards of users, and users who are unlearnt.
mod sharded;
// Study files: resolved, refused, written back.
mod studies;
// Where pre-trained models are, as for the crate below.
#[path = "../../../tastemaker-nn/tests/it/models.rs"]
mod models;
// An endpoint, as for the crate that asks it.
#[path = "../../../tastemaker-endpoint/tests/it/server.rs"]
mod server;
// Real data, as for the crate of the nouns.
#[path = "../../../tastemaker-core/tests/it/support.rs"]
#[expect(dead_code, reason = "not all of it is used here")]
mod support;
// A T5 that is told of a user.
mod t5;
// Pre-trained models over text.
mod text;
// Questions and answers in words.
mod text_to_text;
// Items that are written token by token.
mod tokenisations;
// Objectives learn; training resumes and repeats to the byte.
mod training;
// Language models over text learn what comes next.
mod tuning;
// What is left of a run without some users.
mod unlearning;
