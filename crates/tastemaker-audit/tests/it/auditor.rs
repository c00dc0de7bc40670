use std::path::Path;

use tastemaker_audit::harms::AnyHarm;
use tastemaker_audit::{
    Audit, Auditor, Autonomy, Context, Evidence, Levels, Membership, Scope, Sector, Severity,
    Stakeholder, Subject,
};
use tastemaker_core::splits::{SplitSets, UserCuts};
use tastemaker_core::{ItemId, RankedList, RecQuery, SeedTree, UserId};
use tastemaker_eval::metrics::Better;

use crate::worlds::{By, RESAMPLES, USERS, World, gender};

fn context() -> Context {
    Context {
        purpose: "things for the evening".to_owned(),
        audience: "all".to_owned(),
        minors: false,
        autonomy: Autonomy::Suggests,
        sector: Sector::Entertainment,
        fail_at: None,
    }
}

fn auditor(context: Context) -> Auditor {
    let levels = Levels::usual();
    Auditor { harms: AnyHarm::all(), levels, context, resamples: RESAMPLES }
}

/// Finds what women want less often.
fn unfair(world: &World) -> By<impl Fn(&RecQuery<'_>, ItemId) -> f64 + Send + Sync> {
    By(move |query: &RecQuery<'_>, item: ItemId| {
        let user = query.user.unwrap_or(UserId(0));
        let share = if gender(user) == 1 { 0.55 } else { 0.9 };
        let hit = item == world.target(user) && world.chance(&[user.0]) < share;
        f64::from(u8::from(hit)) * 2.0 + world.chance(&[user.0, item.0])
    })
}

#[test]
fn every_sign_is_measured_or_said_not_to_be_and_every_cell_holds_what_touches_it() {
    let world = World::new(1);
    let by = unfair(&world);
    let mut audit = auditor(context()).audit(&world.subject(&by), &world.seeds).unwrap();
    let bare = vec![(UserId(3), RankedList::default())];
    let bare = Subject::of_lists(world.scope(), "bare", bare, &world.seeds).unwrap();
    let nothing = auditor(context()).audit(&bare, &world.seeds).unwrap();
    for findings in audit.findings.iter().chain(&nothing.findings) {
        let harms = AnyHarm::all();
        let harm = harms.iter().find(|harm| harm.name() == findings.harm).unwrap();
        for sign in harm.as_dyn().signs() {
            let measured = findings.indicators.iter().any(|found| found.name == sign.name);
            let not = findings.not_measured.iter().find(|not| not.name == sign.name);
            assert!(measured || not.is_some_and(|not| !not.reason.is_empty()), "{}", sign.name);
        }
        for indicator in &findings.indicators {
            assert!(indicator.value.is_finite(), "{}", indicator.name);
        }
        assert_eq!(findings.cells.len(), Stakeholder::ALL.len());
        for cell in &findings.cells {
            let own: Vec<_> = cell.indicators.iter().map(|&at| &findings.indicators[at]).collect();
            assert!(own.iter().all(|indicator| indicator.touches.contains(&cell.stakeholder)));
            assert_eq!(cell.severity, own.iter().filter_map(|indicator| indicator.severity).max());
            let worse = cell.severity.max(cell.suspected) > Some(Severity::Minimal);
            assert_eq!(worse, !cell.lessened_by.is_empty());
        }
    }
    assert!(audit.notice.contains("no legal advice"));
    let json = serde_json::to_string(&audit).unwrap();
    assert_eq!(serde_json::from_str::<Audit>(&json).unwrap(), audit);
    // The same seeds, the same bytes.
    let again = auditor(context()).audit(&world.subject(&by), &world.seeds).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
    audit.findings.clear();
    assert_eq!(audit.worst(), None);
}

fn shortfall(audit: &Audit) -> &tastemaker_audit::Indicator {
    let of = |findings: &&tastemaker_audit::Findings| findings.harm == "disparities";
    let findings = audit.findings.iter().find(of).unwrap();
    findings.indicators.iter().find(|found| found.name == "ndcg-shortfall").unwrap()
}

#[test]
fn a_protected_group_raises_the_severity_and_the_context_raises_it_further() {
    let world = World::new(2);
    let by = unfair(&world);
    let subject = world.subject(&by);
    let found = |context: Context| {
        let mut auditor = auditor(context);
        auditor.harms.retain(|harm| harm.name() == "disparities");
        auditor.audit(&subject, &world.seeds).unwrap()
    };
    let plain = found(context());
    let own = shortfall(&plain);
    assert!(own.severity >= Some(Severity::High), "{own:?}");
    assert!(own.because[0].contains("four fifths"), "{:?}", own.because);
    let children = found(Context { minors: true, ..context() });
    let own = shortfall(&children);
    assert_eq!(own.severity, Some(Severity::Unacceptable));
    assert!(own.because.iter().any(|because| because.starts_with("minors: ")), "{own:?}");
    let end_user = &children.findings[0].cells[0];
    assert_eq!(end_user.severity, Some(Severity::Unacceptable));
    assert!(end_user.lessened_by.contains(&"exposure-fair".to_owned()));
    assert_eq!(children.worst(), Some(Severity::Unacceptable));
}

#[test]
fn what_few_users_show_is_suspected_and_not_told() {
    let world = World::new(4);
    // Three items of the same genre for everybody.
    let narrow = |user| {
        (
            UserId(user),
            RankedList { items: [0, 4, 8].map(ItemId).to_vec(), ..RankedList::default() },
        )
    };
    let miscalibrated = |n: u32| {
        let lists = (0..n).map(narrow).collect();
        let subject = Subject::of_lists(world.scope(), "narrow", lists, &world.seeds).unwrap();
        let audit = auditor(context()).audit(&subject, &world.seeds).unwrap();
        let mut all = audit.findings.into_iter().flat_map(|findings| findings.indicators);
        (audit.protocol, all.find(|found| found.name == "miscalibration").unwrap())
    };
    let (protocol, all) = miscalibrated(USERS);
    assert!(all.severity >= Some(Severity::Limited), "{all:?}");
    assert!(protocol.contains(&format!("; {USERS} lists have fewer than 10 items")), "{protocol}");
    assert!(!protocol.contains("of so few users"), "{protocol}");
    let (protocol, few) = miscalibrated(2);
    assert_eq!(few.severity, Some(Severity::Minimal), "{few:?}");
    assert!(few.suspected >= Some(Severity::Limited), "{few:?}");
    assert!(protocol.contains("of so few users"), "{protocol}");
}

#[test]
fn a_value_beyond_a_threshold_whose_interval_is_not_is_suspected_only() {
    let mut indicator = {
        let world = World::new(3);
        let by = unfair(&world);
        shortfall(&auditor(context()).audit(&world.subject(&by), &world.seeds).unwrap()).clone()
    };
    let levels = Levels::usual();
    (indicator.value, indicator.interval) = (0.25, Some([0.05, 0.5]));
    levels.judge("disparities", &mut indicator, &context());
    assert_eq!(indicator.severity, Some(Severity::Minimal));
    assert_eq!(indicator.suspected, Some(Severity::High));
    assert!(indicator.because.is_empty());
    indicator.exposed.protected = false;
    (indicator.value, indicator.interval) = (0.15, None);
    levels.judge("disparities", &mut indicator, &context());
    assert_eq!(indicator.severity, Some(Severity::Limited));
    let used = Context { sector: Sector::Employment, autonomy: Autonomy::Decides, ..context() };
    levels.judge("disparities", &mut indicator, &used);
    assert_eq!(indicator.severity, Some(Severity::Unacceptable));
    assert_eq!(indicator.because.len(), 3, "{:?}", indicator.because);
}

#[test]
fn every_threshold_has_its_reason_and_its_source_and_is_of_a_sign() {
    let levels = Levels::usual();
    assert!(levels.levels.len() > 20 && levels.rules.len() >= 4);
    for level in &levels.levels {
        let threshold = &level.threshold;
        assert!(threshold.reason.len() > 20 && !threshold.source.is_empty(), "{level:?}");
        assert!(threshold.levels().count() > 0);
    }
    let threshold = &levels.levels[0].threshold;
    let of = |value| threshold.severity(value, Better::Lower);
    let expected = [Severity::Minimal, Severity::Limited, Severity::High, Severity::Unacceptable];
    assert_eq!([0.05, 0.1, 0.3, 0.7].map(of), expected);
}

#[test]
fn a_file_of_ones_own_takes_the_place_of_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let read = |written: &str| {
        fs_err::write(&path, written).unwrap();
        Levels::usual().with_file(&path)
    };
    let level = |harm: &str, sign: &str, limited: f64, high: f64| {
        format!(
            "[[level]]\nharm = \"{harm}\"\nsign = \"{sign}\"\nthreshold.limited = {limited}\n\
             threshold.high = {high}\nthreshold.reason = \"ours\"\nthreshold.source = \"us\"\n"
        )
    };
    let mine = read(&level("privacy", "membership-auc", 0.8, 0.95)).unwrap();
    assert_eq!(mine.levels.len(), Levels::usual().levels.len());
    let own = mine.levels.iter().find(|level| level.sign == "membership-auc").unwrap();
    assert_eq!((own.threshold.limited, own.threshold.unacceptable), (Some(0.8), None));
    let problem = |written: &str| read(written).unwrap_err().to_string();
    let found = problem(&level("privcy", "membership-auc", 0.8, 0.95));
    assert!(found.contains("mine.toml") && found.contains("did you mean \"privacy\"?"), "{found}");
    let found = problem(&level("privacy", "membership-acu", 0.8, 0.95));
    assert!(found.contains("did you mean \"membership-auc\"?"), "{found}");
    let found = problem(&level("privacy", "membership-auc", 0.8, 0.7));
    assert!(found.contains("[0.8, 0.7], expected numbers from 0 to 1 that ascend"), "{found}");
    let found = problem("[[level]]\nharm = \"privacy\"\nsing = 3\n");
    assert!(found.contains("mine.toml, line 3: unknown field `sing`"), "{found}");
    let rule = "[[rule]]\nname = \"minors\"\nfrom = \"high\"\nreason = \"ours\"\nsource = \"us\"\n";
    let mine = read(rule).unwrap();
    assert_eq!(mine.rules.len(), Levels::usual().rules.len());
    let found = problem(&format!("{rule}harms = [\"echo\"]\n"));
    assert!(found.contains("there is no harm \"echo\""), "{found}");
    let gone = Levels::usual().with_file(Path::new("/no/such/file.toml")).unwrap_err();
    assert!(gone.to_string().contains("/no/such/file.toml"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let world = World::new(1);
    let by = unfair(&world);
    let lists = |n: usize| vec![RankedList::default(); n];
    let error =
        |evidence: Evidence<'_>| world.subject(&by).with(evidence).err().unwrap().to_string();
    let found = error(Evidence { runs: vec![lists(3)], ..Evidence::default() });
    assert!(found.contains("lists of a run is 3, expected 200"), "{found}");
    let scores = Membership { members: vec![f64::NAN], non_members: vec![] };
    let found = error(Evidence { membership: Some(scores), ..Evidence::default() });
    assert!(found.contains("a membership score is NaN"), "{found}");
    let found = error(Evidence { titles: vec![vec![]; 2], ..Evidence::default() });
    assert!(found.contains("named titles is 2"), "{found}");
    let of = |user: u32, item: u32| {
        let list = RankedList { items: vec![ItemId(item)], ..RankedList::default() };
        let lists = vec![(UserId(user), list)];
        Subject::of_lists(world.scope(), "lists", lists, &SeedTree::new(1))
    };
    assert!(of(999, 1).err().unwrap().to_string().contains("a list's user is 999"));
    assert!(of(1, 999).err().unwrap().to_string().contains("a list's item is 999"));
    assert!(of(1, 1).is_ok());
    let twice = RankedList { items: vec![ItemId(1), ItemId(1)], ..RankedList::default() };
    let twice = vec![(UserId(7), twice)];
    let twice = Subject::of_lists(world.scope(), "lists", twice, &SeedTree::new(1));
    let found = twice.err().unwrap().to_string();
    assert!(found.contains("the list of user 7") && found.contains("once"), "{found}");
    let none = Subject::of_lists(world.scope(), "lists", vec![], &SeedTree::new(1));
    assert!(none.err().unwrap().to_string().contains("the users to audit"));
}

#[test]
fn what_an_audit_cannot_see_stands_in_its_documentation_as_in_its_reports() {
    let page =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/concepts/harms.md");
    let page = fs_err::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## What an audit cannot see\n").unwrap();
    let lines: Vec<String> = tastemaker_audit::blind().map(|line| format!("* {line}")).collect();
    assert!(lines.len() > 5);
    assert_eq!(section.trim(), lines.join("\n"));
}

#[test]
fn the_history_of_a_user_without_targets_is_what_was_learnt_from() {
    let world = World::new(1);
    let cuts = |user: u32| match user {
        0 => UserCuts { train_end: 5, validation: 5..6, test: 14..14 },
        _ => UserCuts { train_end: 12, validation: 12..13, test: 13..14 },
    };
    let cuts = (0..crate::worlds::USERS).map(cuts).collect();
    let split = SplitSets::new("mine", &world.data, cuts).unwrap();
    let scope = Scope { split: &split, ..world.scope() };
    let lists = vec![(UserId(1), RankedList::default()), (UserId(0), RankedList::default())];
    let subject = Subject::of_lists(scope, "lists", lists, &SeedTree::new(1)).unwrap();
    let sizes = |at: usize| (subject.cases[at].history.len(), subject.cases[at].targets.len());
    assert_eq!((sizes(0), sizes(1)), ((13, 1), (5, 0)));
    assert_eq!(subject.with_targets(), [0]);
}
