//! Which study, and how much of it.

use std::path::PathBuf;

use anyhow::Context;
use tastemaker::study::{self, Study};

use super::data::Input;

/// The arms of a study that is not written down: the usual language model beside a control.
const USUAL: [&str; 2] = ["most-popular", "language-model"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// The study file; without one, --data is trained on with the usual settings
    pub(crate) study: Option<PathBuf>,
    /// Data to use instead of the study's: a file, a folder, `demo` or `synthetic`
    #[arg(long, value_name = "DATA")]
    pub(super) data: Option<String>,
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) chosen: Chosen,
    /// Where the folders of the runs are
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
}

/// What of a study.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Chosen {
    /// Take this regime of the study instead of all; can be given several times
    #[arg(long, value_name = "NAME")]
    regime: Vec<String>,
    /// Take this recommender instead of the study's arms; can be given several times
    #[arg(long, value_name = "NAME")]
    recommender: Vec<String>,
    /// Use this seed instead of the study's; can be given several times
    #[arg(long, value_name = "N")]
    seed: Vec<u64>,
    /// Change a setting of the study, for example arm.language-model.recommender.language-model.training.epochs=5
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Selection {
    /// The study, or one for each of its regimes.
    pub(crate) fn resolve(&self) -> anyhow::Result<Vec<Study>> {
        let text = match &self.study {
            Some(path) => fs_err::read_to_string(path)?,
            None => {
                let data = self.data.as_deref().context(
                    "nothing says what to train on; give a study file or --data (for example --data demo)",
                )?;
                written(data, &self.chosen.recommender)
            }
        };
        let usual = "the usual study".to_owned();
        let file = self.study.as_ref().map_or(usual, |path| path.display().to_string());
        let Chosen { regime, set, .. } = &self.chosen;
        let mut studies = study::parse_all(&file, &text, set)?;
        if !regime.is_empty() {
            let known: Vec<String> =
                studies.iter().filter_map(|study| study.study.regime.clone()).collect();
            known_all("regime", regime, &known)?;
            studies.retain(|study| {
                study.study.regime.as_ref().is_some_and(|known| regime.contains(known))
            });
        }
        for study in &mut studies {
            self.change(study)?;
            study
                .fetch_models(|hub| tracing::info!("{} is fetched from {}", hub.model, hub.url))?;
        }
        Ok(studies)
    }

    fn change(&self, study: &mut Study) -> anyhow::Result<()> {
        for note in &study.notes {
            tracing::warn!("note: {note}");
        }
        if let Some(data) = &self.data {
            study.dataset = self.input.source(data)?;
        }
        if self.input.changes_preparation() {
            study.prepare = self.input.prepare(study.prepare.clone());
        }
        let Chosen { recommender, seed, .. } = &self.chosen;
        if !seed.is_empty() {
            study.study.seeds.clone_from(seed);
        }
        if self.study.is_some() && !recommender.is_empty() {
            let known: Vec<String> = study.arm.iter().map(|arm| arm.name.clone()).collect();
            known_all("arm", recommender, &known)?;
            study.arm.retain(|arm| recommender.contains(&arm.name));
            if study.arm.iter().all(|arm| arm.space.is_empty()) {
                study.search = None;
            }
        }
        Ok(())
    }
}

/// Fails if one of `wanted` is not among `known`.
fn known_all(kind: &'static str, wanted: &[String], known: &[String]) -> anyhow::Result<()> {
    match wanted.iter().find(|wanted| !known.contains(wanted)) {
        Some(wanted) => {
            let known = known.iter().map(String::as_str);
            Err(tastemaker::core::Error::unknown(kind, wanted, known).into())
        }
        None => Ok(()),
    }
}

/// The study that a command line without a study file stands for.
fn written(data: &str, recommenders: &[String]) -> String {
    let name: String = std::path::Path::new(data)
        .file_stem()
        .map_or_else(|| data.to_owned(), |stem| stem.to_string_lossy().into_owned())
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let usual = || USUAL.map(str::to_owned).to_vec();
    let recommenders = if recommenders.is_empty() { usual() } else { recommenders.to_vec() };
    let arms: String = recommenders
        .iter()
        .map(|name| format!("[[arm]]\nname = {name:?}\nrecommender = {{ {name} = {{}} }}\n"))
        .collect();
    // The source is put in afterwards, once the data has been looked at.
    format!("[study]\nname = {name:?}\nseeds = [1]\n[dataset.demo]\n{arms}")
}
