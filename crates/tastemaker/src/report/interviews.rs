//! What to ask people about an audit, and what they answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use tastemaker_audit::{Indicator, Severity, Stakeholder};
use tastemaker_core::read_table;
use tastemaker_core::suggest::hint;

use crate::{Audited, Error, Result};

/// The columns of a questionnaire; the last three are filled in.
const COLUMNS: [&str; 9] =
    ["id", "audit", "harm", "stakeholder", "severity", "question", "respondent", "scale", "text"];

/// What the scale means, told with each question.
const SCALE: &str = "How much does it trouble you, from 1 (not at all) to 5 (very much)?";

/// The middle of the scale.
const MIDDLE: f64 = 3.0;

/// What to ask of a sign, in words that need no knowledge of it.
const QUESTIONS: &str = include_str!("questions.toml");

/// What stands for a respondent's name in what was written.
const HIDDEN: &str = "▢";

/// A question to ask people, since numbers do not answer it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Question {
    /// What it is called in questionnaires: the harm, the sign and what it is of.
    pub(super) id: String,
    /// The harm.
    pub(super) harm: String,
    /// Who is asked.
    pub(super) stakeholder: Stakeholder,
    /// How severe it was measured to be; `None` where it was not.
    pub(super) severity: Option<Severity>,
    /// How severe it is suspected to be, where that is worse.
    pub(super) suspected: Option<Severity>,
    /// The question.
    pub(super) asks: String,
}

/// What people answered to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answered {
    /// What the question is called.
    pub id: String,
    /// The question.
    pub question: String,
    /// The harm.
    pub harm: String,
    /// Who was asked.
    pub stakeholder: Stakeholder,
    /// How severe it was measured to be, which answers do not change; `None` where it was not.
    pub severity: Option<Severity>,
    /// How severe it was suspected to be, where that is worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspected: Option<Severity>,
    /// How many people answered.
    pub respondents: usize,
    /// How many of them said 1, 2, 3, 4 and 5: how much it troubles them.
    pub scale: [usize; 5],
    /// The mean of what they said; `None` where nobody did.
    pub mean: Option<f64>,
    /// Its 95 % interval; `None` of fewer than two.
    pub interval: Option<[f64; 2]>,
    /// What they wrote, in the order of the alphabet and without their names.
    pub quotes: Vec<String>,
    /// How it differs from the measured severity, where it does.
    pub contradicts: Option<String>,
}

/// What to ask people about what was found, and about what could not be measured.
pub(super) fn questions(audited: &Audited) -> Vec<Question> {
    let in_words: BTreeMap<String, String> = toml::from_str(QUESTIONS).unwrap_or_default();
    let mut questions = Vec::new();
    for findings in &audited.audit.findings {
        let worst = |found: &Indicator| found.severity.max(found.suspected);
        let grave = findings.indicators.iter().filter(|i| worst(i) > Some(Severity::Minimal));
        questions.extend(grave.filter_map(|found| of_found(&findings.harm, found, &in_words)));
        questions.extend(findings.not_measured.iter().map(|not| Question {
            id: id(&findings.harm, &not.name, &not.of),
            harm: findings.harm.clone(),
            stakeholder: Stakeholder::SystemDesigner,
            severity: None,
            suspected: None,
            asks: format!(
                "{} could not be measured ({}). What do you know of it?",
                not.name, not.reason
            ),
        }));
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for question in &mut questions {
        let n = names.entry(question.id.clone()).or_default();
        *n += 1;
        if *n > 1 {
            question.id = format!("{}/{n}", question.id);
        }
    }
    questions
}

/// What a question is called.
fn id(harm: &str, sign: &str, of: &str) -> String {
    let parts = [harm, sign, of].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("/")
}

/// What to ask of something that was found: in words for who is asked, and what was measured after it.
fn of_found(
    harm: &str,
    found: &Indicator,
    in_words: &BTreeMap<String, String>,
) -> Option<Question> {
    let of = if found.of.is_empty() { String::new() } else { format!(" ({})", found.of) };
    let asks = in_words
        .get(&found.name)
        .map_or("Have you noticed it, and what did it do to you?", |it| it);
    let suspected = Severity::worse(found.severity, found.suspected);
    let unsure = suspected.map_or(String::new(), |suspected| {
        format!("; perhaps it is {}, which is not certain", suspected.name())
    });
    let asks = format!(
        "{asks} [Measured: {}{of} is {:.3}, of {}{unsure}.]",
        found.name, found.value, found.exposed.whom
    );
    Some(Question {
        id: id(harm, &found.name, &found.of),
        harm: harm.to_owned(),
        stakeholder: *found.touches.first()?,
        severity: found.severity,
        suspected,
        asks,
    })
}

/// The questions of audits as a CSV file to fill in: a row a question, to be repeated for each respondent.
pub fn questionnaire(audited: &[Audited]) -> Result<String> {
    let failed = |error: csv::Error| Error::Serialise(error.to_string());
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(COLUMNS).map_err(failed)?;
    for one in audited {
        for question in questions(one) {
            let asks = format!("{} {SCALE}", question.asks);
            let Question { id, harm, stakeholder, severity, suspected, .. } = question;
            let told = Severity::told(severity, suspected, "not measured");
            let whom = called(stakeholder);
            let row = [&id, &one.audit.subject, &harm, whom, &told, &asks, "", "", ""];
            out.write_record(row).map_err(failed)?;
        }
    }
    let bytes = out.into_inner().map_err(|error| Error::Serialise(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Error::Serialise(error.to_string()))
}

/// What a stakeholder is called on pages.
pub(super) fn called(stakeholder: Stakeholder) -> &'static str {
    match stakeholder {
        Stakeholder::EndUser => "end users",
        Stakeholder::ContentCreator => "content creators",
        Stakeholder::SystemDesigner => "system designers",
        Stakeholder::SupplyChain => "supply chain",
        Stakeholder::Environment => "environment",
    }
}

/// What respondents said to one question: from 1 to 5, in words, or both.
#[derive(Default)]
struct Said {
    scale: [usize; 5],
    texts: Vec<String>,
    respondents: BTreeSet<String>,
}

/// Puts what stands in questionnaires that were filled in beside the audits that they are of.
///
/// # Errors
/// With the line of an answer to a question that there is not or that two audits have, of a number that is
/// not on the scale, of an answer of nobody, of a second one of the same respondent, and of one to a question
/// whose answers are there already.
pub fn read_answers(audited: &mut [Audited], files: &[impl AsRef<Path>]) -> Result<()> {
    let asked: Vec<Vec<Question>> = audited.iter().map(questions).collect();
    let subjects: Vec<String> = audited.iter().map(|one| one.audit.subject.clone()).collect();
    let mut said: BTreeMap<(usize, usize), Said> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for file in files {
        let columns = ["id", "audit", "respondent", "scale", "text"];
        read_table(file.as_ref(), columns, |[id, audit, respondent, scale, text]| {
            if scale.is_empty() && text.is_empty() {
                return Ok(());
            }
            let one = place("audit", audit, subjects.iter().map(String::as_str))?;
            if subjects.iter().filter(|subject| *subject == audit).count() > 1 {
                return Err(format!(
                    "two audits are called {audit:?}; give answers to each in an audit of its own"
                ));
            }
            let question = place("question", id, asked[one].iter().map(|of| &of.id[..]))?;
            if audited[one].answers.iter().any(|before| before.id == id) {
                let expected = "all answers at once, to the audit without any";
                return Err(format!("answers to {id:?} are there already, expected {expected}"));
            }
            if respondent.is_empty() {
                return Err(
                    "respondent is empty, expected who answers, if only a number".to_owned()
                );
            }
            let said = said.entry((one, question)).or_default();
            if !said.respondents.insert(respondent.to_owned()) {
                return Err(format!("{respondent:?} answers {id:?} a second time, expected once"));
            }
            names.insert(respondent.to_owned());
            if !scale.is_empty() {
                said.scale[number(scale)? - 1] += 1;
            }
            said.texts.extend((!text.is_empty()).then(|| text.to_owned()));
            Ok(())
        })?;
    }
    for ((one, question), said) in said {
        audited[one].answers.push(said.answered(&asked[one][question], &names));
    }
    Ok(())
}

/// Where `name` stands among what is `known`.
fn place<'a>(
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> std::result::Result<usize, String> {
    let found = known.clone().position(|known| known == name);
    found.ok_or_else(|| format!("there is no {kind} {name:?}{}", hint(name, known)))
}

/// A number on the scale.
fn number(written: &str) -> std::result::Result<usize, String> {
    let number = written.parse().ok().filter(|number| (1..=5).contains(number));
    number.ok_or_else(|| format!("scale is {written:?}, expected a whole number from 1 to 5"))
}

impl Said {
    fn answered(self, question: &Question, names: &BTreeSet<String>) -> Answered {
        let mut quotes: Vec<String> = self.texts.iter().map(|text| nameless(text, names)).collect();
        quotes.sort();
        let Question { id, harm, stakeholder, severity, suspected, asks } = question.clone();
        let interval = interval(&self.scale);
        Answered {
            id,
            question: asks,
            harm,
            stakeholder,
            severity,
            suspected,
            respondents: self.respondents.len(),
            scale: self.scale,
            mean: mean(&self.scale),
            interval,
            quotes,
            contradicts: interval
                .and_then(|interval| contradiction([severity, suspected], interval)),
        }
    }
}

/// The mean of answers on the scale.
fn mean(scale: &[usize; 5]) -> Option<f64> {
    let n: usize = scale.iter().sum();
    let sum: usize = (1..).zip(scale).map(|(value, count)| value * count).sum();
    (n > 0).then(|| sum as f64 / n as f64)
}

/// The 95 % interval of the mean of answers on the scale; `None` of fewer than two.
///
/// # Formula
/// The mean ± t √(s²/n), with t of n − 1 degrees of freedom and s² the variance (n − 1), within 1 and 5. s²
/// is at least 1/n, what it is where one of n who say the same says one more or less: that few are of one
/// mind does not say that all are.
fn interval(scale: &[usize; 5]) -> Option<[f64; 2]> {
    let n = scale.iter().sum::<usize>() as f64;
    let mean = mean(scale).filter(|_| n > 1.0)?;
    let squares =
        (1..).zip(scale).map(|(value, &count)| count as f64 * (f64::from(value) - mean).powi(2));
    let variance = (squares.sum::<f64>() / (n - 1.0)).max(1.0 / n);
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let width = student.inverse_cdf(0.975) * (variance / n).sqrt();
    Some([mean - width, mean + width].map(|end| end.clamp(1.0, 5.0)))
}

/// How answers differ from a severity: the whole interval is on the other side of the scale's middle.
///
/// What is suspected is not contradicted by people whom it troubles.
fn contradiction(
    [severity, suspected]: [Option<Severity>; 2],
    [low, high]: [f64; 2],
) -> Option<String> {
    let measured = match severity {
        Some(severity) => format!("was measured as {}", severity.name()),
        None => "was not measured".to_owned(),
    };
    if severity >= Some(Severity::High) && high < MIDDLE {
        return Some(format!("it {measured}, and people say that it troubles them little"));
    }
    let troubles = severity.max(suspected) <= Some(Severity::Limited) && low > MIDDLE;
    troubles.then(|| format!("it {measured}, and people say that it troubles them much"))
}

/// What was written, with a sign for each word that is in the name of a respondent; not where both are in
/// lower case, as in "user 7".
fn nameless(text: &str, names: &BTreeSet<String>) -> String {
    let is_word = |c: char| c.is_alphanumeric();
    let words = names.iter().flat_map(|name| name.split(|c| !is_word(c)));
    // Of some scripts a letter is a word, and none has a case.
    let is_lower = |word: &str| word.starts_with(char::is_lowercase);
    let long = words.filter(|word| word.chars().count() > 1 || !word.is_ascii());
    let mut hidden: BTreeMap<String, bool> = BTreeMap::new();
    for word in long {
        *hidden.entry(word.to_lowercase()).or_default() |= !is_lower(word);
    }
    let mut written = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !is_word(c)) {
        let word = piece.trim_end_matches(|c| !is_word(c));
        let named = hidden.get(&word.to_lowercase());
        let is_name = named.is_some_and(|is_upper| *is_upper || !is_lower(word));
        written.push_str(if is_name { HIDDEN } else { word });
        written.push_str(&piece[word.len()..]);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        scale: [usize; 5],
        mean: f64,
        interval: [f64; 2],
    }

    #[test]
    fn intervals_are_those_of_scipy() {
        let golden = include_str!("../../tests/golden/answers.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(cases.len() > 4);
        for case in cases {
            let (mean, found) = (mean(&case.scale).unwrap(), interval(&case.scale).unwrap());
            assert!((mean - case.mean).abs() < 1e-12);
            for (found, expected) in found.iter().zip(case.interval) {
                assert!((found - expected).abs() < 1e-9, "{:?}: {found}", case.scale);
            }
        }
        assert_eq!((mean(&[0; 5]), interval(&[0, 0, 1, 0, 0])), (None, None));
    }

    #[test]
    fn every_sign_with_a_threshold_is_asked_about_in_words() {
        let questions: BTreeMap<String, String> = toml::from_str(QUESTIONS).unwrap();
        let levels = tastemaker_audit::Levels::usual().levels;
        let signs: BTreeSet<&str> = levels.iter().map(|level| &level.sign[..]).collect();
        assert_eq!(signs, questions.keys().map(|sign| &sign[..]).collect());
        assert!(questions.values().all(|asks| asks.ends_with('?')));
    }

    #[test]
    fn a_contradiction_is_beyond_the_middle_as_a_whole() {
        let says =
            |severity, interval| contradiction([severity, None], interval).unwrap_or_default();
        let (high, limited) = (Some(Severity::High), Some(Severity::Limited));
        assert!(
            says(high, [1.0, 2.9])
                .contains("measured as high, and people say that it troubles them little")
        );
        assert!(says(None, [3.1, 5.0]).contains("was not measured"));
        assert!(says(limited, [3.1, 5.0]).contains("troubles them much"));
        for (severity, interval) in
            [(high, [1.0, 3.1]), (high, [3.1, 5.0]), (limited, [2.0, 5.0]), (limited, [1.0, 2.0])]
        {
            assert_eq!(contradiction([severity, None], interval), None);
        }
        let minimal = Some(Severity::Minimal);
        assert_eq!(contradiction([minimal, high], [3.1, 5.0]), None);
        assert!(contradiction([minimal, limited], [3.1, 5.0]).is_some());
    }

    #[test]
    fn names_of_respondents_do_not_stand_in_quotes() {
        let names = ["Ada Lovelace", "user 7", "王 伟"].map(str::to_owned).into();
        let text = "ADA told me, says Lovelace and ada: a user 7 times; Adam, 王 伟";
        assert_eq!(nameless(text, &names), "▢ told me, says ▢ and ▢: a user 7 times; Adam, ▢ ▢");
    }
}
