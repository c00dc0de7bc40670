use tastemaker_audit::harms::{AnyHarm, Disparities, EchoChambers};
use tastemaker_audit::mitigations::{
    AnyMitigation, Calibrated, Exploration, ExposureFair, Mitigated, Mmr, PopularityDebiased,
    TradeOff,
};
use tastemaker_core::{ItemId, RecQuery, Recommender, UserId};
use tastemaker_eval::metrics::Ndcg;

use crate::worlds::{By, Found, K, SEEDS, World, genre};

fn all(strength: f64) -> Vec<AnyMitigation> {
    let attribute = Some("genres".to_owned());
    vec![
        AnyMitigation::Calibrated(Calibrated { strength, attribute: attribute.clone() }),
        AnyMitigation::Exploration(Exploration { strength, seed: 1 }),
        AnyMitigation::ExposureFair(ExposureFair { strength, attribute: None }),
        AnyMitigation::Mmr(Mmr { strength, attribute }),
        AnyMitigation::PopularityDebiased(PopularityDebiased { strength }),
    ]
}

/// Popular items of one genre in front, and for half of the users what they want before all.
fn narrow(world: &World) -> By<impl Fn(&RecQuery<'_>, ItemId) -> f64 + Send + Sync> {
    By(move |query: &RecQuery<'_>, item: ItemId| {
        let user = query.user.unwrap_or(UserId(0));
        let wanted = item == world.target(user) && world.chance(&[user.0]) < 0.5;
        let same = f64::from(u8::from(genre(item) == user.0 / 2 % 4));
        f64::from(u8::from(wanted)) + same - f64::from(item.0) / 60.0
    })
}

#[test]
fn each_lessens_what_it_is_for() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = narrow(&world);
        let subject = world.subject(&by);
        let echo = AnyHarm::EchoChambers(EchoChambers {
            attribute: Some("genres".to_owned()),
            rounds: 0,
            ..EchoChambers::default()
        });
        let disparities = AnyHarm::Disparities(Disparities::default());
        let cases = [
            (&echo, "miscalibration", "genres"),
            (&echo, "coverage", ""),
            (&disparities, "popular-rsp", ""),
            (&echo, "diversity", "genres"),
            (&disparities, "average-popularity", ""),
        ];
        for (mitigation, (harm, sign, of)) in all(0.5).iter().zip(cases) {
            let before = Found::of(harm, &subject, &world.seeds);
            let changed = Mitigated::new(&by, mitigation, &subject.ground);
            let changed = subject.changed(&changed).unwrap();
            let after = Found::of(harm, &changed, &world.seeds);
            crate::worlds::separate(after.get(sign, of), before.get(sign, of));
        }
    }
}

#[test]
fn without_strength_nothing_changes_and_with_it_lists_are_still_lists() {
    let world = World::new(1);
    let by = narrow(&world);
    let subject = world.subject(&by);
    let histories: Vec<Vec<ItemId>> = subject.cases.iter().map(|c| c.history.to_vec()).collect();
    let candidates: Vec<ItemId> = (60..100).map(ItemId).collect();
    for strength in [0.0, 0.3, 1.0] {
        for mitigation in all(strength) {
            let mitigated = Mitigated::new(&by, &mitigation, &subject.ground);
            for told in [None, Some(&candidates[..])] {
                let query = |(history, user)| RecQuery {
                    user: Some(UserId(user)),
                    history,
                    candidates: told,
                };
                let queries: Vec<_> =
                    histories.iter().map(Vec::as_slice).zip(0..).map(query).collect();
                let lists = mitigated.recommend(&queries, &subject.options(K)).unwrap();
                if strength == 0.0 {
                    assert_eq!(lists, by.recommend(&queries, &subject.options(K)).unwrap());
                }
                for (list, query) in lists.iter().zip(&queries) {
                    let name = mitigation.name();
                    assert_eq!((list.items.len(), list.scores.len()), (K, K), "{name}");
                    assert!(list.scores.is_sorted_by(|a, b| a >= b), "{name}");
                    let mut items = list.items.clone();
                    items.sort_unstable();
                    items.dedup();
                    assert_eq!(items.len(), K, "{name}");
                    let may = |item: &ItemId| told.is_none_or(|told| told.contains(item));
                    assert!(items.iter().all(|i| may(i) && !query.history.contains(i)), "{name}");
                }
            }
        }
    }
}

#[test]
fn what_is_best_in_both_is_on_the_front() {
    let world = World::new(2);
    let by = narrow(&world);
    let subject = world.subject(&by);
    let harm = AnyHarm::Disparities(Disparities::default());
    let trade_off = TradeOff {
        accuracy: &Ndcg { k: K },
        harm: &harm,
        sign: "average-popularity",
        of: "",
        resamples: 100,
    };
    let strengths = [0.0, 0.2, 0.5, 0.9];
    let points = trade_off.points(&subject, &all(0.0), &strengths, &world.seeds).unwrap();
    assert_eq!(points.len(), 1 + 5 * strengths.len());
    let worth = |at: usize| (points[at].accuracy, -points[at].harm.value);
    for (at, point) in points.iter().enumerate() {
        let ((a, h), name) = (worth(at), &point.mitigation);
        let beaten = (0..points.len()).any(|other| {
            let (b, i) = worth(other);
            b >= a && i >= h && (b > a || i > h)
        });
        assert_eq!(point.pareto, !beaten, "{name}");
        if point.strength == 0.0 {
            assert_eq!(
                (point.accuracy, point.harm.value),
                (points[0].accuracy, points[0].harm.value)
            );
        }
    }
    let strongest = points.iter().rfind(|p| p.mitigation == "popularity-debiased").unwrap();
    assert!(strongest.harm.value < points[0].harm.value / 2.0);
    assert!(strongest.accuracy < points[0].accuracy);
    assert!(points.iter().any(|point| point.pareto && point.strength > 0.0));
    let missing = TradeOff { sign: "attack-success", ..trade_off };
    let error = missing.points(&subject, &all(0.0), &[0.5], &world.seeds).unwrap_err();
    assert!(error.to_string().contains("none of the harm's signs"), "{error}");
    let error = missing.points(&subject, &all(0.0), &[1.5], &world.seeds).unwrap_err();
    assert!(error.to_string().contains("a strength is 1.5"), "{error}");
}

#[test]
fn makers_that_an_attribute_names_get_their_share() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(|query: &RecQuery<'_>, item: ItemId| {
            let user = query.user.map_or(0, |user| user.0);
            f64::from(u8::from(item.0 % 6 == 2)) / 2.0 + world.chance(&[user, item.0])
        });
        let subject = world.subject(&by);
        let provider = Some("maker".to_owned());
        let harm = AnyHarm::Disparities(Disparities { provider, ..Disparities::default() });
        let before = Found::of(&harm, &subject, &world.seeds);
        let attribute = Some("maker".to_owned());
        let fair = AnyMitigation::ExposureFair(ExposureFair { strength: 0.8, attribute });
        let changed = Mitigated::new(&by, &fair, &subject.ground);
        let after = Found::of(&harm, &subject.changed(&changed).unwrap(), &world.seeds);
        let sign = "provider-shift";
        crate::worlds::separate(after.get(sign, "maker"), before.get(sign, "maker"));
    }
}
