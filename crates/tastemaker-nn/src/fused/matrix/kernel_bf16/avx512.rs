//! The instructions of AVX512-BF16.
//!
//! They take numbers below the smallest normal one for zero, factors and sums alike.

#![expect(unsafe_code, reason = "only the processor can say whether it has the instructions")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
    _mm512_loadu_epi32, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_permutex2var_epi32,
    _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_epi32,
};
use std::mem::transmute;

use super::amx::Amx;
use super::{LANES, Line, NUMBERS, PairProducts, Pairs, Product, REGISTERS, View, from, tiles};

/// Says that the processor has AVX512-BF16, and whether it multiplies whole squares too.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512Bf16 {
    squares: Option<Amx>,
}

impl Avx512Bf16 {
    /// The instructions, if the processor has them.
    pub(in super::super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16");
        has.then(|| Self { squares: Amx::detect() })
    }

    /// Packs a right factor.
    pub(in super::super) fn pack(
        self,
        panels: &mut Vec<Line>,
        matrix: View<'_>,
        shape: (usize, usize),
    ) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        fn run(with: Avx512Bf16, panels: &mut Vec<Line>, matrix: View<'_>, shape: (usize, usize)) {
            match with.squares {
                Some(_) => tiles::pack(with, panels, matrix, shape),
                None => super::pack::<_, REGISTERS>(with, panels, matrix, shape, 1),
            }
        }
        // SAFETY: a value of this type is only made where the processor has the features.
        unsafe { run(self, panels, matrix, shape) }
    }

    /// The pairs of a left factor.
    pub(in super::super) fn pairs<'a>(
        self,
        scratch: &'a mut Vec<Line>,
        a: View<'_>,
        shape: (usize, usize),
    ) -> Pairs<'a> {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        fn run<'a>(
            with: Avx512Bf16,
            scratch: &'a mut Vec<Line>,
            a: View<'_>,
            shape: (usize, usize),
        ) -> Pairs<'a> {
            match with.squares {
                Some(_) => tiles::rows_of_pairs(with, scratch, a, shape),
                None => super::pairs(with, scratch, a, shape),
            }
        }
        // SAFETY: a value of this type is only made where the processor has the features.
        unsafe { run(self, scratch, a, shape) }
    }

    /// The product.
    pub(in super::super) fn product(self, product: Product<'_>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        fn run(product: Product<'_>, with: Avx512Bf16) {
            match with.squares {
                Some(amx) => amx.product(product),
                None => product.run(with),
            }
        }
        // SAFETY: a value of this type is only made where the processor has the features.
        unsafe { run(product, self) }
    }
}

/// The first numbers, with zeros where there are too few.
#[inline(always)]
fn load(numbers: &[f32]) -> __m512 {
    // SAFETY: called where the processor has the features alone; what the mask leaves out is not
    // read.
    unsafe { _mm512_maskz_loadu_ps(mask(numbers.len()), numbers.as_ptr()) }
}

/// A mask of the first `n`, or of all.
#[inline(always)]
fn mask(n: usize) -> u16 {
    match n {
        LANES.. => u16::MAX,
        n => (1 << n) - 1,
    }
}

impl PairProducts for Avx512Bf16 {
    type Sums = __m512;
    type Pairs = __m512i;

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: a value of this type is only made where the processor has the features.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    fn put(self, out: &mut [f32], sums: __m512, add: bool) {
        let (mask, out) = (mask(out.len()), out.as_mut_ptr());
        // SAFETY: as in `zero`; what the mask leaves out is neither read nor written.
        unsafe {
            let sums =
                if add { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sums) } else { sums };
            _mm512_mask_storeu_ps(out, mask, sums);
        }
    }

    #[inline(always)]
    fn load(self, pairs: &[u32; LANES]) -> __m512i {
        // SAFETY: as in `zero`; `pairs` is as long as a register.
        unsafe { _mm512_loadu_epi32(pairs.as_ptr().cast::<i32>()) }
    }

    #[inline(always)]
    fn store(self, pairs: __m512i) -> [u32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: as in `zero`; `out` is as long as a register.
        unsafe { _mm512_storeu_epi32(out.as_mut_ptr().cast::<i32>(), pairs) };
        out
    }

    #[inline(always)]
    fn splat(self, pair: u32) -> __m512i {
        // SAFETY: as in `zero`.
        unsafe { _mm512_set1_epi32(pair.cast_signed()) }
    }

    #[inline(always)]
    fn neighbours(self, numbers: &[f32]) -> __m512i {
        let (first, second) = (load(numbers), load(from(numbers, LANES)));
        // SAFETY: as in `zero`. The instruction puts the numbers of its second operand first; bits
        // are all that the conversion keeps.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
    }

    #[inline(always)]
    fn counterparts(self, first: &[f32], second: &[f32]) -> __m512i {
        const ORDER: [u16; NUMBERS] = [
            0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27,
            12, 28, 13, 29, 14, 30, 15, 31,
        ];
        let (first, second) = (load(first), load(second));
        // SAFETY: as in `neighbours`; `ORDER` is as long as a register.
        unsafe {
            let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            _mm512_permutexvar_epi16(transmute::<[u16; NUMBERS], __m512i>(ORDER), both)
        }
    }

    #[inline(always)]
    fn zip(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
        // Where each comes from, those of `b` numbered after those of `a`.
        const HALVES: [[u32; LANES]; 2] = [
            [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23],
            [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31],
        ];
        // SAFETY: as in `zero`; an order is as long as a register.
        HALVES.map(|order| unsafe {
            _mm512_permutex2var_epi32(a, transmute::<[u32; LANES], __m512i>(order), b)
        })
    }

    #[inline(always)]
    fn add(self, sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: as in `zero`; the conversions change the type of the bits alone.
        unsafe {
            let [a, b] = [a, b].map(|pairs| transmute::<__m512i, __m512bh>(pairs));
            _mm512_dpbf16_ps(sums, a, b)
        }
    }
}
