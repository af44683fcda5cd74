//! A training run on several devices is the run on one device. `tests/gpu/` has a GPU among them.

#[cfg(feature = "remote")]
mod remote;
pub mod steps;

use mllmseg::train::replicas::{ReplicaError, Replicas};
use mllmseg::train::trainable::trained_paths;
use mllmseg::train::{StepError, TrainStep, TrainableSet, TrainingMode};
use steps::*;

#[test]
fn two_replicas_learn_as_one_device_does() {
    let model = model();
    let expected = losses(model.clone(), None);
    assert!(expected[STEPS - 1] < expected[0], "{expected:?}");
    let devices = devices("cpu,cpu");
    let run = || {
        let mut replicas = replicas_of(&model, &devices);
        let losses = losses(model.clone(), Some(&mut replicas));
        assert_eq!(replicas.traffic().sent, 0, "weights of the same device are shared");
        losses
    };
    let found = run();
    let difference = largest_difference(&found, &expected);
    println!("cpu,cpu: losses {found:?}, largest difference {difference:e}");
    assert!(difference < 1e-4, "{found:?} {expected:?}");
    assert_eq!(found, run(), "the order of the devices is the order of the sum");
}

#[test]
fn mistakes_in_a_step_leave_the_replicas_working() {
    let model = model();
    let step = TrainStep::new(SEG);
    let mut replicas = replicas_of(&model, &devices("cpu,cpu"));
    let mut broken = halves(0);
    broken[1].examples[0].masks.clear();
    let error = replicas.gradients(&step, &model, broken, 0).unwrap_err();
    assert!(matches!(error, ReplicaError::Step(StepError::Example { .. })), "{error}");
    // Fewer batches than devices, and none at all.
    let alone = replicas.gradients(&step, &model, vec![batch(0, 0..4)], 0).unwrap();
    assert_eq!(alone.norms.of_weights.len(), trained_paths(&model).len());
    let nothing = replicas.gradients(&step, &model, Vec::new(), 0).unwrap();
    assert!(nothing.params.is_empty() && nothing.losses.total == 0.0);

    let other = TrainableSet::Everything.prepare(model, TrainingMode::AS_EVALUATION);
    let error = replicas.update(&other).unwrap_err();
    assert!(matches!(error, ReplicaError::Model { .. }), "{error}");
    assert!(error.to_string().contains("they differ at"), "{error}");
    let error = Replicas::start(&other, &[]).unwrap_err();
    assert_eq!(error, ReplicaError::NoDevices);
}
