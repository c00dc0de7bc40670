use tastemaker_audit::harms::{AnyHarm, Transparency};
use tastemaker_audit::{Evidence, Explanation};
use tastemaker_core::recommender::rank;
use tastemaker_core::{
    ItemId, RankOptions, RankedList, RecQuery, Recommender, Result, SeedTree, UserId,
};

use crate::worlds::{By, Found, K, SEEDS, World, genre, separate};

fn harm() -> AnyHarm {
    AnyHarm::Transparency(Transparency::default())
}

fn user(query: &RecQuery<'_>) -> u32 {
    query.user.map_or(0, |user| user.0)
}

/// Puts what is told first first, and the history's last item's genre in front.
struct Reads<'a>(&'a World);

impl Recommender for Reads<'_> {
    fn name(&self) -> &'static str {
        "reads"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> Result<Vec<RankedList>> {
        let of = |query: &RecQuery<'_>| {
            let last = query.history.last().map_or(0, |item| genre(*item));
            let score = |item: u32| {
                let place = query.candidates.and_then(|told| told.iter().position(|i| i.0 == item));
                let early = place.map_or(0.0, |place| 10.0 - place as f32);
                early
                    + f32::from(u8::from(genre(ItemId(item)) == last))
                    + self.0.chance(&[user(query), item]) as f32
            };
            let n = u32::try_from(options.ties.n_items()).unwrap();
            let mut scores: Vec<f32> = (0..n).map(score).collect();
            rank(query, &mut scores, options)
        };
        Ok(queries.iter().map(of).collect())
    }
}

#[test]
fn what_reads_prompts_from_the_top_is_told_from_what_does_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let fixed = By(|query: &RecQuery<'_>, item: ItemId| world.chance(&[user(query), item.0]));
        let reads = Reads(&world);
        let reads = Found::of(&harm(), &world.subject(&reads), &world.seeds);
        let fixed = Found::of(&harm(), &world.subject(&fixed), &world.seeds);
        for sign in ["order-tau", "order-overlap", "history-overlap", "place-gap"] {
            separate(fixed.get(sign, ""), reads.get(sign, ""));
        }
        assert_eq!(fixed.get("order-tau", "").value, 1.0);
        assert_eq!(fixed.get("place-gap", "").value, 0.0);
        assert!(reads.get("place-gap", "").protocol.contains("best told at 0, worst at 19"));
    }
}

#[test]
fn runs_that_say_the_same_are_told_from_runs_that_do_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let run = |noise: f64, run: u32| {
            let world = &world;
            By(move |query: &RecQuery<'_>, item: ItemId| {
                let own = world.chance(&[user(query), item.0]);
                own + noise * world.chance(&[user(query), item.0, run])
            })
        };
        let found = |noise: f64| {
            let first = run(noise, 0);
            let subject = world.subject(&first);
            let again = |n: u32| {
                let other = run(noise, n);
                subject.ask(&other, &subject.everybody(), K).unwrap()
            };
            let evidence = Evidence { runs: vec![again(1), again(2)], ..Evidence::default() };
            Found::with(&harm(), subject, evidence, &world.seeds)
        };
        let (steady, wavers) = (found(0.01), found(2.0));
        for sign in ["run-jaccard", "run-overlap"] {
            separate(steady.get(sign, ""), wavers.get(sign, ""));
        }
    }
}

#[test]
fn explanations_that_cite_the_reason_are_told_from_those_that_cite_anything() {
    for seed in SEEDS {
        let world = World::new(seed);
        // What is as far along as the history's first item comes first; nothing else matters.
        let by = By(|query: &RecQuery<'_>, item: ItemId| {
            let first = query.history.first().map_or(0, |item| item.0);
            -f64::from(first.abs_diff(item.0)) + world.chance(&[item.0]) / 2.0
        });
        let subject = || world.subject(&by);
        let cited = |last: bool| {
            let subject = subject();
            let of = |(case, list): (&tastemaker_core::splits::EvalCase<'_>, &RankedList)| {
                let at = if last { case.history.len() - 1 } else { 0 };
                let (item, cited) = (list.items[0], case.history[at]);
                Explanation { user: case.user, item, text: String::new(), cited: Some(cited) }
            };
            subject.cases.iter().zip(&subject.lists).map(of).collect::<Vec<_>>()
        };
        let found = |explanations: Vec<Explanation>| {
            let evidence = Evidence { explanations, ..Evidence::default() };
            Found::with(&harm(), subject(), evidence, &world.seeds)
        };
        let (honest, made_up) = (found(cited(false)), found(cited(true)));
        let sign = "explanation-faithfulness";
        separate(honest.get(sign, ""), made_up.get(sign, ""));
        assert!(honest.get(sign, "").interval.unwrap()[0] > 0.5);
        // Who cites what is not in the history cites nothing.
        let (user, item, cited) = (UserId(0), ItemId(1), Some(ItemId(9999)));
        let outside = Explanation { user, item, text: String::new(), cited };
        assert!(found(vec![outside]).reason(sign).contains("not defined"));
    }
}

#[test]
fn what_does_not_read_histories_cannot_be_explained_by_them() {
    let world = World::new(1);
    // Removing an item of the history lets it come back, in front of what is explained.
    let by = By(|_: &RecQuery<'_>, item: ItemId| -f64::from(item.0));
    let subject = world.subject(&by);
    let of = |at: usize| {
        let (case, list) = (&subject.cases[at], &subject.lists[at]);
        let cited = *case.history.iter().min().unwrap();
        let (item, cited) = (list.items[9], Some(cited));
        Explanation { user: case.user, item, text: String::new(), cited }
    };
    let explanations: Vec<Explanation> = subject.everybody().into_iter().map(of).collect();
    let evidence = Evidence { explanations, ..Evidence::default() };
    let found = Found::with(&harm(), subject, evidence, &world.seeds);
    let faithful = found.get("explanation-faithfulness", "");
    assert_eq!((faithful.value, faithful.interval), (0.0, Some([0.0, 0.0])));
}

#[test]
fn scores_that_are_surer_than_right_are_told() {
    for seed in SEEDS {
        let world = World::new(seed);
        // The first item is right for half of the users, and says so or says that it is certain.
        let says = |sure: f64| {
            let world = &world;
            By(move |query: &RecQuery<'_>, item: ItemId| {
                let owner = UserId(user(query));
                let hit = world.chance(&[owner.0]) < 0.5;
                let other = ItemId((world.target(owner).0 + 1) % 120);
                let first = if hit { world.target(owner) } else { other };
                if item == first { sure } else { 0.0 }
            })
        };
        // Softmax among ten: e^s / (e^s + 9) is one half, or nearly one.
        let (honest, boasts) = (says(9_f64.ln()), says(12.0));
        let honest = Found::of(&harm(), &world.subject(&honest), &world.seeds);
        let boasts = Found::of(&harm(), &world.subject(&boasts), &world.seeds);
        separate(honest.get("calibration-error", ""), boasts.get("calibration-error", ""));
    }
}

#[test]
fn lists_alone_are_not_asked_again() {
    let world = World::new(1);
    let list = RankedList { items: vec![ItemId(1), ItemId(2)], ..RankedList::default() };
    let subject = tastemaker_audit::Subject::of_lists(
        world.scope(),
        "lists",
        vec![(UserId(0), list)],
        &SeedTree::new(1),
    )
    .unwrap();
    let found = Found::of(&harm(), &subject, &world.seeds);
    assert!(found.0.is_empty());
    assert_eq!(found.1.len(), harm().as_dyn().signs().len());
    assert!(found.reason("order-tau").contains("cannot be asked for again"));
    assert!(found.reason("calibration-error").contains("scores"));
}
