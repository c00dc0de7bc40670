//! Matrix products on slices.

/// A matrix that lies in a slice with any strides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix whose rows begin `row_stride` apart.
    pub fn rows(values: &'a [f32], row_stride: usize) -> Self {
        Self { values, row_stride, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// `out = a · b`, with `out` of `m` × `n` in rows `out_stride` apart, `a` of `m` × `k` and `b` of
/// `k` × `n`; on the calling thread.
pub fn multiply(
    out: &mut [f32],
    out_stride: usize,
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    product(out, out_stride, (m, n, k), a, b, false);
}

/// `out += a · b`, as [`multiply`].
pub fn multiply_add(
    out: &mut [f32],
    out_stride: usize,
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    product(out, out_stride, (m, n, k), a, b, true);
}

fn product(
    out: &mut [f32],
    out_stride: usize,
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
    add: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        assert!(add || m == 0 || n == 0, "a product over nothing would leave `out` as it was");
        return;
    }
    assert!(n <= out_stride && (m - 1) * out_stride + n <= out.len(), "out is too small");
    assert!(a.holds(m, k) && b.holds(k, n), "a factor is too small");
    let stride =
        |stride: usize| isize::try_from(stride).expect("a slice is shorter than isize::MAX");
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: the assertions above keep every element that is read or written inside its slice,
    // and `out` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride(out_stride),
            add,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn safe(
        out: &mut [f32],
        stride: usize,
        (m, n, k): (usize, usize, usize),
        a: View<'_>,
        b: View<'_>,
    ) {
        for i in 0..m {
            for j in 0..n {
                out[i * stride + j] += (0..k)
                    .map(|x| {
                        a.values[i * a.row_stride + x * a.column_stride]
                            * b.values[x * b.row_stride + j * b.column_stride]
                    })
                    .sum::<f32>();
            }
        }
    }

    proptest! {
        #[test]
        fn the_product_is_the_safe_one(m in 1..9usize, n in 1..20usize, k in 1..40usize, gap in 0..3usize, flip: bool) {
            let a: Vec<f32> = (0..m * k).map(|i| (i * 37 % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..n * k).map(|i| (i * 53 % 13) as f32 - 6.0).collect();
            let b = if flip { View::rows(&b, k).transposed() } else { View::rows(&b, n) };
            let stride = n + gap;
            let (mut fast, mut slow) = (vec![1.0; m * stride], vec![1.0; m * stride]);
            multiply_add(&mut fast, stride, (m, n, k), View::rows(&a, k), b);
            safe(&mut slow, stride, (m, n, k), View::rows(&a, k), b);
            prop_assert_eq!(fast, slow);
        }
    }
}
