//! Which vectors the processor has.

use pulp::{Arch, WithSimd};

/// Runs `work` with the widest vectors of this processor.
pub(crate) fn vectorised<W: WithSimd>(work: W) -> W::Output {
    // `Arch` knows AVX2 only by a feature of `pulp`, with which `gemm` and Burn would be compiled anew.
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::Simd;
        use pulp::x86::{V3, V4};
        if let Some(avx512) = V4::try_new().filter(|_| is_allowed("avx512")) {
            return Simd::vectorize(avx512, work);
        }
        if let Some(avx2) = V3::try_new().filter(|_| is_allowed("avx2")) {
            return Simd::vectorize(avx2, work);
        }
    }
    Arch::new().dispatch(work)
}

#[cfg(all(not(test), target_arch = "x86_64"))]
const fn is_allowed(_: &str) -> bool {
    true
}

/// A run of the tests may leave wider vectors out.
#[cfg(all(test, target_arch = "x86_64"))]
fn is_allowed(kind: &str) -> bool {
    std::env::var("TEST_VECTORS").map_or(true, |kind_of_test| kind_of_test == kind)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::process::Command;

    /// All tests of this crate again, with the vectors of older processors and with none.
    #[test]
    fn narrower_vectors_pass_every_test() {
        for kind in ["avx2", "scalar"] {
            let mut tests = Command::new(std::env::current_exe().unwrap());
            tests.args(["--skip", "narrower_vectors"]).env("TEST_VECTORS", kind);
            let output = tests.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{kind}: {text}");
            assert!(!text.contains("running 0 tests"), "{kind}: {text}");
        }
    }
}
