//! Devices of other processes, by `mllmseg serve-device`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mllmseg::device;
use mllmseg::model::config::Architecture;
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Mllmseg, Preset, Variant};
use mllmseg::train::replicas::NamedDevice;

use super::*;
use crate::support::{assert_says, failure, mllmseg};

fn serve_device(listen: &str) -> Command {
    mllmseg(["serve-device", "--listen", listen, "--device", "cpu"])
}

/// `mllmseg serve-device` in its own process, killed at the end.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut process = serve_device("127.0.0.1:0")
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
    let expected = losses(model.clone(), None);
    let local = start.elapsed();
    let (_servers, devices) = two_servers();
    let mut replicas = replicas_of(&model, &devices);
    let at_start = replicas.traffic();
    let all = 2 * 4 * parameter_count(&model) as u64;
    assert!(at_start.sent >= all && at_start.sent < all + all / 100, "{at_start:?} {all}");
    assert_eq!(at_start.received, 0);

    let start = Instant::now();
    let found = losses(model.clone(), Some(&mut replicas));
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
        let expected = step.gradients(&model, &[shared.to_device(&cpu)], 0).unwrap();
        let mut replicas = replicas_of(&model, &devices);
        let found = replicas.gradients(&step, &model, vec![shared.clone()], 0).unwrap();
        let name = format!("{:?} {:?}", config.language.architecture, config.mask_decoder.variant);
        println!("{name}: {} {}", found.losses.total, expected.losses.total);
        assert_eq!(found.norms.of_weights.len(), expected.norms.of_weights.len(), "{name}");
        assert!(largest_difference(&[found.losses.total], &[expected.losses.total]) < 1e-4);
        assert!(largest_difference(&[found.norms.total], &[expected.norms.total]) < 1e-3);

        if config.language.architecture == Architecture::InternLm2 {
            let mode = TrainingMode { dropout: true, ..TrainingMode::AS_EVALUATION };
            let mut replicas = replicas_of(&set.prepare(model.clone(), mode), &devices);
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
    let mut replicas = replicas_of(&model, &devices);
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
    assert_says(&error, &[device, "last snapshot"]);

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
    let replicas = replicas_of(&model, &devices);
    let mut replicas = replicas.with_timeout(Duration::from_millis(1));
    let error = replicas.gradients(&TrainStep::new(SEG), &model, halves(0), 0).unwrap_err();
    assert_says(error, &["no answer within 0.001 s"]);
}

#[cfg(unix)]
#[test]
fn a_served_device_warns_of_strangers_and_ends_on_ctrl_c() {
    let mut server =
        serve_device("0.0.0.0:0").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
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
        let message = failure(&mut serve_device(listen));
        assert_says(message, &[&format!("cannot listen on {listen}"), words]);
    }
}
