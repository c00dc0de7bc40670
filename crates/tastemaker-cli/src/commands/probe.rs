//! `tastemaker probe`: whether a pre-trained language model knows the data by heart.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::memorisation::{MemorisationProbe, Memorised, Share};

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run of a text-language-model, or of what reads a sentence encoder's embeddings
    run: PathBuf,
    /// Items whose titles are asked for by their ids
    #[arg(long, default_value_t = MemorisationProbe::default().items)]
    items: usize,
    /// Lines of other items that are shown before
    #[arg(long, default_value_t = MemorisationProbe::default().examples)]
    examples: usize,
    /// Titles of others with which the likelihood of each is compared
    #[arg(long, default_value_t = MemorisationProbe::default().others)]
    others: usize,
    /// What stands between id and title in the data's public files
    #[arg(long, default_value_t = MemorisationProbe::default().separator)]
    separator: String,
}

/// Asks, and says what was found.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let probe = MemorisationProbe {
        items: arguments.items,
        examples: arguments.examples,
        others: arguments.others,
        separator: arguments.separator.clone(),
    };
    let found = tastemaker::probe(&arguments.run, &probe)?;
    output::write(global.format, &found, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(found: &Memorised) -> String {
    let percent = |Share { share, interval: [from, to] }: Share| {
        format!("{:.1} % (95 %: {:.1} to {:.1})", 100.0 * share, 100.0 * from, 100.0 * to)
    };
    let Memorised { items, exact, association, prompt, answer, title, .. } = found;
    let how = if exact.is_some() { "likelier" } else { "nearer" };
    let association = association.map_or_else(
        || "its probabilities are not told".to_owned(),
        |share| format!("{how} than another's title: {}; 50 is chance", percent(share)),
    );
    let (written, answer) = match exact {
        Some(exact) => {
            (format!("own title written: {}\n", percent(*exact)), format!("The answer: {answer}\n"))
        }
        None => (String::new(), String::new()),
    };
    format!(
        "{items} items, asked for by their ids\n{written}own title {association}\n\n\
         The first prompt:\n{prompt}\n{answer}The title: {title}"
    )
}
