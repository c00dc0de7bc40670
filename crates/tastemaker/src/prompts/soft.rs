//! Soft tokens of templates: vectors that learn, among words.

use minijinja::{Environment, ErrorKind};
use tastemaker_nn::adapters::SOFT;
use tastemaker_nn::text::TextTokenizer;

use crate::Result;
use crate::error::setting;

/// What a template calls for soft tokens with.
const FUNCTION: &str = "soft";

/// The most soft tokens of a template.
const MOST: usize = 1000;

/// The letter that stands for the first soft token in a text before it is divided into tokens; the others
/// follow. None of these letters is anybody's: they are of the second of the planes of Unicode for private
/// use, of which icons have the first.
const FIRST: u32 = 0x10_0000;

/// The soft tokens that a template speaks of: names, each with a number of vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Soft(Vec<(String, usize)>);

impl Soft {
    /// Those that a template's `source` speaks of, as `soft('P', 4)`. A name that is said again is of the
    /// same vectors.
    pub(super) fn of(source: &str) -> Result<Self> {
        let mut all: Vec<(String, usize)> = Vec::new();
        let code = code(source);
        for (at, _) in code.match_indices(FUNCTION) {
            let (before, after) = (&code[..at], &code[at + FUNCTION.len()..]);
            let within_word = before.ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c));
            let Some(arguments) = after.trim_start().strip_prefix('(').filter(|_| !within_word)
            else {
                continue;
            };
            let arguments = arguments.split(')').next().unwrap_or_default();
            let wrong = || {
                let found = format!("{FUNCTION}({arguments})");
                setting("template", found, "soft('P', 4): a name in letters, and how many vectors")
            };
            let (name, n) = arguments.split_once(',').ok_or_else(wrong)?;
            let quoted = |quote: char| name.trim().strip_prefix(quote)?.strip_suffix(quote);
            let name = quoted('\'').or_else(|| quoted('"')).ok_or_else(wrong)?;
            let n: usize = n.trim().parse().map_err(|_| wrong())?;
            if name.is_empty() || !name.chars().all(char::is_alphanumeric) || n == 0 {
                return Err(wrong());
            }
            match all.iter().find(|(known, _)| known == name) {
                None => all.push((name.to_owned(), n)),
                Some((_, known)) if *known == n => {}
                Some(_) => return Err(wrong()),
            }
        }
        let soft = Self(all);
        if soft.n() > MOST {
            let expected = format!("{MOST} at most");
            return Err(setting("the soft tokens of a template", soft.n(), expected));
        }
        Ok(soft)
    }

    /// How many there are.
    pub(super) fn n(&self) -> usize {
        self.0.iter().map(|(_, n)| n).sum()
    }

    /// Lets a template call for them: a letter for each.
    pub(super) fn add_to(&self, environment: &mut Environment<'static>) {
        let all = self.clone();
        environment.add_function(FUNCTION, move |name: String, n: usize| {
            let mut first = 0;
            for (known, of_known) in &all.0 {
                if *known == name && *of_known == n {
                    return Ok((first..first + n).filter_map(letter).collect::<String>());
                }
                first += of_known;
            }
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, "soft() of what it never said"))
        });
    }

    /// The number of the soft token for which a letter stands.
    fn number(&self, letter: char) -> Option<usize> {
        let number = u32::from(letter).checked_sub(FIRST)? as usize;
        (number < self.n()).then_some(number)
    }

    /// The tokens of a prompt, whose first words are read as a text's `from_the_start`.
    pub(super) fn tokens(
        &self,
        tokenizer: &TextTokenizer,
        text: &str,
        from_the_start: bool,
    ) -> Result<Vec<u32>> {
        let encode = |text: &str, first: bool| -> Result<Vec<u32>> {
            let start = first && from_the_start;
            let encoded =
                if start { tokenizer.encode(&[text]) } else { tokenizer.encode_as_it_is(&[text]) };
            Ok(encoded?.concat())
        };
        let (mut all, mut rest) = (Vec::new(), text);
        while let Some((at, number)) =
            rest.char_indices().find_map(|(at, letter)| Some((at, self.number(letter)?)))
        {
            let (words, after) = rest.split_at(at);
            if !words.is_empty() || all.is_empty() {
                all.extend(encode(words, all.is_empty())?);
            }
            all.push(SOFT + u32::try_from(number).unwrap_or(0));
            rest = &after[after.chars().next().map_or(0, char::len_utf8)..];
        }
        if !rest.is_empty() || all.is_empty() {
            all.extend(encode(rest, all.is_empty())?);
        }
        Ok(all)
    }

    /// A text as it is shown, with the names of soft tokens where they stand.
    pub(super) fn shown(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let names: Vec<String> = self
            .0
            .iter()
            .flat_map(|(name, n)| (1..=*n).map(move |i| format!("[{name}{i}]")))
            .collect();
        let mut shown = String::with_capacity(text.len());
        for letter in text.chars() {
            match self.number(letter) {
                Some(number) => shown.push_str(&names[number]),
                None => shown.push(letter),
            }
        }
        shown
    }
}

/// What of a template is code, and neither words nor comments.
fn code(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(at) = rest.find('{') {
        let end = match rest.get(at..at + 2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                rest = &rest[at + 1..];
                continue;
            }
        };
        let inside = &rest[at + 2..];
        let (inside, after) = inside.split_once(end).unwrap_or((inside, ""));
        if end != "#}" {
            code.push_str(inside);
            code.push('\n');
        }
        rest = after;
    }
    code
}

fn letter(number: usize) -> Option<char> {
    char::from_u32(FIRST + u32::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_tokens_are_counted_by_their_names() {
        let of = |source: &str| Soft::of(source).map(|soft| soft.n()).map_err(|e| e.to_string());
        assert_eq!(
            of("{{ history | join }} soft (drinks), {# soft('P', 4) #} {microsoft(1)"),
            Ok(0)
        );
        assert_eq!(of("{% if microsoft(1) %}{% set p = soft('P', 2) %}{% endif %}"), Ok(2));
        assert_eq!(of("{{ soft('P', 4) }} a {{ soft(\"Q\",2) }} b {{ soft('P', 4) }}"), Ok(6));
        for wrong in ["soft()", "soft('P')", "soft(P, 4)", "soft('P', n)", "soft('', 1)"] {
            let error = of(&format!("{{{{ {wrong} }}}}")).unwrap_err();
            assert!(error.contains(wrong) && error.contains("soft('P', 4)"), "{error}");
        }
        assert!(of("{{ soft('P', 4) }}{{ soft('P', 3) }}").unwrap_err().contains("soft('P', 3)"));
        assert!(of("{{ soft('P', 900) }}{{ soft('Q', 101) }}").unwrap_err().contains("1001"));
        let soft = Soft::of("{{ soft('P', 2) }}{{ soft('Q', 1) }}").unwrap();
        let text: String = [1, 2, 3].into_iter().filter_map(letter).collect();
        // The last is nobody's.
        assert_eq!(soft.shown(&format!("a{text}")), format!("a[P2][Q1]{}", letter(3).unwrap()));
    }
}
