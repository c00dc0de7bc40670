use std::path::Path;

use tastemaker::core::Interactions;
use tastemaker::core::ItemId;
use tastemaker::core::prepare::{Prepared, prepare};
use tastemaker::core::splits::AnySplit;
use tastemaker::core::{Dataset, SeedTree};
use tastemaker::eval::Summary;
use tastemaker::hygiene::{Finding, Subject, Verdict, inspect};
use tastemaker::study::{self, RunFolder, RunResult, Study};

const STUDY: &str = r#"
[study]
name = "clean"
seeds = [1, 2]
[dataset.demo]
[[arm]]
name = "most-popular"
recommender = { most-popular = {} }
"#;

/// A data set of these sequences, with times where they are given.
fn data(sequences: &[Vec<u32>], times: Option<Vec<f64>>) -> Prepared {
    let study = study::parse("a.toml", STUDY, &[]).unwrap();
    let demo = prepare(&study.dataset, &study.prepare).unwrap();
    let n_items = sequences.iter().flatten().max().map_or(0, |n| n + 1);
    let items = |sequence: &Vec<u32>| sequence.iter().copied().map(ItemId).collect::<Vec<_>>();
    let plain = Interactions::from_sequences(sequences.iter().map(items));
    let interactions = match times {
        None => plain,
        Some(times) => {
            let (offsets, items) = (plain.offsets().to_vec(), plain.all_items().to_vec());
            Interactions::from_columns(offsets, items, Some(times), None)
        }
    };
    let dataset = Dataset {
        name: "made".to_owned(),
        hash: "0123456789abcdef0123".to_owned(),
        users: (0..sequences.len()).map(|user| format!("u{user}")).collect(),
        items: (0..n_items).map(|item| item.to_string()).collect(),
        interactions,
        ..Dataset::default()
    };
    Prepared { dataset, ..demo }
}

/// What the checks say of a study of this data.
fn found(text: &str, data: &Prepared, results: &[(RunResult, RunFolder)]) -> Vec<Finding> {
    let study: Study = study::parse("a.toml", text, &[]).unwrap();
    let split: &AnySplit = &study.split;
    let seeds = SeedTree::new(0);
    let split = split.as_dyn().split(&data.dataset, &seeds).unwrap();
    inspect(&Subject { study: &study, data, split: &split, results })
}

fn verdict(findings: &[Finding], check: &str) -> Option<(Verdict, String)> {
    let finding = findings.iter().find(|finding| finding.check == check)?;
    Some((finding.verdict, finding.message.clone()))
}

/// Users who walk through 50 items from different places by steps of 7: no number follows another.
fn clean() -> Vec<Vec<u32>> {
    (0..1200).map(|user| (0..5).map(|i| (user * 3 + i * 7) % 50).collect()).collect()
}

#[test]
fn a_clean_study_is_fine() {
    let findings = found(STUDY, &data(&clean(), None), &[]);
    for finding in &findings {
        // Nothing was searched for, and no run has ended.
        let expected = if finding.check == "tuning" { Verdict::Note } else { Verdict::Fine };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
    assert_eq!(findings.len(), 8, "{findings:#?}");
}

#[test]
fn learning_from_what_comes_after_a_target_is_told_with_its_share() {
    let sequences = vec![vec![0, 1, 2, 3], vec![1, 2, 3, 0]];
    // The second user's two training interactions come after the first one's target.
    let late = data(&sequences, Some(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
    let (verdict_late, message) = verdict(&found(STUDY, &late, &[]), "time").unwrap();
    assert_eq!(verdict_late, Verdict::Note);
    // Half of the training part is later than one of two targets.
    assert!(message.starts_with("25.0 % of what is learnt from"), "{message}");
    let none = data(&sequences, Some(vec![1.0, 2.0, 8.0, 9.0, 1.0, 2.0, 8.0, 9.0]));
    assert_eq!(verdict(&found(STUDY, &none, &[]), "time").unwrap().0, Verdict::Fine);
}

#[test]
fn targets_that_were_seen_cannot_be_found() {
    let mut sequences = clean();
    sequences[0] = vec![3, 4, 5, 3];
    let (grave, message) = verdict(&found(STUDY, &data(&sequences, None), &[]), "repeats").unwrap();
    assert_eq!(grave, Verdict::Warning);
    assert!(
        message.starts_with("1 of 1200 test targets were met by their user before"),
        "{message}"
    );
    let allowed = format!("{STUDY}[evaluate]\nallow-seen = true\n");
    let (mild, _) = verdict(&found(&allowed, &data(&sequences, None), &[]), "repeats").unwrap();
    assert_eq!(mild, Verdict::Note);
}

#[test]
fn items_that_nobody_met_in_training_are_counted() {
    let mut sequences = clean();
    sequences[0] = vec![3, 4, 5, 50];
    let findings = found(STUDY, &data(&sequences, None), &[]);
    let (noted, message) = verdict(&findings, "cold-start items").unwrap();
    assert_eq!(noted, Verdict::Note);
    assert!(message.starts_with("1 test targets (less than 0.1 %)"), "{message}");
}

#[test]
fn ids_that_follow_the_sequences_are_found() {
    let walking: Vec<Vec<u32>> =
        (0..1200).map(|user| (0..5).map(|i| (user * 3 + i) % 50).collect()).collect();
    let (grave, message) =
        verdict(&found(STUDY, &data(&walking, None), &[]), "order of ids").unwrap();
    assert_eq!(grave, Verdict::Warning);
    assert!(message.contains("would by chance"), "{message}");
}

#[test]
fn popularity_with_the_targets_seems_better() {
    // Everybody ends with items that nobody meets before.
    let sequences: Vec<Vec<u32>> =
        (0..1200).map(|user| vec![user % 40, (user * 7 + 1) % 40, 40, 41]).collect();
    let findings = found(STUDY, &data(&sequences, None), &[]);
    let (_, message) = verdict(&findings, "popularity").unwrap();
    assert!(
        message.contains("have HR@10 0.0000") && message.ends_with("seem to be 1.0000"),
        "{message}"
    );
}

#[test]
fn samples_few_users_and_one_seed_are_told() {
    let text = STUDY.replace("[1, 2]", "[1]") + "[evaluate]\nsampled = 100\nusers = 100\n";
    let findings = found(&text, &data(&clean(), None), &[]);
    let of = |check: &str| verdict(&findings, check).unwrap().0;
    assert_eq!(of("sampled metrics"), Verdict::Warning);
    assert_eq!([of("users"), of("seeds")], [Verdict::Note; 2]);
}

#[test]
fn a_baseline_that_is_not_searched_beside_a_favourite_that_is_gets_a_warning() {
    let text = format!(
        "{STUDY}[[arm]]\nname = \"item-knn\"\nrecommender = {{ item-knn = {{}} }}\n\
         space = {{ neighbours = {{ whole = [5, 50] }} }}\n[search]\ntrials = 3\n"
    );
    let (grave, message) = verdict(&found(&text, &data(&clean(), None), &[]), "tuning").unwrap();
    assert_eq!(grave, Verdict::Warning);
    assert!(message.ends_with("3 trials: most-popular"), "{message}");
}

/// A result as a run would have left it.
fn result(arm: &str, protocol: &str, ties: f64) -> (RunResult, RunFolder) {
    let study = study::parse("a.toml", STUDY, &[]).unwrap();
    let folder = RunFolder::of(Path::new("runs"), &study, &study.arm[0], 1);
    let metrics = Summary { protocol: protocol.to_owned(), metrics: vec![], ties: Some(ties) };
    let result = RunResult {
        version: 1,
        tastemaker: "0".to_owned(),
        arm: arm.to_owned(),
        recommender: arm.to_owned(),
        seed: 1,
        study_hash: String::new(),
        data_hash: String::new(),
        split_hash: "one".to_owned(),
        validation: metrics.clone(),
        test: metrics,
    };
    (result, folder)
}

#[test]
fn runs_that_were_asked_for_something_else_and_ties_are_found() {
    let data = data(&clean(), None);
    let alike = [result("a", "the same", 0.0), result("b", "the same", 0.02)];
    let findings = found(STUDY, &data, &alike);
    let of = |findings: &[Finding], check: &str| verdict(findings, check).unwrap().0;
    assert_eq!([of(&findings, "candidates"), of(&findings, "ties")], [Verdict::Fine; 2]);
    let other = [result("a", "the same", 0.0), result("b", "something else", 0.5)];
    let findings = found(STUDY, &data, &other);
    assert_eq!(of(&findings, "candidates"), Verdict::Warning);
    let (noted, message) = verdict(&findings, "ties").unwrap();
    assert_eq!(noted, Verdict::Note);
    assert!(message.ends_with("b 50.0 %"), "{message}");
}
