//! The instructions in words, for tests, and so that there is a type where no processor has them.

use super::super::bf16;
use super::{LANES, NUMBERS, PairProducts, Pairs, Product, View};

#[derive(Clone, Copy)]
pub(in super::super) struct Software;

impl Software {
    #[cfg(not(target_arch = "x86_64"))]
    pub(in super::super) fn detect() -> Option<Self> {
        None
    }

    pub(in super::super) fn pack(
        self,
        panels: &mut Vec<u32>,
        matrix: View<'_>,
        shape: (usize, usize),
    ) {
        super::pack(self, panels, matrix, shape);
    }

    pub(in super::super) fn pairs<'a>(
        self,
        scratch: &'a mut Vec<u32>,
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

fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

impl PairProducts for Software {
    type Sums = [f32; LANES];
    type Pairs = [u32; LANES];

    fn zero(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    fn numbers(self, sums: [f32; LANES]) -> [f32; LANES] {
        sums
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

    fn neighbours(self, numbers: &[f32; NUMBERS]) -> [u32; LANES] {
        std::array::from_fn(|i| pair(numbers[2 * i], numbers[2 * i + 1]))
    }

    fn counterparts(self, first: &[f32; LANES], second: &[f32; LANES]) -> [u32; LANES] {
        std::array::from_fn(|i| pair(first[i], second[i]))
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
