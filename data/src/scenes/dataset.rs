//! Drawn scenes as a data set on disk, in the layout of RefCOCO and gRefCOCO.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::folder::{PartialFolder, sync_files, sync_folder};
use super::picture::{PictureFormat, file_name, write_picture};
use super::records::{
    AnnotationRecord, CategoryRecord, ImageRecord, JsonFile, RefRecord, SentenceRecord, copy,
};
use super::select::singles_beside;
use super::{
    Part, SceneExpression, ScenesError, Shape, World, checker::Checker, expressions, generate,
};
use crate::mask::Rle;
use crate::refer::Dataset;

/// What to write.
#[derive(Debug, Clone)]
pub struct SynthOptions {
    /// The folder to make; it must not exist, or be empty.
    pub out: PathBuf,
    /// Pictures in each of val, testA and testB.
    pub images: u64,
    /// Pictures in train.
    pub train_images: u64,
    /// The seed: the same one gives the same files.
    pub seed: u64,
    /// How pictures are stored.
    pub format: PictureFormat,
    /// The world that they show.
    pub world: World,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SynthReport {
    /// Pictures.
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
    /// Expressions left out because the checker did not agree.
    pub refused: u64,
    /// Expressions of grefcoco by what they are about.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// The file at the root of a data set that says how it was drawn.
pub const ORIGIN_FILE: &str = "scenes.json";

/// The most pictures: file names number them in twelve digits, and that many fit no disk.
const MOST_PICTURES: u64 = 1_000_000_000;
/// Pictures that are drawn at a time, which bounds the memory.
const CHUNK: u64 = 256;

/// Writes a data set, and calls `progress` with the pictures done and those there will be.
///
/// Under the folder there are `refcoco/`, `grefcoco/`, `images/` and `scenes.json`, which says how
/// it was made. The folder appears under its name when every file in it is complete.
///
/// # Errors
/// If the place is taken, if there are no pictures or too many, or if writing fails.
pub fn write_dataset(
    options: &SynthOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SynthReport, ScenesError> {
    let counts = Part::ALL.map(|part| match part {
        Part::Train => options.train_images,
        _ => options.images,
    });
    let total = counts.iter().fold(0u64, |sum, &count| sum.saturating_add(count));
    if !(1..=MOST_PICTURES).contains(&total) {
        return Err(ScenesError::PictureCount { found: total, limit: MOST_PICTURES });
    }
    let folder = PartialFolder::begin(&options.out)?;
    let mut writer = Writer::create(folder.path(), options)?;
    for (part, count) in Part::ALL.into_iter().zip(counts) {
        for start in (0..count).step_by(CHUNK as usize) {
            writer.chunk(part, start..count.min(start + CHUNK))?;
            progress(writer.report.images, total);
        }
    }
    let report = writer.finish()?;
    folder.finish()?;
    Ok(report)
}

/// A picture whose file is written, and what the records say of it.
struct Pictured {
    size: [u32; 2],
    objects: Vec<(Shape, Rle)>,
    refcoco: Vec<SceneExpression>,
    grefcoco: Vec<SceneExpression>,
    refused: u64,
}

struct Writer<'o> {
    options: &'o SynthOptions,
    root: PathBuf,
    images_folder: PathBuf,
    instances: JsonFile,
    refcoco: JsonFile,
    grefcoco: JsonFile,
    /// Width and height of every picture so far; the list of images comes last in its file.
    sizes: Vec<[u16; 2]>,
    refs: [u64; 2],
    sentences: [u64; 2],
    report: SynthReport,
}

impl<'o> Writer<'o> {
    fn create(root: &Path, options: &'o SynthOptions) -> Result<Self, ScenesError> {
        let images_folder = Dataset::RefCoco.images_folder(root);
        let [refcoco, grefcoco] =
            [Dataset::RefCoco, Dataset::GRefCoco].map(|d| root.join(d.name()));
        for folder in [&images_folder, &refcoco, &grefcoco] {
            fs::create_dir_all(folder).map_err(ScenesError::io(folder))?;
        }
        let mut instances = JsonFile::create(Dataset::RefCoco.instances_file(root))?;
        instances.text("{\"annotations\": [")?;
        let mut refcoco = JsonFile::create(refcoco.join("refs(unc).json"))?;
        refcoco.text("[")?;
        let mut grefcoco = JsonFile::create(grefcoco.join("grefs(unc).json"))?;
        grefcoco.text("[")?;
        Ok(Self {
            options,
            root: root.to_owned(),
            images_folder,
            instances,
            refcoco,
            grefcoco,
            sizes: Vec::new(),
            refs: [0; 2],
            sentences: [0; 2],
            report: SynthReport::default(),
        })
    }

    /// Draws and stores scenes, and then writes their records in order.
    fn chunk(&mut self, part: Part, numbers: std::ops::Range<u64>) -> Result<(), ScenesError> {
        let (first_id, start) = (self.report.images + 1, numbers.start);
        let (options, folder) = (self.options, &self.images_folder);
        let pictured: Vec<Pictured> = numbers
            .into_par_iter()
            .map(|number| {
                let id = first_id + (number - start);
                draw(options, part.index(number), &folder.join(file_name(id, options.format)))
            })
            .collect::<Result<_, _>>()?;
        pictured.iter().try_for_each(|picture| self.records(part, picture))
    }

    fn records(&mut self, part: Part, picture: &Pictured) -> Result<(), ScenesError> {
        self.report.images += 1;
        let image_id = self.report.images;
        self.sizes.push(picture.size.map(|side| side as u16)); // at most 1024
        let first_object = self.report.objects + 1;
        for (id, (shape, mask)) in (first_object..).zip(&picture.objects) {
            self.instances.record(&AnnotationRecord {
                id,
                image_id,
                category_id: category(*shape),
                area: mask.area(),
                bbox: mask.coco_box(),
                segmentation: mask.clone(),
                iscrowd: 0,
            })?;
        }
        self.report.objects += picture.objects.len() as u64;
        self.report.refused += picture.refused;
        let file_name = &file_name(image_id, self.options.format);
        let place = RefPlace { part, image_id, file_name, first_object, picture };
        self.refcoco_refs(&place)?;
        self.grefcoco_refs(&place)
    }

    /// One ref for each target, with all that is said of it.
    fn refcoco_refs(&mut self, place: &RefPlace<'_>) -> Result<(), ScenesError> {
        let mut by_target: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for said in &place.picture.refcoco {
            if let [target] = said.targets.as_slice() {
                by_target.entry(*target).or_default().push(&said.text);
            }
        }
        for (target, texts) in by_target {
            self.report.refcoco += texts.len() as u64;
            let [ann_id, category_id] = place.ids(target);
            let [refs, sentences] = [&mut self.refs[0], &mut self.sentences[0]];
            self.refcoco.record(&place.record(
                refs,
                sentences,
                texts,
                ann_id,
                category_id,
                None,
            ))?;
        }
        Ok(())
    }

    /// One ref for each expression.
    fn grefcoco_refs(&mut self, place: &RefPlace<'_>) -> Result<(), ScenesError> {
        for said in &place.picture.grefcoco {
            self.report.grefcoco += 1;
            *self.report.kinds.entry(said.form.kind()).or_default() += 1;
            *match said.targets.len() {
                0 => &mut self.report.absent,
                1 => &mut self.report.single,
                _ => &mut self.report.plural,
            } += 1;
            let ids = said.targets.iter().map(|&target| place.ids(target).map(|id| id as i64));
            let (mut ann_ids, mut categories): (Vec<i64>, Vec<i64>) =
                ids.map(|[id, category]| (id, category)).unzip();
            let no_target = ann_ids.is_empty();
            if no_target {
                // What gRefCOCO writes for it.
                (ann_ids, categories) = (vec![-1], vec![-1]);
            }
            let [refs, sentences] = [&mut self.refs[1], &mut self.sentences[1]];
            let texts = vec![said.text.as_str()];
            let record = place.record(refs, sentences, texts, ann_ids, categories, Some(no_target));
            self.grefcoco.record(&record)?;
        }
        Ok(())
    }

    /// Ends every file, and brings names to the disk.
    fn finish(mut self) -> Result<SynthReport, ScenesError> {
        self.instances.text("\n],\n\"images\": [")?;
        for (id, &[width, height]) in (1..).zip(&self.sizes) {
            let file_name = file_name(id, self.options.format);
            let [width, height] = [width, height].map(u32::from);
            self.instances.record(&ImageRecord { id, file_name: &file_name, width, height })?;
        }
        self.instances.text("\n],\n\"categories\": [")?;
        for shape in self.options.world.all_shapes() {
            let (id, name) = (category(*shape), shape.word());
            self.instances.record(&CategoryRecord { id, name, supercategory: "shape" })?;
        }
        self.instances.text("\n]}\n")?;
        self.instances.finish()?;
        for mut file in [self.refcoco, self.grefcoco] {
            file.text("\n]\n")?;
            file.finish()?;
        }
        let [from, to] =
            [Dataset::RefCoco, Dataset::GRefCoco].map(|d| d.instances_file(&self.root));
        copy(&from, &to)?;
        write_origin(&self.root, self.options, &self.report)?;
        sync_files(self.report.images, |id| {
            self.images_folder.join(file_name(id, self.options.format))
        })?;
        let inner = [Dataset::RefCoco, Dataset::GRefCoco].map(|d| self.root.join(d.name()));
        for folder in inner.iter().chain([&self.images_folder, &self.root]) {
            sync_folder(folder);
        }
        Ok(self.report)
    }
}

/// The picture that refs are about.
struct RefPlace<'p> {
    part: Part,
    image_id: u64,
    file_name: &'p str,
    first_object: u64,
    picture: &'p Pictured,
}

impl<'p> RefPlace<'p> {
    /// The annotation and the category of an object of the picture.
    fn ids(&self, object: usize) -> [u64; 2] {
        let shape = self.picture.objects.get(object).map_or(0, |(shape, _)| category(*shape));
        [self.first_object + object as u64, shape]
    }

    fn record<A: Serialize>(
        &self,
        refs: &mut u64,
        sentences: &mut u64,
        texts: Vec<&'p str>,
        ann_id: A,
        category_id: A,
        no_target: Option<bool>,
    ) -> RefRecord<'p, A> {
        *refs += 1;
        let sent_ids: Vec<u64> = (*sentences + 1..).take(texts.len()).collect();
        *sentences += texts.len() as u64;
        let tokens = |text: &'p str| text.split(' ').collect();
        let ids = sent_ids.iter().zip(texts);
        let sentences = ids.map(|(&sent_id, text)| SentenceRecord {
            sent_id,
            raw: text,
            sent: text,
            tokens: tokens(text),
        });
        RefRecord {
            ref_id: *refs,
            image_id: self.image_id,
            ann_id,
            category_id,
            no_target,
            split: self.part.name(),
            file_name: self.file_name,
            sentences: sentences.collect(),
            sent_ids,
        }
    }
}

/// Draws a scene into a file.
fn draw(options: &SynthOptions, index: u64, path: &Path) -> Result<Pictured, ScenesError> {
    let scene = generate(&options.world, options.seed, index);
    write_picture(&scene.draw(), path, options.format)?;
    let checker = Checker::new(&scene);
    let mut refused = 0;
    let mut checked = |said: Vec<SceneExpression>| -> Vec<SceneExpression> {
        let before = said.len();
        let agrees =
            |said: &SceneExpression| checker.check(&said.text).as_ref() == Ok(&said.targets);
        let said: Vec<_> = said.into_iter().filter(agrees).collect();
        refused += (before - said.len()) as u64;
        said
    };
    let grefcoco = expressions(&options.world, &scene);
    let refcoco = checked(singles_beside(&options.world, &scene, &grefcoco));
    let grefcoco = checked(grefcoco);
    let mask = |object: usize| Rle::from_bitmap(&scene.mask(&[object]));
    let objects = scene.objects().iter().enumerate();
    Ok(Pictured {
        size: [scene.width(), scene.height()],
        objects: objects.map(|(index, object)| (object.shape, mask(index))).collect(),
        refcoco,
        grefcoco,
        refused,
    })
}

/// The category of a shape: 1 for the first.
fn category(shape: Shape) -> u64 {
    shape as u64 + 1
}

/// Writes `scenes.json`: how the data set was made, and what is in it.
fn write_origin(
    root: &Path,
    options: &SynthOptions,
    report: &SynthReport,
) -> Result<(), ScenesError> {
    #[derive(Serialize)]
    struct Origin<'o> {
        world: &'static str,
        seed: u64,
        images: u64,
        train_images: u64,
        vocabulary: Vec<&'static str>,
        report: &'o SynthReport,
    }
    let origin = Origin {
        world: options.world.name,
        seed: options.seed,
        images: options.images,
        train_images: options.train_images,
        vocabulary: options.world.vocabulary(),
        report,
    };
    let mut file = JsonFile::create(root.join(ORIGIN_FILE))?;
    file.record(&origin)?;
    file.text("\n")?;
    file.finish()
}
