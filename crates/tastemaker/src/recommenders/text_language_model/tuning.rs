//! A language model over text that learns to recommend.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{Adapter, AnyAdapter, Place};
use tastemaker_nn::backbones::{Backbone, Decoder, Shape};
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::CausalModel;

use super::super::check;
use crate::error::setting;
use crate::paradigms::{
    AnyParadigm, FinetuneExtra, FixedPromptTuning, ItemPrompt, Task, TrainPlan,
};
use crate::train::{Decay, Training};
use crate::{Error, Result};

/// How a language model over text learns to recommend.
///
/// # What it does
/// Of users that are drawn, the last item of the training part is the answer to the prompt that
/// tells what came before it. What learns follows from the paradigm; the loss is the cross-entropy
/// of the answer's tokens over all tokens. Where each item has a prompt of its own, every other
/// user's question is about an item that was not met, and the answer a bad word.
///
/// The mean log-likelihood of a token of the answers about users' validation targets (the first of
/// each) chooses the epoch.
///
/// # When not to use it
/// With many shots on few cores: a step reads and learns through the whole model.
///
/// # References
/// Bao et al. 2023, `TALLRec`, at 16, 64 and 256 shots; Geng et al. 2022, P5; paradigms: Liu et al.
/// 2023, *Pre-train, prompt and recommendation*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tuning {
    /// What learns: `lora`, a soft prompt before or within, or weights of the model itself.
    pub paradigm: AnyParadigm,
    /// Questions that are learnt from, each of another user; 0: as many as there are users.
    pub shots: usize,
    /// Questions whose answers choose the epoch, each of another user; 0: the last epoch is taken.
    pub validation_shots: usize,
    /// Attributes of users whose values are exchanged: each question that is learnt from is also
    /// learnt with another value, drawn for its user, and the same answer. Examples in prompts
    /// and questions that choose the epoch are not exchanged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counterfactual: Vec<String>,
    /// Items that a prompt names, where it names candidates.
    pub candidates: usize,
    /// The most passes over the questions.
    pub epochs: usize,
    /// Questions a step.
    pub batch_size: usize,
    /// Parts into which a step is divided; more parts need less memory and learn the same.
    pub accumulate: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from 0; it then falls in a straight line to 0.
    pub warmup_steps: usize,
    /// Epochs without a better validation after which learning ends.
    pub patience: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            paradigm: AnyParadigm::FinetuneExtra(FinetuneExtra::default()),
            shots: 64,
            validation_shots: 64,
            counterfactual: vec![],
            candidates: 20,
            epochs: 10,
            batch_size: 16,
            accumulate: 1,
            learning_rate: 1e-3,
            warmup_steps: 4,
            patience: 3,
        }
    }
}

impl Tuning {
    /// What of the settings cannot be used.
    pub(super) fn problems(&self) -> Vec<Error> {
        let of_paradigm = self.paradigm.as_dyn().problem().map(|problem| problem.at("paradigm"));
        let of_prompt = match &self.paradigm {
            AnyParadigm::Pretrain(_) => {
                let expected = "one that adapts the model, which is pre-trained";
                Some(setting("paradigm", "pretrain", expected))
            }
            AnyParadigm::PromptFree(_) => {
                let expected = "no tuning, without which the model is asked as it is";
                Some(setting("paradigm", "prompt-free", expected))
            }
            AnyParadigm::FixedPromptTuning(fixed) if *fixed != FixedPromptTuning::default() => {
                let expected = "no prompt of its own: the template is the prompt";
                Some(setting("paradigm", "fixed-prompt-tuning", expected))
            }
            other if other.as_dyn().item_prompt() != ItemPrompt::default() => {
                let expected = "no prompt of items: the template is the prompt";
                Some(setting("paradigm", other.name(), expected))
            }
            _ => None,
        };
        let candidates = check("candidates", self.candidates, 2..=10_000);
        let training = self.training(Precision::F32).problems().into_iter().map(Error::from);
        of_paradigm.into_iter().chain(of_prompt).chain(candidates).chain(training).collect()
    }

    /// What of the plan this model cannot do.
    pub(super) fn unsuitable(&self, shape: Shape) -> Vec<Error> {
        let plan = self.plan(shape);
        let unread = plan.inserted().filter(|adapter| !CausalModel::reads(adapter));
        let expected =
            "lora, or a soft-prompt before or within, which a model over text is read with";
        let unread = unread.map(|adapter| setting("an adapter", adapter.name(), expected));
        let problems: Vec<Error> = unread.chain(plan.problems(shape, &[])).collect();
        problems.into_iter().map(|problem| problem.at("tuning.paradigm")).collect()
    }

    /// Vectors that will stand before every prompt.
    pub(super) fn soft_prompt(&self) -> Result<usize> {
        // What is put in does not depend on the backbone.
        let plan = self.plan(Decoder::default().shape()?);
        let before = plan.inserted().map(AnyAdapter::as_dyn).filter(|a| a.place().is_before());
        Ok(before.map(Adapter::prompt_length).sum())
    }

    /// Vectors that will stand within prompts, if any do.
    pub(super) fn soft_within(&self) -> Option<usize> {
        let plan = self.plan(Decoder::default().shape().ok()?);
        let all = plan.inserted().map(AnyAdapter::as_dyn);
        all.filter(|a| a.place() == Place::Within).map(Adapter::prompt_length).next()
    }

    /// The stages; where the model learns to answer a fixed prompt, that is the template.
    pub(super) fn plan(&self, shape: Shape) -> TrainPlan {
        let mut plan = self.paradigm.as_dyn().plan(shape);
        if matches!(self.paradigm, AnyParadigm::FixedPromptTuning(_)) {
            plan.stages.iter_mut().for_each(|stage| stage.insert.clear());
        }
        plan.stages.retain(|stage| stage.task == Task::Recommending);
        plan
    }

    pub(super) fn training(&self, precision: Precision) -> Training {
        Training {
            epochs: self.epochs,
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            precision,
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            decay: Decay::Linear,
            patience: self.patience,
            ..Training::default()
        }
    }
}
