//! Ranking in two passes: bounds of all scores from eight-bit numbers, and the scores of those few
//! that can still be among the best.
//!
//! With a table's row e = s q + r, q in eight bits and r what rounding leaves, and the same of a
//! hidden state h = t p + u, the score differs from s t (p · q) by h · r + u · (s q), which is at
//! most ‖h‖ ‖r‖ + ‖u‖ ‖s q‖ (Cauchy and Schwarz). A class whose score cannot reach the bar is
//! passed over; the others get the score that [`super::rank`] gives them. So the same classes are
//! kept, and a quarter of the bytes is read.

use super::super::matrix::{Panels, Precision, View, multiply_packed};
use super::super::simd::vectorised;
use super::Keeper;

/// Classes whose bounds are made together.
const LANES: usize = 16;

/// Panels of `LANES` classes that are gone through for all hidden states in turn.
const PANELS: usize = 64;

/// Rows whose scores are made together.
const SURVIVORS: usize = 32;

/// The largest eight-bit number in use; two products of such numbers fit into sixteen bits.
const LARGEST: f32 = 127.0;

/// A table [classes, width] in eight bits.
#[derive(Debug)]
pub struct Int8Table {
    width: usize,
    /// [panels, width, LANES], filled up with zeros.
    values: Vec<i8>,
    /// Of each class, in panels.
    rows: Vec<Rounded<[f32; LANES]>>,
}

/// What rounding to multiples of a scale has done to a vector.
#[derive(Clone, Copy, Debug, Default)]
struct Rounded<T> {
    scale: T,
    /// A bound of the norm of the difference; also of what arithmetic in f32 adds to it.
    error: T,
    /// A bound of the norm of the rounded vector.
    norm: T,
}

/// A hidden state, and what its keeper may want.
struct State {
    values: Vec<i16>,
    rounded: Rounded<f32>,
    /// A bound of the norm of the state itself.
    norm: f32,
    exact: Panels,
    survivors: Vec<u32>,
}

impl Int8Table {
    /// Rounds `table` [classes, width].
    pub fn new(table: &[f32], width: usize) -> Self {
        let panels = table.len().div_ceil(LANES * width.max(1));
        let mut values = vec![0; panels * width * LANES];
        let mut rows = vec![Rounded::<[f32; LANES]>::default(); panels];
        for (class, row) in table.chunks_exact(width.max(1)).enumerate() {
            let (panel, lane) = (class / LANES, class % LANES);
            let values = values[panel * width * LANES + lane..].iter_mut().step_by(LANES);
            let rounded = round(row, values);
            rows[panel].scale[lane] = rounded.scale;
            rows[panel].error[lane] = rounded.error;
            rows[panel].norm[lane] = rounded.norm;
        }
        Self { width, values, rows }
    }

    /// [`super::rank`], for `table` the one of which this was made and any number of `hidden`
    /// states: every class that it offers and that the keeper keeps is offered, with the same
    /// score.
    ///
    /// # Panics
    /// If there are not as many keepers as hidden states, or the table is another.
    pub fn rank<K: Keeper>(&self, hidden: &[f32], table: &[f32], keepers: &mut [K]) {
        let width = self.width;
        assert!(hidden.len() == keepers.len() * width, "one keeper a row");
        assert!(table.len().div_ceil(LANES * width) == self.rows.len(), "another table");
        let mut states: Vec<State> = hidden.chunks_exact(width).map(State::new).collect();
        let (classes, mut bounds) = (table.len() / width, [0.0; PANELS * LANES]);
        for start in (0..self.rows.len()).step_by(PANELS) {
            let end = self.rows.len().min(start + PANELS);
            let first = start * LANES;
            for (state, keeper) in states.iter_mut().zip(keepers.iter_mut()) {
                let n = classes.min(end * LANES) - first;
                bound(self, start, end, state, &mut bounds);
                state.offer((first, &bounds[..n]), table, keeper);
            }
        }
    }

    /// Bounds of the scores of the classes in panels from `start` to `end`.
    #[inline(always)]
    fn bound(&self, start: usize, end: usize, state: &State, bounds: &mut [f32]) {
        let length = self.width * LANES;
        let panels = self.values[start * length..end * length].chunks_exact(length.max(1));
        let rows = self.rows[start..end].iter();
        for ((panel, row), bounds) in panels.zip(rows).zip(bounds.as_chunks_mut::<LANES>().0) {
            let products = products(panel, &state.values);
            for i in 0..LANES {
                let near = products[i] as f32 * (row.scale[i] * state.rounded.scale);
                bounds[i] = near + state.norm * row.error[i] + state.rounded.error * row.norm[i];
                // For what is too small to be told from nothing.
                bounds[i] += f32::MIN_POSITIVE;
            }
        }
    }
}

vectorised! {
    fn bound<'a>(
        table: &'a Int8Table,
        start: usize,
        end: usize,
        state: &'a State,
        bounds: &'a mut [f32],
    ) -> () = Int8Table::bound;
}

/// The dot products of a panel's classes with a state.
#[inline(always)]
fn products(panel: &[i8], state: &[i16]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    let (rows, last_row) = panel.as_chunks::<{ 2 * LANES }>();
    let (pairs, last) = state.as_chunks::<2>();
    for (rows, pair) in rows.iter().zip(pairs) {
        for i in 0..LANES {
            let product = i16::from(rows[i]) * pair[0] + i16::from(rows[LANES + i]) * pair[1];
            sums[i] += i32::from(product);
        }
    }
    for last in last {
        for (sum, value) in sums.iter_mut().zip(last_row) {
            *sum += i32::from(i16::from(*value) * last);
        }
    }
    sums
}

/// Rounds `row` into `values`.
#[expect(clippy::cast_possible_truncation, reason = "a multiple of the scale is at most LARGEST")]
fn round<'a>(row: &[f32], values: impl Iterator<Item = &'a mut i8>) -> Rounded<f32> {
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / LARGEST;
    let [mut error, mut of_rounded, mut of_row] = [0.0_f64; 3];
    for (value, out) in row.iter().zip(values) {
        let multiple = if scale > 0.0 { (value / scale).round() } else { 0.0 };
        *out = multiple.clamp(-LARGEST, LARGEST) as i8;
        let rounded = f64::from(scale) * f64::from(*out);
        error += (f64::from(*value) - rounded).powi(2);
        of_rounded += rounded.powi(2);
        of_row += f64::from(*value).powi(2);
    }
    // A sum of `width` products in f32 is off by at most width + 1 roundings of ‖h‖ ‖e‖ (Higham
    // 2002, §3.1); the few steps from the products to a bound by less than 16 more.
    let roundings = (row.len() + 16) as f64 * f64::from(f32::EPSILON);
    let above = |x: f64| (x * (1.0 + 1e-6)) as f32;
    Rounded {
        scale,
        error: above(error.sqrt() + roundings * (of_row.sqrt() + of_rounded.sqrt())),
        norm: above(of_rounded.sqrt()),
    }
}

impl State {
    fn new(hidden: &[f32]) -> Self {
        let mut values = vec![0; hidden.len()];
        let rounded = round(hidden, values.iter_mut());
        let view = View::rows(hidden, hidden.len()).transposed();
        Self {
            values: values.into_iter().map(i16::from).collect(),
            norm: rounded.norm + rounded.error,
            rounded,
            exact: Panels::new(Precision::F32, view, (hidden.len(), 1)),
            survivors: Vec::with_capacity(SURVIVORS),
        }
    }

    /// Offers of the classes from `first` on those whose `bounds` are not below the keeper's bar.
    #[expect(clippy::cast_possible_truncation, reason = "classes are numbered in 32 bits")]
    fn offer<K: Keeper>(
        &mut self,
        (first, bounds): (usize, &[f32]),
        table: &[f32],
        keeper: &mut K,
    ) {
        let mut bar = keeper.bar();
        for (i, bounds) in bounds.chunks(LANES).enumerate() {
            // What is not a number is not below the bar.
            let mut all_below = true;
            for bound in bounds {
                all_below &= *bound < bar;
            }
            if all_below {
                continue;
            }
            for (lane, bound) in bounds.iter().enumerate() {
                if !matches!(bound.partial_cmp(&bar), Some(std::cmp::Ordering::Less)) {
                    self.survivors.push((first + i * LANES + lane) as u32);
                    if self.survivors.len() == SURVIVORS {
                        self.score(table, keeper);
                        bar = keeper.bar();
                    }
                }
            }
        }
        self.score(table, keeper);
    }

    /// Offers the survivors with their scores.
    fn score<K: Keeper>(&mut self, table: &[f32], keeper: &mut K) {
        let (width, mut rows) = (self.values.len(), vec![]);
        for &class in &self.survivors {
            rows.extend_from_slice(&table[class as usize * width..][..width]);
        }
        let (n, mut scores) = (self.survivors.len(), [0.0; SURVIVORS]);
        multiply_packed((&mut scores, 1, false), n, View::rows(&rows, width), &self.exact);
        for (class, score) in self.survivors.drain(..).zip(scores) {
            keeper.offer(class, score);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rank;
    use super::*;

    /// Keeps the `n` best, of equal ones the first.
    #[derive(Clone, Debug, PartialEq)]
    struct Best(usize, Vec<(f32, u32)>);

    impl Keeper for Best {
        fn bar(&self) -> f32 {
            if self.1.len() < self.0 { f32::NEG_INFINITY } else { self.1[self.0 - 1].0 }
        }

        fn offer(&mut self, class: u32, score: f32) {
            self.1.push((if score.is_nan() { f32::MIN } else { score }, class));
            self.1.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            self.1.truncate(self.0);
        }
    }

    fn best(hidden: &[f32], table: &[f32], width: usize, int8: bool) -> Vec<Best> {
        let mut keepers = vec![Best(5, vec![]); hidden.len() / width];
        if int8 {
            Int8Table::new(table, width).rank(hidden, table, &mut keepers);
        } else {
            rank(hidden, table, width, &mut keepers);
        }
        keepers
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_full_precision(
            rows in 1_usize..6,
            classes in 1_usize..3000,
            width in 1_usize..40,
            numbers in prop::collection::vec(-1.0_f32..1.0, 64),
            spread in -20_i8..20,
        ) {
            let number = |i: usize| {
                let other = numbers[(i * i + i / 64) % 64];
                numbers[i % 64] * other * f32::from(spread).exp2().powi([0, 1, 2][i % 3])
            };
            let hidden: Vec<f32> = (0..rows * width).map(number).collect();
            let table: Vec<f32> = (7..7 + classes * width).map(number).collect();
            prop_assert_eq!(
                best(&hidden, &table, width, true),
                best(&hidden, &table, width, false)
            );
        }
    }

    #[test]
    fn equal_scores_zeros_and_what_is_not_a_number_are_kept_alike() {
        let width = 8;
        for odd in [0.0, 1.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, 1e-42] {
            let mut table = vec![0.5; 100 * width];
            table[40 * width + 3] = odd;
            for hidden in [[1.0; 8], [0.0; 8], [1e30; 8]] {
                let (int8, full) =
                    (best(&hidden, &table, width, true), best(&hidden, &table, width, false));
                assert_eq!(int8, full, "{odd}, {hidden:?}");
            }
        }
    }

    #[test]
    fn few_classes_are_scored_in_full() {
        struct Counting(Best, usize);
        impl Keeper for Counting {
            fn bar(&self) -> f32 {
                self.0.bar()
            }
            fn offer(&mut self, class: u32, score: f32) {
                self.1 += 1;
                self.0.offer(class, score);
            }
        }
        let (width, classes) = (64_usize, 20_000_usize);
        let number = |i: usize| ((i * 2_654_435_761) % 65_536) as f32 / 32_768.0 - 1.0;
        let table: Vec<f32> = (0..classes * width).map(|i| number(i ^ (i >> 7))).collect();
        let hidden: Vec<f32> = (0..width).map(|i| number(i * 77 + 5)).collect();
        let mut keepers = [Counting(Best(10, vec![]), 0)];
        Int8Table::new(&table, width).rank(&hidden, &table, &mut keepers);
        assert!(keepers[0].1 < classes / 50, "{} of {classes}", keepers[0].1);
    }
}
