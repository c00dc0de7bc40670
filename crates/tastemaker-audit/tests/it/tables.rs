use std::collections::BTreeSet;
use std::path::Path;

use tastemaker_audit::Levels;
use tastemaker_audit::harms::AnyHarm;
use tastemaker_audit::mitigations::AnyMitigation;

#[test]
fn tables_are_sorted_and_every_file_of_a_kind_stands_in_its_own() {
    let kinds =
        [("harms", AnyHarm::ENTRIES, ""), ("mitigations", AnyMitigation::ENTRIES, "trade_off")];
    for (folder, entries, helper) in kinds {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for entry in entries {
            assert!(entry.summary.ends_with(['.', ')']) && entry.summary.len() < 110, "{entry:?}");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        for file in fs_err::read_dir(path).unwrap() {
            let path = file.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().replace('_', "-");
            let helps = stem == "mod" || stem == helper.replace('_', "-");
            assert!(helps || names.contains(&&stem[..]), "{stem} is in no table of {folder}");
        }
    }
}

#[test]
fn all_harms_are_those_of_the_table_with_settings_that_can_be_left_out() {
    let all = AnyHarm::all();
    let names = all.iter().map(AnyHarm::name);
    assert!(names.eq(AnyHarm::ENTRIES.iter().map(|entry| entry.name)));
    for harm in all {
        assert_eq!(tastemaker_core::registry::usual::<AnyHarm>(harm.name()), Some(harm));
    }
}

#[test]
fn signs_have_names_of_their_own_and_say_how_they_are_taken() {
    let levels = Levels::usual();
    for harm in AnyHarm::all() {
        let signs = harm.as_dyn().signs();
        let names: BTreeSet<&str> = signs.iter().map(|sign| sign.name).collect();
        assert_eq!(names.len(), signs.len(), "{}", harm.name());
        for sign in signs {
            assert!(sign.summary.len() > 20 && !sign.touches.is_empty(), "{}", sign.name);
            assert!(sign.range.0 < sign.range.1, "{}", sign.name);
        }
        // A harm of which no sign has a threshold could never be found.
        assert!(levels.levels.iter().any(|level| level.harm == harm.name()), "{}", harm.name());
    }
}
