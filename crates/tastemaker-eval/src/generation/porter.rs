//! Stems of English words by Porter 1980, with nltk's extensions.

/// Words whose stems follow no rule.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("inning", "inning"),
    ("innings", "inning"),
    ("outing", "outing"),
    ("outings", "outing"),
    ("canning", "canning"),
    ("cannings", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Endings of the second step, and what stands for them.
const SECOND: [(&str, &str); 20] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Endings of the third step, and what stands for them.
const THIRD: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Endings that the fourth step takes off; "ion" only after s or t.
const FOURTH: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word in lower case, as `PorterStemmer` of nltk finds it.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(other, _)| *other == word) {
        return (*stem).to_owned();
    }
    if word.chars().count() <= 2 {
        return word.to_owned();
    }
    let word = present(&singular(word));
    let word = match word.strip_suffix('y') {
        Some(stem) if matches!(consonants(stem)[..], [_, .., true]) => format!("{stem}i"),
        _ => word,
    };
    let word = replaced(&second(&word), &THIRD);
    last_letter(&fourth(&word))
}

/// Step 1a.
fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => with_i(stem),
        None if word.ends_with("sses") => word[..word.len() - 2].to_owned(),
        None if word.ends_with("ss") => word.to_owned(),
        None => word.strip_suffix('s').unwrap_or(word).to_owned(),
    }
}

/// Step 1b.
fn present(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return with_i(stem);
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word.to_owned() };
    }
    let stem = word.strip_suffix("ed").or_else(|| word.strip_suffix("ing"));
    let Some(stem) = stem.filter(|stem| consonants(stem).contains(&false)) else {
        return word.to_owned();
    };
    if ["at", "bl", "iz"].iter().any(|ending| stem.ends_with(ending)) {
        return format!("{stem}e");
    }
    let mut backwards = stem.chars().rev();
    let last = backwards.next();
    if last == backwards.next() && consonants(stem).ends_with(&[true]) {
        let stays = stem.ends_with(['l', 's', 'z']);
        return if stays { stem.to_owned() } else { without_last(stem).to_owned() };
    }
    if measure(stem) == 1 && is_short(stem) { format!("{stem}e") } else { stem.to_owned() }
}

/// Step 2.
fn second(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        return second(&format!("{stem}al"));
    }
    if word.ends_with("logi") {
        let short = without_last(word);
        return if measure(&short[..short.len() - 2]) > 0 { short } else { word }.to_owned();
    }
    replaced(word, &SECOND)
}

/// Step 4.
fn fourth(word: &str) -> String {
    let found = FOURTH.iter().find_map(|ending| Some((word.strip_suffix(ending)?, *ending)));
    let goes = |(stem, ending): &(&str, &str)| {
        measure(stem) > 1 && (*ending != "ion" || stem.ends_with(['s', 't']))
    };
    found.filter(goes).map_or(word, |(stem, _)| stem).to_owned()
}

/// Step 5.
fn last_letter(word: &str) -> String {
    let goes = |stem: &&str| measure(stem) > 1 || (measure(stem) == 1 && !is_short(stem));
    let word = word.strip_suffix('e').filter(goes).unwrap_or(word);
    let doubled = word.ends_with("ll") && measure(without_last(word)) > 1;
    if doubled { without_last(word) } else { word }.to_owned()
}

/// The word with the first of these endings replaced that it has, where a vowel and a consonant after it
/// come before.
fn replaced(word: &str, endings: &[(&str, &str)]) -> String {
    let found = endings.iter().find_map(|(ending, new)| Some((word.strip_suffix(ending)?, new)));
    match found.filter(|(stem, _)| measure(stem) > 0) {
        Some((stem, new)) => format!("{stem}{new}"),
        None => word.to_owned(),
    }
}

/// A stem that had "ies" or "ied" behind it.
fn with_i(stem: &str) -> String {
    if stem.chars().count() == 1 { format!("{stem}ie") } else { format!("{stem}i") }
}

fn without_last(word: &str) -> &str {
    let mut letters = word.chars();
    letters.next_back();
    letters.as_str()
}

/// Which letters are consonants: all but a, e, i, o, u, and y after a consonant.
fn consonants(word: &str) -> Vec<bool> {
    let (mut flags, mut before) = (Vec::with_capacity(word.len()), false);
    for letter in word.chars() {
        before = match letter {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !before,
            _ => true,
        };
        flags.push(before);
    }
    flags
}

/// How often a vowel comes before a consonant.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

/// Whether it ends with a consonant, a vowel and a consonant other than w, x and y, or is of a vowel and a
/// consonant.
fn is_short(word: &str) -> bool {
    match consonants(word)[..] {
        [false, true] => true,
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn stems_are_those_of_nltk() {
        let golden = include_str!("../../tests/golden/stems.json");
        let golden: Vec<(String, String)> = serde_json::from_str(golden).unwrap();
        for (word, expected) in &golden {
            assert_eq!(super::stem(word), *expected, "of {word}");
        }
        assert!(golden.len() > 1000);
    }
}
