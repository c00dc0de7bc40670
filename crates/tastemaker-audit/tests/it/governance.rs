use std::collections::BTreeMap;

use tastemaker_audit::Evidence;
use tastemaker_audit::harms::{AnyHarm, Governance};
use tastemaker_core::{ItemId, RecQuery};

use crate::worlds::{By, Found, World, separate};

#[test]
fn a_full_record_is_told_from_an_empty_one() {
    let world = World::new(1);
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
    let harm = AnyHarm::Governance(Governance::default());
    let full: BTreeMap<String, String> =
        Governance::fields().into_iter().map(|(name, _)| (name, "said".to_owned())).collect();
    let mut spaces = full.clone();
    spaces.insert("seeds".to_owned(), "  ".to_owned());
    let found = |provenance: BTreeMap<String, String>, seconds| {
        let evidence = Evidence { provenance, seconds, ..Evidence::default() };
        Found::with(&harm, world.subject(&by), evidence, &world.seeds)
    };
    let (empty, full) = (found(BTreeMap::new(), None), found(full, Some(7200.0)));
    for sign in ["record-completeness", "licences-known", "repeatable", "oversight"] {
        separate(full.get(sign, ""), empty.get(sign, ""));
        assert_eq!(full.get(sign, "").value, 1.0);
    }
    // The data and the split say their own hashes, and an empty value is none.
    assert!(empty.get("repeatable", "").value > 0.0);
    assert!(
        empty
            .get("licences-known", "")
            .protocol
            .ends_with("empty: data-licence, consent, model-licence")
    );
    assert!(found(spaces, None).get("repeatable", "").protocol.ends_with("; empty: seeds"));
    assert!(empty.reason("energy-kwh").contains("how long"));
    let energy = full.get("energy-kwh", "");
    assert!((energy.value - 0.13 * 1.58).abs() < 1e-12 && energy.protocol.contains("not measured"));
    assert!((full.get("emissions-kg", "").value - energy.value * 0.475).abs() < 1e-12);
}
