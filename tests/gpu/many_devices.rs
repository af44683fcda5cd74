//! Weights and gradients cross between kinds of devices and between threads of one GPU.

use std::time::Instant;

use burn::module::Module;
use mllmseg::device;
use mllmseg::train::TrainingMode;

use super::steps::*;

/// On a software GPU this holds as well, but takes minutes.
#[test]
#[ignore = "needs a hardware GPU: run with `-- --include-ignored`"]
fn a_gpu_learns_together_with_the_cpu() {
    let model = model();
    let mut gpus = device::available();
    gpus.retain(|device| device.is_hardware_gpu);
    assert!(!gpus.is_empty(), "no hardware GPU, or its feature is not built in");
    let expected = losses(model.clone(), None);
    for gpu in gpus {
        let main = SET.prepare(model.valid().fork(&gpu.device), TrainingMode::AS_EVALUATION);
        let list = format!("{},cpu,{0}", gpu.id);
        let mut replicas = replicas_of(&main, &devices(&list));
        let start = Instant::now();
        let found = losses(main, Some(&mut replicas));
        let difference = largest_difference(&found, &expected);
        let (time, traffic) = (start.elapsed(), replicas.traffic());
        println!(
            "{list}: largest difference {difference:e}, {STEPS} steps in {time:?} {traffic:?}"
        );
        assert!(difference < 1e-3, "{found:?} {expected:?}");
        assert_eq!(traffic.received, STEPS as u64 * trained_bytes(&model));
    }
}
