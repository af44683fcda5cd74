//! A training step of the published recipe.

use std::error::Error;

use mllmseg::device::SelectedDevice;
use mllmseg::model::Mllmseg;
use mllmseg_train::step::StepGradients;
use mllmseg_train::{AdamW, OptimizerConfig, TrainBatch, TrainStep};

use super::clock::{Clock, Parts};
use super::rounds::Rounds;
use super::setting::Setting;
use crate::memory::SEG;

/// Model, batch and optimizer. The first round creates the optimizer state.
pub struct TrainWork {
    /// Moved into each update, so that its weights are changed in place.
    model: Option<Mllmseg>,
    batch: [TrainBatch; 1],
    optimizer: AdamW,
    device: SelectedDevice,
    clock: Clock,
}

impl TrainWork {
    pub fn new(setting: &Setting) -> Result<Self, Box<dyn Error>> {
        let Setting { config, device, clock, .. } = setting;
        let workload = setting.workload();
        Ok(Self {
            model: Some(workload.model(config, &device.device)),
            batch: [workload.batch(config, &device.device)?],
            optimizer: AdamW::new(OptimizerConfig::default()),
            device: device.clone(),
            clock: *clock,
        })
    }
}

impl Rounds for TrainWork {
    fn round(&mut self) -> Result<Parts, Box<dyn Error>> {
        let OptimizerConfig { learning_rate, max_gradient_norm, .. } = OptimizerConfig::default();
        let mut parts = Parts::new();
        let model = self.model.take().ok_or("the last step has failed")?;
        let step = TrainStep::new(SEG);
        let gradients =
            self.clock.time(&mut parts, "gradients", || step.gradients(&model, &self.batch, 0))?;
        let StepGradients { params, norms, batch_statistics, .. } = gradients;
        self.clock.time(&mut parts, "update", || {
            let factor = norms.clip_factor(max_gradient_norm);
            let mut model = self.optimizer.step(learning_rate, model, params, factor);
            let norm = &mut model.mask_decoder.head.norm;
            *norm = norm.clone().updated(&batch_statistics);
            self.model = Some(model);
            self.device.device.sync()
        })?;
        Ok(parts)
    }
}
