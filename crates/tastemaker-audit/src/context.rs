//! What a recommender is used for.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, Result};

use crate::{Severity, reading};

/// What a recommender is used for, and with whom: the same figures weigh more where children are shown
/// jobs than where grown-ups are shown films.
///
/// A small TOML file:
///
/// ```
/// use tastemaker_audit::Context;
/// let written = r#"
/// purpose = "films for the evening"
/// audience = "subscribers"
/// minors = false
/// autonomy = "suggests"
/// sector = "entertainment"
/// fail-at = "high"
/// "#;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("context.toml");
/// fs_err::write(&path, written).unwrap();
/// assert!(!Context::read(&path).unwrap().minors);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    /// What it is for, in a few words.
    pub purpose: String,
    /// Who is recommended to, in a few words.
    pub audience: String,
    /// Whether there are children among them.
    pub minors: bool,
    /// What happens with what it recommends.
    pub autonomy: Autonomy,
    /// Of what life it is a part.
    pub sector: Sector,
    /// From what severity on a gate does not let it pass; where absent, all passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_at: Option<Severity>,
}

/// What happens with what is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Autonomy {
    /// A person chooses among it and could do without.
    Suggests,
    /// It is what is shown, and a person can hardly go round it.
    Curates,
    /// It is done, without a person between.
    Decides,
}

/// Of what life a recommender is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sector {
    /// Films, music, games, books.
    Entertainment,
    /// Goods for sale.
    Retail,
    /// News.
    News,
    /// What other people write and show.
    Social,
    /// Schools and courses.
    Education,
    /// Jobs and the people for them.
    Employment,
    /// Loans, insurances, investments.
    Finance,
    /// Doctors, medicines, well-being.
    Health,
    /// What the state gives and asks.
    PublicServices,
    /// Anything else.
    Other,
}

impl Context {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let read: Self = reading::file(path)?;
        if read.fail_at == Some(Severity::Minimal) {
            let expected = "limited, high or unacceptable: whatever is measured is minimal";
            let problem = format!("fail-at is \"minimal\", expected {expected}");
            return Err(Error::file(path, problem));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(written: &str) -> String {
        reading::text::<Context>(Path::new("use.toml"), written).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_could_stand_there() {
        let start =
            "purpose = \"films\"\naudience = \"all\"\nminors = false\nautonomy = \"suggests\"\n";
        let found = problem(&format!("{start}sector = \"entertainmnt\"\n"));
        assert!(found.starts_with("use.toml, line 5:"), "{found}");
        assert!(found.contains("`entertainment`"), "{found}");
        let found = problem(&format!("{start}sector = \"news\"\nage = 3\n"));
        assert!(found.contains("line 6") && found.contains("`age`"), "{found}");
        assert!(problem(start).contains("sector"));
    }
}
