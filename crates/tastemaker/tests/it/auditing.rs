use std::collections::BTreeMap;
use std::path::Path;

use tastemaker::audits::harms::{AnyHarm, Transparency};
use tastemaker::audits::{Autonomy, Context, Levels, Sector};
use tastemaker::core::Dataset;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::splits::Part;
use tastemaker::study::{self, Study};
use tastemaker::{AuditOf, AuditOptions, Audited, Later, Leaving, audit, train, unlearn};

use crate::sharded::{Quiet, study};

/// An audit for one harm.
pub(crate) fn audited(of: AuditOf<'_>, harm: AnyHarm) -> tastemaker::Result<Audited> {
    let context = Context {
        purpose: String::new(),
        audience: String::new(),
        minors: false,
        autonomy: Autonomy::Suggests,
        sector: Sector::Entertainment,
        fail_at: None,
    };
    let options = AuditOptions {
        harms: vec![harm],
        attributes: vec![],
        explanations: None,
        later: Later::default(),
        levels: Levels::usual(),
        context,
        part: Part::Test,
        k: 10,
        users: 0,
        resamples: 100,
        record: BTreeMap::new(),
        refit: false,
        mitigate: false,
    };
    audit(of, &options)
}

/// The same data, whose items have titles.
pub(crate) fn titled(data: Dataset) -> Dataset {
    let titles = (0..data.n_items()).map(|item| Some(format!("Title {item}"))).collect();
    let title = Attribute { name: "title".to_owned(), column: Column::Text(titles) };
    Dataset { catalog: Catalog::new(vec![title], Some("title")), ..data }
}

/// Whether lists of other runs were found beside a run.
fn compared(run: &Path) -> bool {
    let harm = Transparency { users: 5, shuffles: 1 };
    let found = audited(AuditOf::Run(run), AnyHarm::Transparency(harm)).unwrap();
    let not = &found.audit.findings[0].not_measured;
    !not.iter().any(|not| not.reason == "no lists of other runs were given")
}

#[test]
fn only_other_seeds_of_the_same_arm_are_asked_beside_a_run() {
    let out = tempfile::tempdir().unwrap();
    let below = |name: &str| out.path().join(name);
    let seeds = |seeds: &[u64]| {
        let mut study = study("ease");
        study.study.seeds = seeds.to_vec();
        train(&study, out.path(), &Quiet).unwrap();
    };
    seeds(&[1]);
    train(&study("eases"), out.path(), &Quiet).unwrap();
    assert!(!compared(&below("sharded/ease/seed-1")));
    // Two arms, of the same data that is left.
    for arm in ["ease", "eases"] {
        let run = below(&format!("sharded/{arm}/seed-1"));
        let leaving = Leaving::Users(vec!["u3".to_owned()]);
        unlearn(&run, &leaving, &below(&format!("left/{arm}")), &Quiet).unwrap();
    }
    assert!(!compared(&below("left/ease")));
    seeds(&[1, 2]);
    assert!(compared(&below("sharded/ease/seed-1")));
}

#[test]
fn an_arm_without_a_run_says_nothing_of_one_with_other_settings() {
    let out = tempfile::tempdir().unwrap();
    let named = |arm: &str| -> Study {
        let mut study = study(arm);
        study.arm[0].name = "same".to_owned();
        study
    };
    train(&named("decoders"), out.path(), &Quiet).unwrap();
    let of = |study: &Study| {
        let harm = AnyHarm::Transparency(Transparency { users: 5, shuffles: 1 });
        let found = audited(AuditOf::Arm(study, out.path()), harm).unwrap();
        let fields = found.cards.iter().flat_map(|card| &card.fields);
        let says = fields.filter(|field| field.says.is_some()).map(|field| field.name.clone());
        (found.record, says.collect::<Vec<String>>())
    };
    let its = |(record, says): &(BTreeMap<String, String>, Vec<String>)| {
        let weights = record.get("model-hash").is_some_and(|hash| !hash.starts_with("none"));
        (weights, says.contains(&"metrics".to_owned()))
    };
    assert_eq!(its(&of(&named("decoders"))), (true, true));
    assert_eq!(its(&of(&named("ease"))), (false, false));
}

#[test]
fn what_would_have_to_be_trained_is_not_audited_without_a_run() {
    let out = tempfile::tempdir().unwrap();
    let harm = || AnyHarm::Transparency(Transparency { users: 5, shuffles: 1 });
    for arm in ["decoders", "decoder"] {
        let mut study = study("decoders");
        if arm == "decoder" {
            let written = study.to_toml().unwrap();
            let whole = "[arm.recommender.language-model";
            let written =
                written.replace("[arm.recommender.sharded.recommender.language-model", whole);
            let written = written.replace("[arm.recommender.sharded]\nshards = 4\n", "");
            study = study::parse("a.toml", &written, &[]).unwrap();
        }
        let error = audited(AuditOf::Arm(&study, out.path()), harm()).unwrap_err().to_string();
        assert!(error.contains("an audit trains nothing that takes long"), "{arm}: {error}");
    }
    assert!(audited(AuditOf::Arm(&study("eases"), out.path()), harm()).is_ok());
}
