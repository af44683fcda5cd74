use burn::tensor::TensorData;
use mllmseg::data::mask::Bitmap;
use mllmseg::data::prompt::NO_LOSS;
use mllmseg::device;
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::{Mllmseg, Preset};
use mllmseg::train::replicas::{NamedDevice, Replicas};
use mllmseg::train::*;
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut config = Preset::Tiny.config();
    if args[2] == "deep" {
        config.vision.num_hidden_layers = 24;
        config.language.num_hidden_layers = 24;
    }
    let cpu = device::cpu().device;
    let set = TrainableSet::LoraAndDecoder;
    let model = set.prepare(Mllmseg::new(&config, Some(LoraConfig::published(8)), &cpu), false);
    let batch = |n: usize| {
        let head = 3 + config.num_image_tokens() + 2;
        let answer = [8, 7, 9, 10];
        let mut ids = vec![11u32; head];
        ids.extend(answer);
        let mut labels = vec![NO_LOSS; head];
        labels.extend(answer.map(i64::from));
        let px: Vec<u8> = (0..600).map(|i| u8::from(i % 30 < 12)).collect();
        let e = TrainExample {
            input_ids: ids,
            labels,
            image_start: 3,
            masks: vec![Some(Bitmap::from_bytes(20, 30, &px).unwrap())],
        };
        let s = config.image_size;
        HostBatch {
            pixels: TensorData::new(
                (0..n * 3 * s * s).map(|i| (i % 97) as f32 / 48.0 - 1.0).collect::<Vec<f32>>(),
                [n, 3, s, s],
            ),
            examples: vec![e; n],
            image_of: (0..n).collect(),
        }
    };
    let list: device::DeviceList = args[1].parse().unwrap();
    let devices: Vec<NamedDevice> = list
        .select()
        .unwrap()
        .into_iter()
        .map(|s| NamedDevice { name: s.spelling, device: s.device })
        .collect();
    let n = devices.len();
    let step = TrainStep::new(7);
    let total = 4;
    let t = Instant::now();
    let mut replicas = Replicas::start(&model, set, false, &devices).unwrap();
    println!("start {:?} {:?}", t.elapsed(), replicas.traffic());
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut model = model;
    for i in 0..6 {
        let t = Instant::now();
        let g =
            replicas.gradients(&step, &model, (0..n).map(|_| batch(total / n)).collect()).unwrap();
        let a = t.elapsed();
        let t = Instant::now();
        model = optimizer.step(1e-3, model.clone(), g.params, 1.0);
        let b = t.elapsed();
        let t = Instant::now();
        replicas.update(&model).unwrap();
        println!(
            "{i}: gradients {a:?} optimizer {b:?} update {:?} loss {}",
            t.elapsed(),
            g.losses.total
        );
    }
    println!("{:?}", replicas.traffic());
}
