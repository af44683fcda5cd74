//! Drawn scenes as a data set on disk, in the layout of RefCOCO and gRefCOCO.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mllmseg_data::files::{FileError, NewFolder};
use mllmseg_data::mask::Rle;
use mllmseg_data::refer::Dataset;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::records::{JsonFile, RefFile, RefImage};
use crate::{
    ImageFormat, Part, SceneExpression, ScenesError, Shape, World, expressions, generate,
    single_expressions,
};

/// What to write.
#[derive(Debug, Clone)]
pub struct SynthOptions {
    /// The output folder; it must not exist, or be empty.
    pub out: PathBuf,
    /// The number of images in each of val, testA and testB.
    pub images: u64,
    /// The number of images in train.
    pub train_images: u64,
    /// The seed. The same seed gives the same files.
    pub seed: u64,
    /// How images are stored.
    pub format: ImageFormat,
    /// The world of the scenes.
    pub world: World,
}

/// What was written: counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SynthReport {
    /// Images.
    pub images: u64,
    /// Objects in them.
    pub objects: u64,
    /// Expressions of refcoco.
    pub refcoco: u64,
    /// Expressions of grefcoco.
    pub grefcoco: u64,
    /// Expressions of grefcoco with one target.
    pub single: u64,
    /// Expressions of grefcoco with several targets.
    pub plural: u64,
    /// Expressions of grefcoco without a target.
    pub absent: u64,
    /// Expressions of grefcoco by [`Pattern::kind`](crate::Pattern::kind).
    pub kinds: BTreeMap<&'static str, u64>,
}

/// The file at the root of a data set that says how it was drawn.
pub const ORIGIN_FILE: &str = "scenes.json";

/// The largest number of images. File names have twelve digits, and so many images fit no disk.
const MAX_IMAGES: u64 = 1_000_000_000;
/// How many images are drawn at a time, which bounds the memory.
const CHUNK: u64 = 256;

/// Writes a data set, and calls `progress` with the number of images done and their total.
///
/// The folder gets `refcoco/`, `grefcoco/`, `images/` and `scenes.json`, which says how it was drawn.
/// It appears under its name when every file in it is complete.
///
/// # Errors
/// If the output folder is not empty, if there are no images or too many, or if writing fails.
pub fn write_dataset(
    options: &SynthOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SynthReport, ScenesError> {
    let count = |&part: &Part| match part {
        Part::Train => options.train_images,
        _ => options.images,
    };
    let total = Part::ALL.iter().map(count).fold(0, u64::saturating_add);
    if !(1..=MAX_IMAGES).contains(&total) {
        return Err(ScenesError::ImageCount { found: total, limit: MAX_IMAGES });
    }
    let folder = NewFolder::create(&options.out)?;
    let mut writer = Writer::create(folder.path(), options)?;
    for part in Part::ALL {
        let count = count(part);
        for start in (0..count).step_by(CHUNK as usize) {
            writer.chunk(*part, start..count.min(start + CHUNK))?;
            progress(writer.report.images, total);
        }
    }
    let report = writer.finish()?;
    folder.finish()?;
    Ok(report)
}

/// A scene whose image is written, and what its records need.
struct DrawnScene {
    image_size: [u32; 2],
    objects: Vec<(Shape, Rle)>,
    refcoco: Vec<SceneExpression>,
    grefcoco: Vec<SceneExpression>,
}

struct Writer<'o> {
    options: &'o SynthOptions,
    root: PathBuf,
    instances: JsonFile,
    refcoco: RefFile,
    grefcoco: RefFile,
    /// Width and height of every image so far; the list of images comes last in its file.
    image_sizes: Vec<[u16; 2]>,
    report: SynthReport,
}

impl<'o> Writer<'o> {
    fn create(root: &Path, options: &'o SynthOptions) -> Result<Self, FileError> {
        let [refcoco, grefcoco] =
            [Dataset::RefCoco, Dataset::GRefCoco].map(|dataset| root.join(dataset.name()));
        for folder in [&Dataset::RefCoco.images_folder(root), &refcoco, &grefcoco] {
            fs::create_dir_all(folder).map_err(FileError::at(folder))?;
        }
        let instances = Dataset::RefCoco.instances_file(root);
        Ok(Self {
            options,
            root: root.to_owned(),
            instances: JsonFile::create(instances, "{\"annotations\": [")?,
            refcoco: RefFile::create(refcoco.join("refs(unc).json"))?,
            grefcoco: RefFile::create(grefcoco.join("grefs(unc).json"))?,
            image_sizes: Vec::new(),
            report: SynthReport::default(),
        })
    }

    /// Draws and stores scenes, and then writes their records in order.
    fn chunk(&mut self, part: Part, numbers: Range<u64>) -> Result<(), FileError> {
        let first_id = self.report.images + 1 - numbers.start;
        let drawn: Vec<DrawnScene> = numbers
            .into_par_iter()
            .map(|number| {
                draw(self.options, part.index(number), &self.image_path(first_id + number))
            })
            .collect::<Result<_, _>>()?;
        drawn.iter().try_for_each(|scene| self.records(part, scene))
    }

    fn image_path(&self, id: u64) -> PathBuf {
        Dataset::RefCoco.images_folder(&self.root).join(self.options.format.file_name(id))
    }

    fn records(&mut self, part: Part, scene: &DrawnScene) -> Result<(), FileError> {
        self.report.images += 1;
        let image_id = self.report.images;
        self.image_sizes.push(scene.image_size.map(|side| side as u16)); // at most 1024
        let mut object_ids = Vec::new();
        for (shape, mask) in &scene.objects {
            self.report.objects += 1;
            let (id, category_id) = (self.report.objects, category(*shape));
            object_ids.push([id as i64, category_id as i64]);
            self.instances.record(&json!({
                "id": id,
                "image_id": image_id,
                "category_id": category_id,
                "segmentation": mask,
                "area": mask.area(),
                "bbox": mask.coco_box(),
                "iscrowd": 0,
            }))?;
        }
        let file_name = &self.options.format.file_name(image_id);
        let image = RefImage { id: image_id, file_name, part, object_ids };
        self.refcoco_refs(&image, &scene.refcoco)?;
        scene.grefcoco.iter().try_for_each(|expression| self.grefcoco_ref(&image, expression))
    }

    /// One ref for each target, with all its expressions.
    fn refcoco_refs(
        &mut self,
        image: &RefImage<'_>,
        expressions: &[SceneExpression],
    ) -> Result<(), FileError> {
        for (target, &ids) in image.object_ids.iter().enumerate() {
            let of_target = expressions.iter().filter(|said| said.targets == [target]);
            let texts: Vec<&str> = of_target.map(|said| said.text.as_str()).collect();
            if !texts.is_empty() {
                self.report.refcoco += texts.len() as u64;
                self.refcoco.record(image, &texts, ids, None)?;
            }
        }
        Ok(())
    }

    fn grefcoco_ref(
        &mut self,
        image: &RefImage<'_>,
        SceneExpression { text, targets, form }: &SceneExpression,
    ) -> Result<(), FileError> {
        let report = &mut self.report;
        report.grefcoco += 1;
        *report.kinds.entry(form.pattern.kind()).or_default() += 1;
        *match targets.len() {
            0 => &mut report.absent,
            1 => &mut report.single,
            _ => &mut report.plural,
        } += 1;
        let ids = |at: usize| targets.iter().map(|&target| image.object_ids[target][at]).collect();
        let ids = match targets.is_empty() {
            true => [vec![-1], vec![-1]], // as in gRefCOCO
            false => [ids(0), ids(1)],
        };
        self.grefcoco.record(image, &[text], ids, Some(targets.is_empty()))
    }

    fn finish(mut self) -> Result<SynthReport, FileError> {
        self.instances.text("\n],\n\"images\": [")?;
        for (id, [width, height]) in (1..).zip(&self.image_sizes) {
            let file_name = self.options.format.file_name(id);
            let image =
                json!({ "id": id, "file_name": file_name, "width": width, "height": height });
            self.instances.record(&image)?;
        }
        self.instances.text("\n],\n\"categories\": [")?;
        for shape in self.options.world.shapes() {
            let (id, name) = (category(*shape), shape.word());
            let record = json!({ "id": id, "name": name, "supercategory": "shape" });
            self.instances.record(&record)?;
        }
        let SynthOptions { world, seed, images, train_images, .. } = self.options;
        let mut origin = JsonFile::create(self.root.join(ORIGIN_FILE), "")?;
        origin.record(&json!({
            "world": world.name,
            "seed": seed,
            "images": images,
            "train_images": train_images,
            "vocabulary": world.vocabulary(),
            "report": self.report,
        }))?;
        origin.finish("\n")?;
        self.instances.finish("\n]}\n")?;
        self.refcoco.json.finish("\n]\n")?;
        self.grefcoco.json.finish("\n]\n")?;
        let [from, to] =
            [Dataset::RefCoco, Dataset::GRefCoco].map(|dataset| dataset.instances_file(&self.root));
        fs::copy(from, &to).map_err(FileError::at(&to))?;
        Ok(self.report)
    }
}

fn draw(options: &SynthOptions, index: u64, path: &Path) -> Result<DrawnScene, FileError> {
    let scene = generate(&options.world, options.seed, index);
    options.format.write(&scene.draw(), path)?;
    let grefcoco = expressions(&options.world, &scene);
    let mask = |object: usize| Rle::from_bitmap(&scene.mask(&[object]));
    let objects = scene.objects().iter().enumerate();
    Ok(DrawnScene {
        image_size: [scene.width(), scene.height()],
        objects: objects.map(|(index, object)| (object.shape, mask(index))).collect(),
        refcoco: single_expressions(&options.world, &scene, &grefcoco),
        grefcoco,
    })
}

/// The category of a shape: 1 for the first.
fn category(shape: Shape) -> u64 {
    shape as u64 + 1
}
