//! The instructions in words, for tests, and so that there is a type where no processor has them.

use super::super::bf16;
#[cfg(test)]
use super::tiles::{DEPTH, SIDE, SquareProducts};
use super::{LANES, PairProducts};
#[cfg(not(target_arch = "x86_64"))]
use super::{Line, Pairs, Product, REGISTERS, View};

#[derive(Clone, Copy)]
pub(in super::super) struct Software;

#[cfg(not(target_arch = "x86_64"))]
impl Software {
    pub(in super::super) fn detect() -> Option<Self> {
        None
    }

    pub(in super::super) fn pack(
        self,
        panels: &mut Vec<Line>,
        matrix: View<'_>,
        shape: (usize, usize),
    ) {
        super::pack::<_, REGISTERS>(self, panels, matrix, shape, 1);
    }

    pub(in super::super) fn pairs<'a>(
        self,
        scratch: &'a mut Vec<Line>,
        a: View<'_>,
        shape: (usize, usize),
    ) -> Pairs<'a> {
        super::pairs(self, scratch, a, shape)
    }

    pub(in super::super) fn product(self, product: Product<'_>) {
        product.run(self);
    }
}

/// A pair's numbers.
fn halves(pair: u32) -> [f32; 2] {
    [pair << 16, pair >> 16 << 16].map(f32::from_bits)
}

fn at(numbers: &[f32], i: usize) -> f32 {
    numbers.get(i).copied().unwrap_or_default()
}

fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

#[cfg(test)]
impl SquareProducts for Software {
    fn square(
        self,
        (out, out_stride, add): (&mut [f32], usize, bool),
        [upper, lower]: [&[u32]; 2],
        b: &[u32],
    ) {
        for (row, out) in out.chunks_mut(out_stride).take(SIDE).enumerate() {
            for (column, out) in out[..SIDE].iter_mut().enumerate() {
                let product = |pair: usize| {
                    let a = if row < LANES { upper } else { lower };
                    let at = pair / DEPTH * DEPTH * LANES + row % LANES * DEPTH + pair % DEPTH;
                    let (a, b) = (halves(a[at]), halves(b[pair * SIDE + column]));
                    a[0] * b[0] + a[1] * b[1]
                };
                let sum = (0..b.len() / SIDE).map(product).sum::<f32>();
                *out = if add { *out } else { 0.0 } + sum;
            }
        }
    }
}

impl PairProducts for Software {
    type Sums = [f32; LANES];
    type Pairs = [u32; LANES];

    fn zero(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    fn put(self, out: &mut [f32], sums: [f32; LANES], add: bool) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if add { *out + sum } else { sum };
        }
    }

    fn load(self, pairs: &[u32; LANES]) -> [u32; LANES] {
        *pairs
    }

    fn store(self, pairs: [u32; LANES]) -> [u32; LANES] {
        pairs
    }

    fn splat(self, pair: u32) -> [u32; LANES] {
        [pair; LANES]
    }

    fn neighbours(self, numbers: &[f32]) -> [u32; LANES] {
        std::array::from_fn(|i| pair(at(numbers, 2 * i), at(numbers, 2 * i + 1)))
    }

    fn counterparts(self, first: &[f32], second: &[f32]) -> [u32; LANES] {
        std::array::from_fn(|i| pair(at(first, i), at(second, i)))
    }

    fn zip(self, a: [u32; LANES], b: [u32; LANES]) -> [[u32; LANES]; 2] {
        [0, LANES / 2].map(|start| std::array::from_fn(|i| [a, b][i % 2][start + i / 2]))
    }

    fn add(self, sums: [f32; LANES], a: [u32; LANES], b: [u32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| {
            let ([a_first, a_second], [first, second]) = (halves(a[i]), halves(b[i]));
            sums[i] + a_second * second + a_first * first
        })
    }
}
