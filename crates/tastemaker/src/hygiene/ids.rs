//! Whether the numbers that items are called by tell in which order they are met.

use super::{Found, Subject, Verdict, percent};

/// How much more often than by chance the next number must follow.
const TIMES_CHANCE: f64 = 10.0;

/// The share of steps from an item to the one whose id is the next number, beside what it would be if
/// users met items by popularity alone. Where items were numbered along the sequences, as in the files of
/// S3-Rec, whatever reads ids as text is told what comes next (P5's leak).
pub(super) fn order(subject: &Subject<'_>) -> Found {
    let data = &subject.data.dataset;
    let numbers: Option<Vec<u64>> = data.items.iter().map(|id| id.parse().ok()).collect();
    let numbers = numbers?;
    let interactions = &data.interactions;
    let (mut steps, mut next) = (0_u64, 0_u64);
    for user in interactions.users() {
        for pair in interactions.sequence(user).windows(2) {
            steps += 1;
            next += u64::from(numbers[pair[1].index()] == numbers[pair[0].index()].wrapping_add(1));
        }
    }
    if steps == 0 {
        return None;
    }
    let share = next as f64 / steps as f64;
    let chance = by_chance(subject, &numbers);
    let (found, expected) = (percent(share), percent(chance));
    Some(if share > TIMES_CHANCE * chance && next > 1 {
        let message = format!(
            "{found} of the steps go to the item whose id is the next number ({expected} would by chance): \
             ids were given out along the sequences. Items are permuted before a model reads them, here; \
             whoever reads the ids of this file as text is told what comes next"
        );
        (Verdict::Warning, message)
    } else {
        let message =
            format!("ids tell nothing of the order: {found} of the steps go to the next number");
        (Verdict::Fine, message)
    })
}

/// How often two interactions drawn at random are with an item and the one with the next number.
fn by_chance(subject: &Subject<'_>, numbers: &[u64]) -> f64 {
    let data = &subject.data.dataset;
    let mut met = vec![0_u32; data.n_items()];
    for item in data.interactions.all_items() {
        met[item.index()] += 1;
    }
    let mut sorted: Vec<(u64, f64)> =
        numbers.iter().zip(&met).map(|(&number, &met)| (number, f64::from(met))).collect();
    sorted.sort_by_key(|(number, _)| *number);
    let follows = |pair: &[(u64, f64)]| pair[1].0 == pair[0].0.wrapping_add(1);
    let pairs = sorted.windows(2).filter(|pair| follows(pair)).map(|pair| pair[0].1 * pair[1].1);
    let total: f64 = met.iter().map(|&n| f64::from(n)).sum();
    pairs.sum::<f64>() / (total * total)
}
