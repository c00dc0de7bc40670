//! How a language model is made to recommend: what learns, from what, and through which prompt.

use serde::{Deserialize, Serialize};
use tastemaker_core::registry;
use tastemaker_nn::adapters::{AnyAdapter, ONE_OF_EACH};
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::parameters::Group;
use tastemaker_nn::transformer::PERMUTATION;

use crate::error::setting;

mod finetune_extra;
mod finetune_full;
mod finetune_partial;
mod fixed_prompt_tuning;
mod item_prompt;
mod learns;
mod pretrain;
mod prompt;
mod prompt_and_model_tuning;
mod prompt_free;
mod prompt_tuning;

pub use finetune_extra::FinetuneExtra;
pub use finetune_full::FinetuneFull;
pub use finetune_partial::FinetunePartial;
pub use fixed_prompt_tuning::FixedPromptTuning;
pub use item_prompt::ItemPrompt;
pub use learns::Learns;
pub use pretrain::Pretrain;
pub use prompt::Prompt;
pub use prompt_and_model_tuning::PromptAndModelTuning;
pub use prompt_free::PromptFree;
pub use prompt_tuning::PromptTuning;

/// The name of the stage before a model is adapted.
pub const PRETRAINING: &str = "pretraining";

/// The name of the stage in which codes of texts find the embeddings that were learnt elsewhere.
pub const PERMUTING: &str = "permutation";

/// Answers with a plan, which the one trainer carries out.
pub trait Paradigm {
    /// What is learnt, one stage after the other, on a backbone of this shape.
    fn plan(&self, shape: Shape) -> TrainPlan;

    /// What stands in the history itself.
    fn item_prompt(&self) -> ItemPrompt {
        ItemPrompt::default()
    }

    /// What the settings themselves say that cannot be.
    fn problem(&self) -> Option<crate::Error> {
        None
    }
}

/// What is learnt, one stage after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainPlan {
    /// The stages.
    pub stages: Vec<Stage>,
}

/// A part of training in which the same weights learn from the same task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stage {
    /// Its name in events and, with the run's seed, of its random choices.
    pub name: String,
    /// What is asked.
    pub task: Task,
    /// What is put into the model before.
    pub insert: Vec<AnyAdapter>,
    /// What learns; nothing else moves. A stage in which nothing learns is not run.
    pub learns: Vec<Learns>,
}

/// Whose objective and training a stage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Those of pre-training.
    Pretraining,
    /// The recommender's own, while the order of the codes of items' texts alone learns.
    Permuting,
    /// The recommender's own.
    Recommending,
}

impl TrainPlan {
    /// A pre-trained model that is then adapted in `stages`.
    fn adapting(stages: Vec<Stage>) -> Self {
        let first = Stage {
            name: PRETRAINING.to_owned(),
            task: Task::Pretraining,
            insert: vec![],
            learns: vec![Learns::All],
        };
        Self { stages: std::iter::once(first).chain(stages).collect() }
    }

    /// The plan with a stage after pre-training in which a new catalog's codes find the embeddings that
    /// those of another have learnt.
    pub(crate) fn permuting(mut self) -> Self {
        let learns = vec![Learns::Named(PERMUTATION.to_owned())];
        let stage = Stage { task: Task::Permuting, ..Stage::new(PERMUTING, vec![], learns) };
        self.stages.insert(1, stage);
        self
    }

    /// Whether it begins with a pre-trained model.
    pub fn is_pretrained(&self) -> bool {
        self.stages.iter().any(|stage| stage.task == Task::Pretraining)
    }

    /// Whether anything learns from the recommender's own task.
    pub fn adapts(&self) -> bool {
        self.stages.iter().any(|stage| stage.task == Task::Recommending)
    }

    /// Everything that is put into the model.
    pub fn inserted(&self) -> impl Iterator<Item = &AnyAdapter> {
        self.stages.iter().flat_map(|stage| &stage.insert)
    }

    /// What of the plan a backbone of this shape, with `more` parameters, cannot do.
    pub fn problems(&self, shape: Shape, more: &[&str]) -> Vec<crate::Error> {
        let (mut problems, mut names) = (Vec::new(), tastemaker_nn::transformer::names(shape));
        names.extend(more.iter().map(|name| (*name).to_owned()));
        let mut kinds = Vec::new();
        for stage in &self.stages {
            for adapter in &stage.insert {
                problems.extend(adapter.as_dyn().check(shape).err().map(crate::Error::from));
                if kinds.contains(&adapter.prefix()) {
                    problems.push(setting("an adapter", adapter.name(), ONE_OF_EACH));
                }
                kinds.push(adapter.prefix());
                names.extend(adapter.parameter_names(shape));
            }
            for learns in &stage.learns {
                problems.extend(learns.problem(shape, &names).map(|problem| problem.at("learns")));
            }
        }
        problems
    }
}

impl Stage {
    /// A stage on the recommender's own task.
    fn new(name: &str, insert: Vec<AnyAdapter>, learns: Vec<Learns>) -> Self {
        Self { name: name.to_owned(), task: Task::Recommending, insert, learns }
    }

    /// Whether the parameter `name` learns. What an objective adds to ask its question always does.
    pub fn lets_learn(&self, shape: Shape, name: &str) -> bool {
        Group::of(name) == Group::Objective
            || self.learns.iter().any(|learns| learns.includes(shape, name))
    }
}

registry! {
    /// Every paradigm a study can name.
    pub enum AnyParadigm: Paradigm {
        /// Pre-trained, then an adapter or a new head learns in a frozen backbone.
        "finetune-extra" => FinetuneExtra(FinetuneExtra),
        /// Pre-trained, then everything learns again, and perhaps a new head.
        "finetune-full" => FinetuneFull(FinetuneFull),
        /// Pre-trained, then a part of the backbone learns again: top layers, norms, biases, tables.
        "finetune-partial" => FinetunePartial(FinetunePartial),
        /// Pre-trained, then the backbone learns to answer a prompt that is fixed.
        "fixed-prompt-tuning" => FixedPromptTuning(FixedPromptTuning),
        /// Everything learns from the task itself, once, and is used as it is.
        "pretrain" => Pretrain(Pretrain),
        /// Pre-trained, then a soft prompt and the backbone learn, one after the other or together.
        "prompt-and-model-tuning" => PromptAndModelTuning(PromptAndModelTuning),
        /// Pre-trained, then asked through a hard prompt; nothing learns again.
        "prompt-free" => PromptFree(PromptFree),
        /// Pre-trained, then a soft prompt learns around the history before a frozen backbone.
        "prompt-tuning" => PromptTuning(PromptTuning),
    }
}
