//! A scene: the layout of its objects, the visible pixels of each, and the image.

use image::{Rgb, RgbImage};

use mllmseg_data::mask::Bitmap;

use crate::World;
use crate::outline::{Coverage, Pose, contours, reach};
use crate::paint::{Surface, add_grain, blend};
use crate::rng::Rng;
use crate::vocabulary::{Colour, Shape, Size};

/// How many layouts are tried before an incomplete one is accepted.
const ATTEMPTS: usize = 50;
/// How many places are tried for an object.
const PLACES: usize = 40;
pub(crate) const MAX_OBJECTS: usize = 12;
/// A pixel belongs to an object that covers it by at least this much, of 255.
const COVERED: u8 = 128;

/// The purpose of a scene's random stream; expressions have streams of their own.
const PURPOSE: u64 = 1;

/// An object of a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Its shape.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// Its size.
    pub size: Size,
    /// Its centre in pixels, right and down.
    pub centre: [f32; 2],
    /// The diameter of a disc of its size, in pixels.
    pub diameter: f32,
    /// The number of its pixels, hidden ones included.
    pub area: u32,
    /// The number of its visible pixels.
    pub visible: u32,
}

impl Object {
    /// The visible share of its pixels.
    pub fn visible_share(&self) -> f32 {
        if self.area == 0 { 0.0 } else { self.visible as f32 / self.area as f32 }
    }
}

/// A drawn scene. World, seed and index determine it, on every machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    width: u32,
    height: u32,
    objects: Vec<Object>,
    owners: Vec<u8>,
    coverages: Vec<Coverage>,
    surfaces: Vec<Surface>,
    background: Surface,
    grain: (Rng, u8),
    /// The seed and the index that the scene was made from.
    pub(crate) origin: (u64, u64),
}

impl Scene {
    /// What [`owners`](Self::owners) holds where there is no object.
    pub const NOBODY: u8 = u8::MAX;

    /// The width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The objects, from back to front.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The index of the object that each pixel shows, row by row, or [`NOBODY`](Self::NOBODY).
    pub fn owners(&self) -> &[u8] {
        &self.owners
    }

    /// The visible pixels of some objects; empty if there are no objects.
    pub fn mask(&self, objects: &[usize]) -> Bitmap {
        let shown = |owner: &u8| objects.contains(&usize::from(*owner));
        let pixels = self.owners.iter().map(shown).collect();
        // Images have 32 to 1024 pixels a side and an owner for each pixel.
        Bitmap::from_pixels(self.height as usize, self.width as usize, pixels)
            .unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The image.
    pub fn draw(&self) -> RgbImage {
        let mut image = RgbImage::new(self.width, self.height);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            *pixel = Rgb(self.background.at(x as usize, y as usize));
        }
        for (coverage, surface) in self.coverages.iter().zip(&self.surfaces) {
            for (left, y, row) in coverage.rows() {
                for (step, &alpha) in row.iter().enumerate().filter(|(_, alpha)| **alpha > 0) {
                    let over = surface.at(step, y - coverage.top as usize);
                    let pixel = image.get_pixel_mut((left + step) as u32, y as u32);
                    for (under, over) in pixel.0.iter_mut().zip(over) {
                        *under = blend(*under, over, alpha);
                    }
                }
            }
        }
        let (mut rng, strength) = self.grain.clone();
        add_grain(&mut image, &mut rng, strength);
        image
    }
}

/// Makes scene number `index` of a seed.
///
/// Different indices of a seed give different scenes. [`Part::index`](crate::Part::index) separates
/// those of training from those of evaluation.
pub fn generate(world: &World, seed: u64, index: u64) -> Scene {
    let mut rng = Rng::new(seed, index, PURPOSE);
    let mut layout = Layout::random(world, &mut rng);
    for _ in 1..ATTEMPTS {
        if layout.complete {
            break;
        }
        layout = Layout::random(world, &mut rng);
    }
    layout.drop_hidden(world);
    let surfaces = (0..layout.objects.len()).map(|index| layout.surface(index, world, &mut rng));
    let surfaces = surfaces.collect();
    layout.into_scene(world, surfaces, &mut rng, (seed, index))
}

/// The objects, while they are placed.
pub(crate) struct Layout {
    image_size: [u32; 2],
    objects: Vec<Object>,
    coverages: Vec<Coverage>,
    /// Whether all objects found a place, and enough of each is visible.
    complete: bool,
}

impl Layout {
    /// Without objects.
    pub fn empty(image_size: [u32; 2]) -> Self {
        Self { image_size, objects: Vec::new(), coverages: Vec::new(), complete: false }
    }

    fn random(world: &World, rng: &mut Rng) -> Self {
        let image_size = match world.image_sizes.as_slice() {
            [] => [160, 160],
            sizes => rng.pick(sizes).map(|side| side.clamp(32, 1024)),
        };
        let wanted = rng.count(world.objects.map(|count| count.clamp(1, MAX_OBJECTS)));
        let mut layout = Self::empty(image_size);
        for _ in 0..wanted {
            layout.add(world, rng);
        }
        layout.complete = layout.objects.len() == wanted && {
            layout.count_visible();
            layout.objects.iter().all(|object| object.visible_share() >= world.visible)
        };
        layout
    }

    /// Adds an object, if there is a place for it.
    fn add(&mut self, world: &World, rng: &mut Rng) {
        let mut shape = rng.pick(world.shapes());
        let mut colour = rng.pick(world.colours());
        if !self.objects.is_empty() && rng.chance(world.alike) {
            let model = rng.pick(&self.objects);
            if rng.chance(50) { shape = model.shape } else { colour = model.colour }
        }
        let size = rng.pick(world.sizes());
        let jitter = rng.range(1.0 - world.size_jitter, 1.0 + world.size_jitter);
        let diameter = world.diameter(size, self.image_size) * jitter;
        let tilt = tilt(world, shape, rng);
        let ranges = places(shape, diameter, self.image_size);
        for _ in 0..PLACES {
            let centre = ranges.map(|[low, high]| rng.range(low, high));
            let object = Object { shape, colour, size, centre, diameter, area: 0, visible: 0 };
            if self.objects.iter().all(|other| apart(world, &object, other)) {
                self.place(object, tilt);
                return;
            }
        }
    }

    /// Puts an object in front of the others.
    pub fn place(&mut self, object: Object, tilt: f32) {
        let pose = Pose { centre: object.centre, radius: object.diameter / 2.0, tilt };
        let coverage = Coverage::of(&contours(object.shape), pose, self.image_size);
        let area = coverage.alpha.iter().filter(|&&alpha| alpha >= COVERED).count() as u32;
        self.objects.push(Object { area, ..object });
        self.coverages.push(coverage);
    }

    /// Counts the visible pixels of each object; returns the object that each pixel shows.
    fn count_visible(&mut self) -> Vec<u8> {
        let [width, height] = self.image_size.map(|side| side as usize);
        let mut owners = vec![Scene::NOBODY; width * height];
        for (index, coverage) in (0..).zip(&self.coverages) {
            for (left, y, row) in coverage.rows() {
                let pixels = owners[y * width + left..].iter_mut().zip(row);
                pixels
                    .filter(|(_, alpha)| **alpha >= COVERED)
                    .for_each(|(owner, _)| *owner = index);
            }
        }
        for (index, object) in (0..).zip(&mut self.objects) {
            object.visible = owners.iter().filter(|owner| **owner == index).count() as u32;
        }
        owners
    }

    /// Removes objects one by one until enough of each is visible. A complete layout stays as it is.
    fn drop_hidden(&mut self, world: &World) {
        loop {
            self.count_visible();
            let hidden = |object: &Object| object.visible_share() < world.visible;
            let Some(index) = self.objects.iter().position(hidden) else { return };
            self.objects.remove(index);
            self.coverages.remove(index);
        }
    }

    /// The surface of an object.
    pub fn surface(&self, index: usize, world: &World, rng: &mut Rng) -> Surface {
        let coverage = &self.coverages[index];
        let side = coverage.width.max(coverage.height) as i32;
        Surface::object(rng, self.objects[index].colour, side, world.texture)
    }

    /// The scene, with a background.
    pub fn into_scene(
        mut self,
        world: &World,
        surfaces: Vec<Surface>,
        rng: &mut Rng,
        origin: (u64, u64),
    ) -> Scene {
        let owners = self.count_visible();
        let [width, height] = self.image_size;
        let side = width.max(height) as i32;
        let background = Surface::background(rng, side, world.background);
        let grain = (rng.clone(), rng.between(0, i32::from(world.grain)) as u8);
        let Self { objects, coverages, .. } = self;
        Scene { width, height, objects, owners, coverages, surfaces, background, grain, origin }
    }
}

/// The tilt of an object, as [`Pose`] has it.
pub(crate) fn tilt(world: &World, shape: Shape, rng: &mut Rng) -> f32 {
    match shape {
        Shape::Circle | Shape::Ring => 0.0,
        _ => rng.range(-world.tilt, world.tilt),
    }
}

/// Where its centre may be, right and down. No object is cut: two pixels stay free at every side.
pub(crate) fn places(shape: Shape, diameter: f32, image_size: [u32; 2]) -> [[f32; 2]; 2] {
    let edge = reach(&contours(shape)) * diameter / 2.0 + 2.0;
    image_size.map(|side| [edge, (side as f32 - edge).max(edge)])
}

/// Whether two objects are far enough from each other.
fn apart(world: &World, a: &Object, b: &Object) -> bool {
    let [x, y] = [a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]];
    // Two objects of one colour would look like one. Corners reach beyond the disc; 1.25 leaves a gap.
    let closest = if a.colour == b.colour { 1.25 } else { world.closest };
    let least = closest * (a.diameter + b.diameter) / 2.0 + 2.0;
    x * x + y * y >= least * least
}
