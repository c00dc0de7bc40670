//! Tasks: what is asked, and what the answer is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, suggest};

use crate::error::setting;
use crate::prompts::Template;
use crate::recommenders::check;
use crate::{Error, Result};

/// What a task's templates may speak of.
const SLOTS: [&str; 9] = [
    "candidates",
    "explanation",
    "history",
    "item",
    "rating",
    "review",
    "summary",
    "user",
    "verdict",
];

/// Those that are of an interaction.
const OF_INTERACTIONS: [&str; 4] = ["explanation", "rating", "review", "summary"];

/// The families of P5 as they are shipped.
const P5: &str = include_str!("../../../prompts/p5.toml");

/// One kind of question and its answer, as templates in Jinja's language. What they speak of is taken
/// from an interaction of the training part:
///
/// | slot | is |
/// |---|---|
/// | `user` | who met the item: `id` and what is known |
/// | `history` | what this user had met before, oldest first; items have `id`, `title` and attributes |
/// | `item` | the item; where the task speaks of a verdict, every other time one that was not met |
/// | `verdict` | `yes`, or `no` where the item was not met |
/// | `candidates` | the item among others that were not met, in a random order |
/// | `rating` | the value of the interaction |
/// | `review` | what was written about it |
/// | `summary` | its title |
/// | `explanation` | its first sentence |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TextTask {
    /// The family it is of.
    pub family: String,
    /// What is asked.
    pub question: String,
    /// What is answered.
    pub answer: String,
    /// How often it is asked of each window in an epoch.
    #[serde(default = "once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

/// A file of tasks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tasks {
    task: Vec<TextTask>,
}

/// The tasks of P5.
pub(super) fn p5() -> Vec<TextTask> {
    toml::from_str::<Tasks>(P5).map(|tasks| tasks.task).unwrap_or_default()
}

/// A task whose templates are read.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) family: String,
    /// The question's template as it is written.
    pub(super) source: String,
    pub(super) question: Template,
    pub(super) answer: Template,
    pub(super) times: usize,
}

impl Asked {
    pub(super) fn new(task: &TextTask) -> Result<Self> {
        let read = |source: &String, key: &str| {
            Template::speaking_of(source, &SLOTS).map_err(|problem| problem.at(key))
        };
        let question = read(&task.question, "question")?;
        let answer = read(&task.answer, "answer")?;
        let (family, source) = (task.family.clone(), task.question.clone());
        Ok(Self { family, source, question, answer, times: task.times })
    }

    /// Whether question or answer speaks of this slot.
    pub(super) fn speaks_of(&self, slot: &str) -> bool {
        self.question.speaks_of(slot) || self.answer.speaks_of(slot)
    }

    /// What of it the data does not have, if anything.
    fn lacking(&self, data: &Dataset) -> Option<&'static str> {
        let written = |name: &str| data.interactions.texts().iter().any(|t| t.name == name);
        [
            ("rating", data.interactions.all_values().is_some()),
            ("review", written("review")),
            ("explanation", written("review")),
            ("summary", written("summary")),
        ]
        .into_iter()
        .find(|(slot, has)| self.speaks_of(slot) && !has)
        .map(|(slot, _)| slot)
    }

    /// Whether the answer is the item, which is not named in the question.
    fn names_the_item(&self) -> bool {
        self.answer.speaks_of("item")
            && !self.question.speaks_of("item")
            && !self.speaks_of("verdict")
            && !OF_INTERACTIONS.iter().any(|slot| self.speaks_of(slot))
    }
}

/// What of `tasks` and of the `families` that are wanted cannot be used.
pub(super) fn problems(tasks: &[TextTask], families: &[String]) -> Vec<Error> {
    let mut problems = Vec::new();
    for (i, task) in tasks.iter().enumerate() {
        let at = |problem: Error| problem.at(&format!("tasks.{i}"));
        problems.extend(check("times", task.times, 1..=1000).map(at));
        match Asked::new(task) {
            Ok(asked)
                if asked.speaks_of("verdict")
                    && OF_INTERACTIONS.iter().any(|s| asked.speaks_of(s)) =>
            {
                let expected =
                    "one that speaks of no rating or text, which what was not met does not have";
                problems.push(at(setting("question", "one with a verdict", expected)));
            }
            Ok(_) => {}
            Err(problem) => problems.push(at(problem)),
        }
    }
    let known: BTreeSet<&str> = tasks.iter().map(|task| &task.family[..]).collect();
    for family in families.iter().filter(|family| !known.contains(family.as_str())) {
        let hint = suggest::hint(family, known.iter().copied());
        let all = known.iter().copied().collect::<Vec<_>>().join(", ");
        problems.push(setting("families", family, format!("some of {all}{hint}")));
    }
    if problems.is_empty() && recommending(&asked(tasks, families, None)).is_none() {
        let expected = "one whose answer is the item alone, from what was met before";
        problems.push(setting("tasks", "none that recommends", expected));
    }
    problems
}

/// Why a family that is wanted cannot be asked about `data`.
pub(super) fn unsuitable(tasks: &[TextTask], families: &[String], data: &Dataset) -> Vec<Error> {
    let mut problems = Vec::new();
    for family in families {
        let own = || tasks.iter().filter(|task| task.family == *family);
        let lacking: Vec<&str> =
            own().filter_map(|task| Asked::new(task).ok()?.lacking(data)).collect();
        if let Some(slot) = lacking.first().filter(|_| lacking.len() == own().count()) {
            let expected = format!("families that speak of no {slot}, which the data lacks");
            problems.push(setting("families", family, expected));
        }
    }
    problems
}

/// The tasks that are asked: those of the wanted families, or of all, that `data` has everything for.
pub(super) fn asked(tasks: &[TextTask], families: &[String], data: Option<&Dataset>) -> Vec<Asked> {
    let wanted = |task: &&TextTask| families.is_empty() || families.contains(&task.family);
    let asked = tasks.iter().filter(wanted).filter_map(|task| Asked::new(task).ok());
    asked.filter(|task| data.is_none_or(|data| task.lacking(data).is_none())).collect()
}

/// The task by which items are recommended: of those that ask for an item the first, one that speaks
/// of no candidates if there is one.
pub(super) fn recommending(asked: &[Asked]) -> Option<&Asked> {
    let all = || asked.iter().filter(|task| task.names_the_item());
    all().find(|task| !task.speaks_of("candidates")).or_else(|| all().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_of_p5_are_of_five_families_and_recommend_from_a_history() {
        let tasks = p5();
        assert!(problems(&tasks, &[]).is_empty());
        let families: BTreeSet<&str> = tasks.iter().map(|task| &task.family[..]).collect();
        let expected = ["direct", "explanation", "rating", "review", "sequential"];
        assert_eq!(families.into_iter().collect::<Vec<_>>(), expected);
        let all = asked(&tasks, &[], None);
        let recommends = recommending(&all).unwrap();
        assert!(recommends.speaks_of("history") && !recommends.speaks_of("candidates"));
        // Without ratings and texts two families are left.
        let left = asked(&tasks, &[], Some(&Dataset::default()));
        assert_eq!((all.len(), left.len()), (11, 5));
    }

    #[test]
    fn tasks_that_cannot_be_asked_are_refused() {
        let of = |families: &[&str]| {
            let families: Vec<String> = families.iter().map(|f| (*f).to_owned()).collect();
            let problems = problems(&p5(), &families);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(of(&["sequental"]).contains("did you mean \"sequential\"?"));
        assert!(of(&["rating"]).contains("none that recommends"));
        let lacking = unsuitable(&p5(), &["review".to_owned()], &Dataset::default());
        assert!(lacking[0].to_string().contains("speak of no"), "{lacking:?}");
        let mut tasks = p5();
        tasks[0].question = "{{ histroy }}".to_owned();
        let problem = problems(&tasks, &[]).remove(0).to_string();
        assert!(problem.contains("did you mean \"history\"?"), "{problem}");
    }
}
