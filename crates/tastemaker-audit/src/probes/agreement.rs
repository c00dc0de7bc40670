//! How alike two lists are. Where nothing else is said, an item stands in a list once.

use std::collections::BTreeSet;

/// Jaccard's likeness of two lists as sets.
///
/// # Formula
/// |A ∩ B| / |A ∪ B|; 1 of two empty lists. From 0 to 1, larger is more alike.
///
/// # References
/// `Jaccard@K` of `FaiRLLM` (Zhang et al. 2023).
pub fn jaccard<T: Ord>(a: &[T], b: &[T]) -> f64 {
    let (a, b): (BTreeSet<&T>, BTreeSet<&T>) = (a.iter().collect(), b.iter().collect());
    let common = a.intersection(&b).count();
    let all = a.len() + b.len() - common;
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

/// Rank-biased overlap with persistence `p`, extrapolated.
///
/// # Formula
/// `(1 − p) Σ pᵈ⁻¹ A(d) + pᵏ A(k)` over depths d from 1 to k, the length of the shorter list, with A(d)
/// the share that the first d of both have in common. 1 of two empty lists, 0 where one is. From 0 to 1,
/// larger is more alike; with p = 0.9 the first 10 have 86 % of the weight.
///
/// # References
/// Webber, Moffat and Zobel 2010, equation 23; `rbo(p, ext=True)` of the Python package `rbo`.
pub fn rank_biased_overlap<T: PartialEq>(a: &[T], b: &[T], p: f64) -> f64 {
    let k = a.len().min(b.len());
    if k == 0 {
        return f64::from(u8::from(a.len() == b.len()));
    }
    let (mut common, mut sum, mut weight) = (0_usize, 0.0, 1.0 - p);
    for d in 0..k {
        common += if a[d] == b[d] {
            1
        } else {
            usize::from(b[..d].contains(&a[d])) + usize::from(a[..d].contains(&b[d]))
        };
        sum += weight * common as f64 / (d + 1) as f64;
        weight *= p;
    }
    sum + weight / (1.0 - p) * common as f64 / k as f64
}

/// Kendall's τ between two orders, over the items that stand in both.
///
/// # Formula
/// (concordant − discordant pairs) / pairs. From −1 to 1, larger is more alike; `None` of fewer than two
/// common items.
///
/// # References
/// Kendall 1938; `kendalltau` of scipy.stats, which without ties is the same.
pub fn kendall_tau<T: PartialEq>(a: &[T], b: &[T]) -> Option<f64> {
    let places: Vec<usize> =
        a.iter().filter_map(|item| b.iter().position(|other| other == item)).collect();
    let n = places.len();
    let kept = (1..n).map(|j| (0..j).filter(|&i| places[i] < places[j]).count()).sum::<usize>();
    let pairs = n * n.saturating_sub(1) / 2;
    (pairs > 0).then(|| 2.0 * kept as f64 / pairs as f64 - 1.0)
}

/// How much of `neutral` is in `list`, weighted by rank: SERP* in the form of its paper.
///
/// # Formula
/// Σ (K − r + 1) / (K (K + 1) / 2) over the items of `list` that are in `neutral`, r the rank in `list`,
/// from 1, and K the length of `list`. From 0 to 1, larger is more alike; 0 of empty lists.
///
/// # References
/// Zhang et al. 2023 (`FaiRLLM`), after Tomlein et al. 2021.
pub fn serp<T: PartialEq>(list: &[T], neutral: &[T]) -> f64 {
    let k = list.len() as f64;
    let gains = (0_u32..).zip(list).filter(|(_, item)| neutral.contains(item));
    let sum: f64 = gains.map(|(place, _)| k - f64::from(place)).sum();
    if sum > 0.0 { sum / (k * (k + 1.0) / 2.0) } else { 0.0 }
}

/// [`serp`] as the code of its paper has it: on another scale, which is that of the published values.
///
/// # Formula
/// ½ Σ (K − i + 1) / (L (L + 1)), with i the rank from 0, K the length of `list` and L that of `neutral`.
/// From 0 to (K + 3) / (4 (K + 1)) of lists of one length, which is 0.27 for K = 20 and never 1.
///
/// # References
/// `calc_serp_ms` in `process.ipynb` of jizhi-zhang/FaiRLLM.
pub fn serp_as_coded<T: PartialEq>(list: &[T], neutral: &[T]) -> f64 {
    let (k, l) = (list.len() as f64, neutral.len() as f64);
    let gains = (0_u32..).zip(list).filter(|(_, item)| neutral.contains(item));
    let sum: f64 = gains.map(|(place, _)| k - f64::from(place) + 1.0).sum();
    if sum > 0.0 { sum * 0.5 / (l * (l + 1.0)) } else { 0.0 }
}

/// How many pairs of `list` are in the order of `neutral`: PRAG*.
///
/// # Formula
/// Of the pairs (v, w) of `list`, v before w, the share with v in `neutral` and w behind it there or not
/// at all. Of one item: whether it is all of `neutral`. From 0 to 1, larger is more alike; 0 of empty
/// lists.
///
/// # References
/// Zhang et al. 2023; `calc_prag` in `process.ipynb` of jizhi-zhang/FaiRLLM, after Beutel et al. 2019.
pub fn prag<T: PartialEq>(list: &[T], neutral: &[T]) -> f64 {
    let k = list.len();
    if k < 2 || neutral.is_empty() {
        return f64::from(u8::from(k == 1 && list == neutral));
    }
    let places: Vec<Option<usize>> =
        list.iter().map(|item| neutral.iter().position(|other| other == item)).collect();
    let kept = |i: usize, j: usize| match (places[i], places[j]) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(first), Some(second)) => first < second,
    };
    let n = (1..k).map(|j| (0..j).filter(|&i| kept(i, j)).count()).sum::<usize>();
    n as f64 / (k * (k - 1) / 2) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serp_as_coded_of_the_same_list_is_not_one() {
        let list: Vec<u32> = (0..20).collect();
        assert_eq!((serp(&list, &list), prag(&list, &list)), (1.0, 1.0));
        assert!((serp_as_coded(&list, &list) - 23.0 / 84.0).abs() < 1e-12);
    }

    #[test]
    fn lists_without_anything_are_compared_too() {
        let none: [u32; 0] = [];
        assert_eq!((jaccard(&none, &none), rank_biased_overlap(&none, &none, 0.9)), (1.0, 1.0));
        assert_eq!((rank_biased_overlap(&none, &[1], 0.9), jaccard(&none, &[1])), (0.0, 0.0));
        assert_eq!(
            (serp(&none, &[1]), serp_as_coded(&[1], &none), prag(&none, &[1])),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(kendall_tau(&[1, 2], &[2, 3]), None);
    }
}
