//! The instructions of AMX-TILE and AMX-BF16: eight registers of sixteen rows of 64 bytes.
//!
//! They take numbers below the smallest normal one for zero, factors and sums alike. Rust has no
//! stable names for them yet, so they stand here as assembler.

#![expect(unsafe_code, reason = "the registers are reached by assembler alone")]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::tiles::{DEPTH, SIDE, SquareProducts};
use super::{LANES, Product};

/// Says that the processor has AMX-BF16 and that this process may use it.
#[derive(Clone, Copy)]
pub(super) struct Amx(());

/// What `ldtilecfg` reads: all eight registers in their full size (Intel 64 and IA-32 Architectures
/// Software Developer's Manual, volume 1, chapter 18).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

impl Amx {
    /// The instructions, if the processor has them and Linux lets this process use them.
    pub(super) fn detect() -> Option<Self> {
        static HAS: OnceLock<bool> = OnceLock::new();
        HAS.get_or_init(|| has_instructions() && is_permitted()).then_some(Self(()))
    }

    /// The product.
    #[inline(always)]
    pub(super) fn product(self, product: Product<'_>) {
        // SAFETY: the processor has the instruction, and the configuration is a valid one.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack)) };
        product.run_squares(self);
        // SAFETY: as above. A thread without tiles in use is cheaper to switch.
        unsafe { asm!("tilerelease", options(nostack)) };
    }
}

fn has_instructions() -> bool {
    // Bits of EDX in leaf 7.
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE
}

/// Asks Linux (5.16 or later) for the memory in which it keeps the registers of a waiting thread.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// How other systems are asked is not known here.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

impl SquareProducts for Amx {
    #[inline(always)]
    fn square(
        self,
        (out, out_stride, add): (&mut [f32], usize, bool),
        [upper, lower]: [&[u32]; 2],
        b: &[u32],
    ) {
        /// Pairs of a register of the left factor, and of two of the right one.
        const LEFT: usize = LANES * DEPTH;
        const RIGHT: usize = SIDE * DEPTH;
        assert!((SIDE - 1) * out_stride + SIDE <= out.len(), "the product is too small");
        let steps = b.len() / RIGHT;
        assert!(steps * RIGHT == b.len(), "a register is multiplied as a whole");
        assert!(steps * LEFT == upper.len() && steps * LEFT == lower.len(), "factors do not fit");
        if steps == 0 {
            if !add {
                out.chunks_mut(out_stride).take(SIDE).for_each(|row| row[..SIDE].fill(0.0));
            }
            return;
        }
        let out = out.as_mut_ptr();
        // SAFETY: the processor has the instructions, `product` has configured the registers, and
        // the asserts say that the sixteen rows of each load and store lie within the slices. The
        // flag only decides whether sums are read before they are written.
        unsafe {
            asm!(
                "test {add:e}, {add:e}",
                "jz 2f",
                "tileloadd tmm0, [{out0} + {out_stride}]",
                "tileloadd tmm1, [{out0} + {out_stride} + 64]",
                "tileloadd tmm2, [{out1} + {out_stride}]",
                "tileloadd tmm3, [{out1} + {out_stride} + 64]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:",
                "tileloadd tmm4, [{upper} + {a_stride}]",
                "tileloadd tmm6, [{b} + {b_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {b_stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{lower} + {a_stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {upper}, {left}",
                "add {lower}, {left}",
                "add {b}, {right}",
                "dec {steps}",
                "jnz 3b",
                "tilestored [{out0} + {out_stride}], tmm0",
                "tilestored [{out0} + {out_stride} + 64], tmm1",
                "tilestored [{out1} + {out_stride}], tmm2",
                "tilestored [{out1} + {out_stride} + 64], tmm3",
                add = in(reg) u32::from(add),
                out0 = in(reg) out,
                out1 = in(reg) out.add(LANES * out_stride),
                out_stride = in(reg) out_stride * size_of::<f32>(),
                upper = inout(reg) upper.as_ptr() => _,
                lower = inout(reg) lower.as_ptr() => _,
                a_stride = in(reg) DEPTH * size_of::<u32>(),
                b = inout(reg) b.as_ptr() => _,
                b_stride = in(reg) SIDE * size_of::<u32>(),
                left = const LEFT * size_of::<u32>(),
                right = const RIGHT * size_of::<u32>(),
                steps = inout(reg) steps => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
