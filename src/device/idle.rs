//! GPUs of this machine that a build without GPUs leaves idle.

use std::path::Path;

/// Device files, the GPUs that they tell of, and the cargo feature that uses them.
const FILES: [(&str, &str, &str); 3] = [
    ("/dev/nvidia0", "an NVIDIA GPU", "cuda"),
    ("/dev/kfd", "an AMD GPU", "rocm"),
    ("/dev/dri/renderD128", "a GPU", "wgpu"),
];

/// One line that tells of a GPU and of the build that would use it; `None` where this build holds
/// GPUs, or there is none.
pub fn idle_gpu() -> Option<String> {
    if cfg!(feature = "gpu") {
        return None;
    }
    let (what, feature) = match cfg!(target_os = "macos") {
        true => ("a GPU", "metal"),
        false => first_of(|path| Path::new(path).exists())?,
    };
    Some(format!(
        "This machine has {what}, but this build computes on the CPU only: \
         `cargo run --release --features {feature} -- ...` uses it"
    ))
}

fn first_of(exists: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    let found = FILES.into_iter().find(|(path, ..)| exists(path))?;
    Some((found.1, found.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NVIDIA's driver has files of both kinds.
    #[test]
    fn the_makers_own_feature_comes_first() {
        assert_eq!(first_of(|_| true).unwrap().1, "cuda");
        assert_eq!(first_of(|path| path.contains("dri")).unwrap().1, "wgpu");
        assert_eq!(first_of(|_| false), None);
    }
}
