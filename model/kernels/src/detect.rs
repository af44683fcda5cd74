//! Which vectors the processor has.

use pulp::{Arch, WithSimd};

/// Runs `work` with the widest vectors of this processor.
pub(crate) fn vectorised<W: WithSimd>(work: W) -> W::Output {
    // `Arch` knows AVX2 only by a feature of `pulp`, with which `gemm` and Burn would be compiled anew.
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::Simd;
        use pulp::x86::{V3, V4};
        if let Some(avx512) = V4::try_new() {
            return Simd::vectorize(avx512, work);
        }
        if let Some(avx2) = V3::try_new() {
            return Simd::vectorize(avx2, work);
        }
    }
    Arch::new().dispatch(work)
}
