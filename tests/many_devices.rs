//! A training run on several devices is the run on one device.

use std::ops::Range;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::TensorData;
use mllmseg::data::mask::Bitmap;
use mllmseg::data::prompt::NO_LOSS;
use mllmseg::device::{self, DeviceList, SelectedDevice};
use mllmseg::model::checkpoint::named_weights::for_each_weight;
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg::train::replicas::{NamedDevice, ReplicaError, Replicas};
use mllmseg::train::trainable::trained_paths;
use mllmseg::train::{
    AdamW, AdamWConfig, HostBatch, StepError, TrainExample, TrainStep, TrainableSet, TrainingMode,
};

const SEG: u32 = 7;
const IMAGE_START: usize = 3;
const STEPS: usize = 5;
const SET: TrainableSet = TrainableSet::LoraAndDecoder;

/// The same model in every run of a test.
fn model() -> Mllmseg {
    let cpu = device::cpu().device;
    let model = Mllmseg::new(&Preset::Tiny.config(), Some(LoraConfig::published(4)), &cpu);
    SET.prepare(model, TrainingMode::AS_EVALUATION)
}

/// Numbers that look drawn, the same everywhere.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

/// One expression with a mask and one without a target; lengths differ.
fn example(config: &MllmsegConfig, index: usize) -> TrainExample {
    let head = IMAGE_START + config.num_image_tokens() + 2 + index;
    let answer = [8, SEG, 9, 10];
    let mut input_ids: Vec<u32> = (0..head as u32).map(|i| 11 + (i + index as u32) % 5).collect();
    input_ids.extend(answer);
    let mut labels = vec![NO_LOSS; head];
    labels.extend(answer.map(i64::from));
    let pixels: Vec<u8> = (0..20 * 30).map(|i| u8::from(i % 30 < 6 + 4 * index)).collect();
    let truth = Bitmap::from_bytes(20, 30, &pixels).unwrap();
    let masks = if index == 0 { vec![Some(truth), None] } else { vec![Some(truth)] };
    TrainExample { input_ids, labels, image_start: IMAGE_START, masks }
}

/// Some of the four examples of a step.
fn batch(step: usize, examples: Range<usize>) -> HostBatch {
    batch_of(&Preset::Tiny.config(), step, examples)
}

fn batch_of(config: &MllmsegConfig, step: usize, examples: Range<usize>) -> HostBatch {
    let size = config.image_size;
    let pixels: Vec<f32> = examples
        .clone()
        .flat_map(|index| noise(3 * size * size, (10 * step + index + 1) as u64))
        .collect();
    HostBatch {
        pixels: TensorData::new(pixels, [examples.len(), 3, size, size]),
        image_of: (0..examples.len()).collect(),
        examples: examples.map(|index| example(config, index)).collect(),
    }
}

fn halves(step: usize) -> Vec<HostBatch> {
    vec![batch(step, 0..2), batch(step, 2..4)]
}

fn named(devices: Vec<SelectedDevice>) -> Vec<NamedDevice> {
    devices
        .into_iter()
        .map(|selected| NamedDevice { name: selected.id, device: selected.device })
        .collect()
}

fn devices(list: &str) -> Vec<NamedDevice> {
    named(list.parse::<DeviceList>().unwrap().select().unwrap())
}

const RATE: f64 = 3e-3;

/// Losses of a run on one device, each step in one batch.
fn on_one_device(mut model: Mllmseg) -> Vec<f64> {
    let step = TrainStep::new(SEG);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let cpu = device::cpu().device;
    let mut run = |index| {
        let batch = batch(index, 0..4).to_device(&cpu);
        let gradients = step.gradients(&model, &[batch], 0).unwrap();
        let scale = gradients.norms.clip_factor(1.0);
        model = optimizer.step(RATE, model.clone(), gradients.params, scale);
        gradients.losses.total
    };
    (0..STEPS).map(&mut run).collect()
}

/// Losses of a run on replicas, each step in two halves.
fn on_replicas(mut model: Mllmseg, replicas: &mut Replicas) -> Vec<f64> {
    let step = TrainStep::new(SEG);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut run = |index| {
        let gradients = replicas.gradients(&step, &model, halves(index), 0).unwrap();
        let scale = gradients.norms.clip_factor(1.0);
        model = optimizer.step(RATE, model.clone(), gradients.params, scale);
        replicas.update(&model).unwrap();
        gradients.losses.total
    };
    (0..STEPS).map(&mut run).collect()
}

/// Bytes of the weights that learn.
fn trained_bytes(model: &Mllmseg) -> u64 {
    let mut bytes = 0;
    for_each_weight(model, |_, weight| {
        if weight.is_trained() {
            bytes += 4 * weight.shape().num_elements() as u64;
        }
    });
    bytes
}

/// The largest relative difference of two runs.
fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max)
}

#[test]
fn two_replicas_learn_as_one_device_does() {
    let model = model();
    let expected = on_one_device(model.clone());
    assert!(expected[STEPS - 1] < expected[0], "{expected:?}");
    let devices = devices("cpu,cpu");
    let run = || {
        let mut replicas =
            Replicas::start(&model, SET, TrainingMode::AS_EVALUATION, &devices).unwrap();
        let losses = on_replicas(model.clone(), &mut replicas);
        assert_eq!(replicas.traffic().sent, 0, "weights of the same device are shared");
        losses
    };
    let found = run();
    let difference = largest_difference(&found, &expected);
    println!("cpu,cpu: losses {found:?}, largest difference {difference:e}");
    assert!(difference < 1e-4, "{found:?} {expected:?}");
    assert_eq!(found, run(), "the order of the devices is the order of the sum");
}

/// Weights and gradients also cross between kinds of devices and between threads of one GPU. On a
/// software GPU this holds as well, but takes minutes. Without a hardware GPU the test prints that
/// it is skipped; the environment variable `MLLMSEG_REQUIRE_GPU` makes that an error.
#[test]
fn a_gpu_learns_together_with_the_cpu() {
    let model = model();
    let mut gpus = device::available();
    gpus.retain(|device| device.is_hardware_gpu);
    if gpus.is_empty() {
        assert!(std::env::var_os("MLLMSEG_REQUIRE_GPU").is_none(), "no hardware GPU");
        println!("skipped: no hardware GPU on this machine, or none built in");
        return;
    }
    let expected = on_one_device(model.clone());
    for gpu in gpus {
        let main = SET.prepare(model.valid().fork(&gpu.device), TrainingMode::AS_EVALUATION);
        let list = format!("{},cpu,{0}", gpu.id);
        let mut replicas =
            Replicas::start(&main, SET, TrainingMode::AS_EVALUATION, &devices(&list)).unwrap();
        let start = Instant::now();
        let found = on_replicas(main, &mut replicas);
        let difference = largest_difference(&found, &expected);
        let (time, traffic) = (start.elapsed(), replicas.traffic());
        println!(
            "{list}: largest difference {difference:e}, {STEPS} steps in {time:?} {traffic:?}"
        );
        assert!(difference < 1e-3, "{found:?} {expected:?}");
        assert_eq!(traffic.received, STEPS as u64 * trained_bytes(&model));
    }
}

#[test]
fn mistakes_in_a_step_leave_the_replicas_working() {
    let model = model();
    let step = TrainStep::new(SEG);
    let mut replicas =
        Replicas::start(&model, SET, TrainingMode::AS_EVALUATION, &devices("cpu,cpu")).unwrap();
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
    assert_eq!(
        Replicas::start(&other, SET, TrainingMode::AS_EVALUATION, &[]).map(drop).unwrap_err(),
        ReplicaError::NoDevices
    );
}

/// Devices of other processes, by `mllmseg serve-device`.
#[cfg(feature = "remote")]
mod remote {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use mllmseg::model::Variant;
    use mllmseg::model::config::Architecture;
    use mllmseg::model::parameters::parameter_count;

    use super::*;

    /// `mllmseg serve-device` in its own process, killed at the end.
    struct Server {
        process: Child,
        address: String,
    }

    impl Server {
        fn start() -> Self {
            let mut process = Command::new(env!("CARGO_BIN_EXE_mllmseg"))
                .args(["serve-device", "--listen", "127.0.0.1:0", "--device", "cpu"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut output = BufReader::new(process.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let address = line.trim().rsplit(' ').next().unwrap().to_string();
            assert!(line.starts_with("serving cpu") && address.starts_with("ws://127."), "{line}");
            thread::spawn(move || output.lines().for_each(drop));
            Self { process, address }
        }

        /// SIGKILL.
        fn kill(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    /// Two servers on loopback, and the list that names them.
    fn two_servers() -> ([Server; 2], Vec<NamedDevice>) {
        let servers = [Server::start(), Server::start()];
        let list = servers.each_ref().map(|server| format!("remote:{}", server.address)).join(",");
        (servers, devices(&list))
    }

    #[test]
    fn devices_of_other_processes_learn_as_one_device_does() {
        let model = model();
        let start = Instant::now();
        let expected = on_one_device(model.clone());
        let local = start.elapsed();
        let (_servers, devices) = two_servers();
        let mut replicas =
            Replicas::start(&model, SET, TrainingMode::AS_EVALUATION, &devices).unwrap();
        let at_start = replicas.traffic();
        let all = 2 * 4 * parameter_count(&model) as u64;
        assert!(at_start.sent >= all && at_start.sent < all + all / 100, "{at_start:?} {all}");
        assert_eq!(at_start.received, 0);

        let start = Instant::now();
        let found = on_replicas(model.clone(), &mut replicas);
        let remote = start.elapsed();
        let difference = largest_difference(&found, &expected);
        println!(
            "remote,remote: losses {found:?}, largest difference {difference:e}; \
             {STEPS} steps in {remote:?}, on one local device in {local:?}"
        );
        assert!(difference < 1e-4, "{found:?} {expected:?}");

        // After the start, only trained weights go out, and only their gradients come back.
        let trained = 2 * trained_bytes(&model) * STEPS as u64;
        let traffic = replicas.traffic();
        assert_eq!(traffic.sent - at_start.sent, trained);
        assert_eq!(traffic.received, trained);
    }

    /// Every operation of a step must exist on a remote device: those of each decoder variant, of the
    /// other language model, of images that several examples share, of dropout.
    #[test]
    fn every_kind_of_step_runs_on_a_remote_device() {
        let server = Server::start();
        let devices = devices(&format!("remote:{}", server.address));
        let variants = Variant::ALL.map(|variant| {
            let mut config = Preset::Tiny.config();
            config.mask_decoder.variant = variant;
            config
        });
        let mut internlm2 = Preset::Tiny.config();
        internlm2.language.architecture = Architecture::InternLm2;
        for config in variants.into_iter().chain([internlm2]) {
            let cpu = device::cpu().device;
            let set = TrainableSet::Everything;
            let model = Mllmseg::new(&config, Some(LoraConfig::published(2)), &cpu);
            let model = set.prepare(model, TrainingMode::AS_EVALUATION);
            let step = TrainStep::new(SEG);
            let mut shared = batch_of(&config, 0, 0..1);
            shared.examples.push(shared.examples[0].clone());
            shared.image_of.push(0);
            let expected = step.gradients(&model, &[shared.to_device(&cpu)]).unwrap();
            let mut replicas =
                Replicas::start(&model, set, TrainingMode::AS_EVALUATION, &devices).unwrap();
            let found = replicas.gradients(&step, &model, vec![shared.clone()], 0).unwrap();
            let name =
                format!("{:?} {:?}", config.language.architecture, config.mask_decoder.variant);
            println!("{name}: {} {}", found.losses.total, expected.losses.total);
            assert_eq!(found.norms.of_weights.len(), expected.norms.of_weights.len(), "{name}");
            assert!(largest_difference(&[found.losses.total], &[expected.losses.total]) < 1e-4);
            assert!(largest_difference(&[found.norms.total], &[expected.norms.total]) < 1e-3);

            if config.language.architecture == Architecture::InternLm2 {
                let mut replicas = Replicas::start(
                    &model,
                    set,
                    TrainingMode { dropout: true, ..TrainingMode::AS_EVALUATION },
                    &devices,
                )
                .unwrap();
                let mut dropped = |seed| {
                    replicas.gradients(&step, &model, vec![shared.clone()], seed).unwrap().losses
                };
                let (first, other, again) = (dropped(1), dropped(2), dropped(1));
                assert!(first.total.is_finite() && first.total != expected.losses.total);
                assert_eq!(first, again, "what is drawn depends on the seed");
                assert_ne!(first, other);
            }
        }
    }

    #[test]
    fn a_killed_device_ends_the_step_with_its_name() {
        let model = model();
        let step = TrainStep::new(SEG);
        let (mut servers, devices) = two_servers();
        let mut replicas =
            Replicas::start(&model, SET, TrainingMode::AS_EVALUATION, &devices).unwrap();
        let start = Instant::now();
        replicas.gradients(&step, &model, halves(0), 0).unwrap();
        let usual = start.elapsed();

        // Kill the second in the middle of a step.
        let killer = thread::spawn(move || {
            thread::sleep(usual / 3);
            let killed = Instant::now();
            servers[1].kill();
            (servers, killed)
        });
        let error = (0..100).find_map(|_| replicas.gradients(&step, &model, halves(0), 0).err());
        let noticed = Instant::now();
        let (_servers, killed) = killer.join().unwrap();
        let error = error.expect("the device is gone");
        println!("noticed {:?} after the kill: {error}", noticed - killed);
        assert!(noticed - killed < Duration::from_secs(20));
        let ReplicaError::Device { device, .. } = &error else { panic!("{error}") };
        assert_eq!(*device, devices[1].name);
        let message = error.to_string();
        assert!(message.contains(device) && message.contains("last snapshot"), "{message}");

        // Nothing hangs afterwards either.
        let start = Instant::now();
        assert_eq!(replicas.update(&model), Err(error.clone()));
        assert_eq!(replicas.gradients(&step, &model, halves(0), 0).unwrap_err(), error);
        drop(replicas);
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_device_that_does_not_answer_is_given_up() {
        let model = model();
        let (_servers, devices) = two_servers();
        let replicas = Replicas::start(&model, SET, TrainingMode::AS_EVALUATION, &devices).unwrap();
        let mut replicas = replicas.with_timeout(Duration::from_millis(1));
        let error = replicas.gradients(&TrainStep::new(SEG), &model, halves(0), 0).unwrap_err();
        assert!(error.to_string().contains("no answer within 0.001 s"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_served_device_warns_of_strangers_and_ends_on_ctrl_c() {
        let mut server = Command::new(env!("CARGO_BIN_EXE_mllmseg"))
            .args(["serve-device", "--listen", "0.0.0.0:0", "--device", "cpu"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("warning") && line.contains("neither passwords"), "{line}");
        // Once it answers, it also listens to signals.
        let port = line.split("0.0.0.0:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert_eq!(devices(&format!("remote:ws://127.0.0.1:{port}")).len(), 1);
        let interrupt = Command::new("kill").args(["-INT", &server.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        assert!(server.wait().unwrap().success());
    }

    #[test]
    fn a_server_that_cannot_listen_says_where() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for (listen, words) in [(address.as_str(), "in use"), ("nowhere", "invalid")] {
            let arguments = ["serve-device", "--listen", listen, "--device", "cpu"];
            let output =
                Command::new(env!("CARGO_BIN_EXE_mllmseg")).args(arguments).output().unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{message}");
            assert!(message.contains(&format!("cannot listen on {listen}")), "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
}
