//! Where a model is, and what asking it may cost.

use serde::{Deserialize, Serialize};
use tastemaker_core::Error;

/// An endpoint and a model behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// The address up to the version, such as `http://localhost:8080/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The variable of the environment that holds the key; none is sent where it is empty.
    #[serde(default)]
    pub key_variable: String,
    /// How much of what it says is chance; 0 is the likeliest each time.
    #[serde(default)]
    pub temperature: f64,
    /// The most tokens of an answer.
    #[serde(default = "most_tokens")]
    pub most_tokens: usize,
    /// How often a question is asked again that was not answered.
    #[serde(default = "retries")]
    pub retries: u32,
    /// Seconds after which a question counts as not answered.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// The most questions a minute; 0 is as many as are answered.
    #[serde(default)]
    pub requests_per_minute: u32,
    /// What all questions together may cost.
    #[serde(default)]
    pub budget: Budget,
    /// Asks nothing, and answers from what was answered before.
    #[serde(default)]
    pub replay: bool,
}

/// What questions may cost; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Budget {
    /// Questions, those that are asked again among them.
    pub requests: u64,
    /// Tokens, of questions and answers.
    pub tokens: u64,
    /// Money, in the currency of the prices.
    pub cost: f64,
    /// The price of a million tokens of questions.
    pub price_in: f64,
    /// The price of a million tokens of answers.
    pub price_out: f64,
}

fn most_tokens() -> usize {
    512
}

fn retries() -> u32 {
    5
}

fn timeout() -> f64 {
    120.0
}

impl Endpoint {
    /// What of the settings cannot be used.
    pub fn problem(&self) -> Option<Error> {
        let setting = |name: &str, found: String, expected: &str| {
            Some(Error::Setting { name: name.to_owned(), found, expected: expected.to_owned() })
        };
        let Self { url, model, temperature, most_tokens, timeout, budget, .. } = self;
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let expected = "an address that begins with http:// or https://";
            return setting("url", format!("{url:?}"), expected);
        }
        if model.is_empty() {
            return setting("model", "empty".to_owned(), "the name of a model there");
        }
        if !(0.0..=2.0).contains(temperature) {
            return setting("temperature", temperature.to_string(), "a number from 0 to 2");
        }
        if *most_tokens == 0 {
            return setting("most-tokens", "0".to_owned(), "1 or more");
        }
        if !(*timeout > 0.0 && *timeout <= 86_400.0) {
            return setting("timeout", timeout.to_string(), "seconds, above 0 and up to a day");
        }
        let Budget { cost, price_in, price_out, .. } = *budget;
        if [cost, price_in, price_out].iter().any(|of| !(of.is_finite() && *of >= 0.0)) {
            let found = format!("cost {cost}, prices {price_in} and {price_out}");
            return setting("budget", found, "numbers that are not below 0");
        }
        if cost > 0.0 && price_in + price_out == 0.0 {
            let found = format!("cost = {cost} without prices");
            return setting("budget", found, "price-in and price-out beside it");
        }
        None
    }
}
