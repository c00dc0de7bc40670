//! Asks an endpoint.

use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::Agent;

use crate::record::Record;
use crate::{Endpoint, Error, Result};

/// The longest time to wait before a question is asked again, in seconds.
const LONGEST_WAIT: f64 = 60.0;

/// The time to wait before the first repetition, in seconds; it doubles each time.
const FIRST_WAIT: f64 = 0.5;

/// Characters of an error's body that are told.
const TOLD: usize = 300;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What it says.
    pub content: String,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Tokens of the question, as the endpoint counts them; 0 where it does not say.
    pub tokens_in: u64,
    /// Tokens of the answer, likewise.
    pub tokens_out: u64,
    /// Whether the model had more to say than the most tokens of an answer.
    #[serde(default)]
    pub cut_off: bool,
}

/// What questions have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spent {
    /// Questions that were asked, again or not.
    pub requests: u64,
    /// Questions that were answered from what was answered before.
    pub replayed: u64,
    /// Tokens of questions.
    pub tokens_in: u64,
    /// Tokens of answers.
    pub tokens_out: u64,
    /// Answers that end where no more tokens were allowed, replayed ones among them.
    pub cut_off: u64,
    /// Money, by the prices of the budget.
    pub cost: f64,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, replayed, tokens_in, tokens_out, cut_off, cost } = self;
        write!(f, "{requests} asked, {replayed} answered from before, ")?;
        write!(f, "{tokens_in} tokens in, {tokens_out} out")?;
        if *cost > 0.0 {
            write!(f, ", cost {cost:.4}")?;
        }
        if *cut_off > 0 {
            write!(f, "; {cut_off} cut off at most-tokens")?;
        }
        Ok(())
    }
}

/// Asks one model.
#[derive(Debug)]
pub struct Client {
    settings: Endpoint,
    agent: Agent,
    key: Option<String>,
    record: Option<Record>,
    spent: Spent,
    last: Option<Instant>,
}

/// Why a question was not answered, and how long to wait before it is asked again.
struct Unanswered {
    problem: String,
    wait: Option<f64>,
}

impl Client {
    /// Asks as `settings` say; what is answered is kept in the file `record`, if one is given.
    ///
    /// # Errors
    /// If the variable that is to hold the key is not set, or the file is none of ours.
    #[expect(
        clippy::disallowed_methods,
        reason = "a key is a secret, which no file of a study may hold"
    )]
    pub fn new(settings: &Endpoint, record: Option<&Path>) -> Result<Self> {
        if let Some(problem) = settings.problem() {
            return Err(problem.into());
        }
        let variable = &settings.key_variable;
        let missing = |_| tastemaker_core::Error::Setting {
            name: "key-variable".to_owned(),
            found: format!("{variable:?}, which is not set"),
            expected: "a variable of the environment with the endpoint's key".to_owned(),
        };
        let needed = !variable.is_empty() && !settings.replay;
        let key = needed.then(|| std::env::var(variable).map_err(missing)).transpose()?;
        let timeout = Some(Duration::from_secs_f64(settings.timeout));
        let agent = Agent::config_builder().timeout_global(timeout).http_status_as_error(false);
        Ok(Self {
            settings: settings.clone(),
            agent: agent.build().into(),
            key,
            record: record.map(Record::open).transpose()?,
            spent: Spent::default(),
            last: None,
        })
    }

    /// What was spent until now.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// What the model answers to `messages`.
    pub fn ask(&mut self, messages: &[Message]) -> Result<Answer> {
        let Endpoint { model, temperature, most_tokens, .. } = &self.settings;
        let asked = json!({
            "model": model,
            "messages": messages,
            "temperature": temperature,
            "max_tokens": most_tokens,
        });
        if let Some(answer) = self.record.as_ref().and_then(|record| record.find(&asked)) {
            self.spent.replayed += 1;
            self.spent.cut_off += u64::from(answer.cut_off);
            return Ok(answer.clone());
        }
        if self.settings.replay {
            let path = self.record.as_ref().map(|record| record.path().to_owned());
            return Err(Error::NotRecorded { path: path.unwrap_or_default() });
        }
        let answer = self.answered(&asked)?;
        self.spent.tokens_in += answer.tokens_in;
        self.spent.tokens_out += answer.tokens_out;
        self.spent.cut_off += u64::from(answer.cut_off);
        let budget = self.settings.budget;
        self.spent.cost = (self.spent.tokens_in as f64 * budget.price_in
            + self.spent.tokens_out as f64 * budget.price_out)
            / 1e6;
        if let Some(record) = &mut self.record {
            record.keep(&asked, &answer)?;
        }
        Ok(answer)
    }

    /// Asks until there is an answer.
    fn answered(&mut self, asked: &Value) -> Result<Answer> {
        let url = format!("{}/chat/completions", self.settings.url.trim_end_matches('/'));
        let tries = self.settings.retries.saturating_add(1);
        let mut problem = String::new();
        for already in 0..tries {
            self.afford()?;
            self.keep_pace();
            self.spent.requests += 1;
            match self.once(&url, asked)? {
                Ok(answer) => return Ok(answer),
                Err(unanswered) => {
                    problem = unanswered.problem;
                    if already + 1 < tries {
                        let usual = FIRST_WAIT * f64::from(2_u32.saturating_pow(already));
                        let wait = unanswered.wait.unwrap_or(usual).clamp(0.0, LONGEST_WAIT);
                        sleep(Duration::from_secs_f64(wait));
                    }
                }
            }
        }
        Err(Error::Unreachable { url, tries, problem })
    }

    /// Asks once. What cannot become better by asking again is an error.
    fn once(&self, url: &str, asked: &Value) -> Result<std::result::Result<Answer, Unanswered>> {
        let mut request = self.agent.post(url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = match request.send(asked.to_string()) {
            Ok(response) => response,
            Err(error) => {
                return Ok(Err(Unanswered { problem: error.to_string(), wait: None }));
            }
        };
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = header("retry-after").and_then(|after| seconds(after, header("date")));
        let body = match response.body_mut().read_to_string() {
            Ok(body) => body,
            Err(error) => {
                return Ok(Err(Unanswered { problem: error.to_string(), wait }));
            }
        };
        match status {
            200..300 => {
                let budget = self.settings.budget;
                read(url, &body, budget.tokens > 0 || budget.cost > 0.0).map(Ok)
            }
            408 | 409 | 429 | 500.. => {
                let problem = format!("status {status}: {}", beginning(&body));
                Ok(Err(Unanswered { problem, wait }))
            }
            status => Err(Error::Refused { url: url.to_owned(), status, body: beginning(&body) }),
        }
    }

    /// Says no where the budget has nothing left.
    fn afford(&self) -> Result<()> {
        let (budget, spent) = (self.settings.budget, self.spent);
        let tokens = spent.tokens_in + spent.tokens_out;
        let what = if budget.requests > 0 && spent.requests >= budget.requests {
            format!("{} of {} requests", spent.requests, budget.requests)
        } else if budget.tokens > 0 && tokens >= budget.tokens {
            format!("{tokens} of {} tokens", budget.tokens)
        } else if budget.cost > 0.0 && spent.cost >= budget.cost {
            format!("{} of a cost of {}", spent.cost, budget.cost)
        } else {
            return Ok(());
        };
        Err(Error::Spent { what })
    }

    /// Waits until the next question may be asked.
    fn keep_pace(&mut self) {
        if self.settings.requests_per_minute > 0 {
            let apart =
                Duration::from_secs_f64(60.0 / f64::from(self.settings.requests_per_minute));
            if let Some(left) = self.last.and_then(|last| apart.checked_sub(last.elapsed())) {
                sleep(left);
            }
            self.last = Some(Instant::now());
        }
    }
}

/// The seconds that `Retry-After` asks for: it says how many, or until when, which is counted from the
/// answer's own `Date`, so that clocks need not agree (RFC 9110, 10.2.3).
fn seconds(retry_after: &str, date: Option<&str>) -> Option<f64> {
    if let Ok(seconds) = retry_after.parse::<f64>() {
        return seconds.is_finite().then_some(seconds);
    }
    let [until, now] = [retry_after, date?].map(httpdate::parse_http_date);
    Some(until.ok()?.duration_since(now.ok()?).map_or(0.0, |wait| wait.as_secs_f64()))
}

/// The beginning of what an endpoint says.
pub(crate) fn beginning(body: &str) -> String {
    body.trim().chars().take(TOLD).collect()
}

/// An answer, as endpoints write it.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What `body` says; tokens must be counted where `counted` says so.
fn read(url: &str, body: &str, counted: bool) -> Result<Answer> {
    let unreadable = |problem: String| Error::Unreadable { url: url.to_owned(), problem };
    let completion: Completion = serde_json::from_str(body)
        .map_err(|error| unreadable(format!("{error} in {:?}", beginning(body))))?;
    let first = completion.choices.into_iter().next();
    let Choice { message, finish_reason } =
        first.ok_or_else(|| unreadable("there are no choices".to_owned()))?;
    let cut_off = finish_reason.as_deref() == Some("length");
    let text = message.content.ok_or_else(|| {
        let reason = finish_reason.unwrap_or_else(|| "not told".to_owned());
        let advice = "if the model thinks first, raise most-tokens";
        unreadable(format!("the message has no content (finish_reason: {reason}); {advice}"))
    })?;
    if counted && completion.usage.is_none() {
        let problem = "it does not count tokens, which the budget needs; give one of requests";
        return Err(unreadable(problem.to_owned()));
    }
    let Usage { prompt_tokens, completion_tokens } = completion.usage.unwrap_or_default();
    Ok(Answer { text, tokens_in: prompt_tokens, tokens_out: completion_tokens, cut_off })
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date() {
        let date = "Fri, 31 Dec 1999 23:59:50 GMT";
        assert_eq!(seconds("7", None), Some(7.0));
        assert_eq!(seconds("0.5", Some(date)), Some(0.5));
        assert_eq!(seconds("Sat, 01 Jan 2000 00:00:02 GMT", Some(date)), Some(12.0));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:00 GMT", Some(date)), Some(0.0), "passed");
        assert_eq!(seconds("Sat, 01 Jan 2000 00:00:02 GMT", None), None, "nothing to count from");
        assert_eq!(seconds("nan", Some(date)), None);
        assert_eq!(seconds("soon", Some(date)), None);
    }
}
