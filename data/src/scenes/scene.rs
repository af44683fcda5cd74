//! A scene: objects laid out in a picture, what of each is visible, and the picture itself.

use image::{Rgb, RgbImage};

use super::outline::{Coverage, Pose, contours, reach};
use super::paint::{Surface, add_grain, blend};
use super::rng::Rng;
use super::{Colour, Shape, Size, World};
use crate::mask::Bitmap;

/// How often a scene is begun anew before it is taken as it comes out.
const ATTEMPTS: usize = 50;
/// How many places an object tries.
const PLACES: usize = 40;
/// The most objects a scene may have.
const MOST_OBJECTS: usize = 12;
/// From how much of a pixel on (of 255) it belongs to the object that covers it.
const COVERED: u8 = 128;
/// The side of the picture that the diameters of a world are meant for.
const STANDARD_SIDE: f32 = 112.0;

/// What the random numbers of a scene are for; expressions have a stream of their own.
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
    /// How many pixels a disc of its size is across.
    pub diameter: f32,
    /// Its pixels, hidden ones too.
    pub area: u32,
    /// Its pixels that nothing hides.
    pub visible: u32,
}

impl Object {
    /// The share of its pixels that nothing hides.
    pub fn visible_share(&self) -> f32 {
        if self.area == 0 { 0.0 } else { self.visible as f32 / self.area as f32 }
    }
}

/// A drawn scene: the same for the same world, seed and index on every machine.
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
    origin: (u64, u64),
}

impl Scene {
    /// What [`owners`](Self::owners) holds where there is no object.
    pub const NOBODY: u8 = u8::MAX;

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The objects, those behind first.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Row by row, the index of the object that each pixel shows, or [`NOBODY`](Self::NOBODY).
    pub fn owners(&self) -> &[u8] {
        &self.owners
    }

    /// The seed and the index that the scene was made from.
    pub fn origin(&self) -> (u64, u64) {
        self.origin
    }

    /// The visible pixels of some objects: empty for none of them.
    pub fn mask(&self, objects: &[usize]) -> Bitmap {
        let shown = |owner: &u8| objects.contains(&usize::from(*owner));
        let pixels = self.owners.iter().map(shown).collect();
        // Pictures have 32 to 1024 pixels a side and an owner for each pixel.
        Bitmap::from_pixels(self.height as usize, self.width as usize, pixels)
            .unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The picture.
    pub fn draw(&self) -> RgbImage {
        let mut picture = RgbImage::new(self.width, self.height);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = Rgb(self.background.at(x as usize, y as usize));
        }
        for (coverage, surface) in self.coverages.iter().zip(&self.surfaces) {
            for (left, y, row) in coverage.rows() {
                for (step, &alpha) in row.iter().enumerate().filter(|(_, alpha)| **alpha > 0) {
                    let over = surface.at(step, y - coverage.top as usize);
                    let pixel = picture.get_pixel_mut((left + step) as u32, y as u32);
                    for (under, over) in pixel.0.iter_mut().zip(over) {
                        *under = blend(*under, over, alpha);
                    }
                }
            }
        }
        let (mut rng, strength) = self.grain.clone();
        add_grain(&mut picture, &mut rng, strength);
        picture
    }
}

/// Makes the scene number `index` of a seed.
///
/// Different indices of one seed give different scenes; [`Part::index`](super::Part::index) keeps
/// those of training and evaluation apart.
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
    layout.into_scene(world, &mut rng, (seed, index))
}

/// Objects as they are placed.
struct Layout {
    picture: [u32; 2],
    objects: Vec<Object>,
    coverages: Vec<Coverage>,
    /// Whether there are as many objects as there should be, and enough of each is visible.
    complete: bool,
}

impl Layout {
    fn random(world: &World, rng: &mut Rng) -> Self {
        let picture = match world.pictures.as_slice() {
            [] => [160, 160],
            sizes => rng.pick(sizes).map(|side| side.clamp(32, 1024)),
        };
        let [low, high] = [*world.objects.start(), *world.objects.end()]
            .map(|count| count.clamp(1, MOST_OBJECTS));
        let wanted = low + rng.below(high.saturating_sub(low) + 1);
        let (objects, coverages) = (Vec::with_capacity(wanted), Vec::with_capacity(wanted));
        let mut layout = Self { picture, objects, coverages, complete: false };
        for _ in 0..wanted {
            layout.add(world, rng);
        }
        layout.complete = layout.objects.len() == wanted && {
            layout.count_visible();
            layout.objects.iter().all(|object| object.visible_share() >= world.visible)
        };
        layout
    }

    /// Adds an object, if it finds a place.
    fn add(&mut self, world: &World, rng: &mut Rng) {
        let mut shape = rng.pick(world.all_shapes());
        let mut colour = rng.pick(world.all_colours());
        if !self.objects.is_empty() && rng.chance(world.alike) {
            let model = rng.pick(&self.objects);
            if rng.chance(50) { shape = model.shape } else { colour = model.colour }
        }
        let size = rng.pick(world.all_sizes());
        let jitter = rng.range(1.0 - world.size_jitter, 1.0 + world.size_jitter);
        let [width, height] = self.picture.map(|side| side as f32);
        let scale = (width * height).sqrt() / STANDARD_SIDE;
        let diameter = world.diameters[size as usize] * scale * jitter;
        let tilt = match shape {
            Shape::Circle | Shape::Ring => 0.0,
            _ => rng.range(-world.tilt, world.tilt),
        };
        let contours = contours(shape);
        // Whole objects only: two pixels stay free at every side.
        let edge = reach(&contours) * diameter / 2.0 + 2.0;
        for _ in 0..PLACES {
            let [x, y] = [width, height].map(|side| rng.range(edge, (side - edge).max(edge)));
            let object =
                Object { shape, colour, size, centre: [x, y], diameter, area: 0, visible: 0 };
            if self.objects.iter().all(|other| apart(world, &object, other)) {
                let pose = Pose { centre: [x, y], radius: diameter / 2.0, tilt };
                let coverage = Coverage::of(&contours, pose, self.picture);
                let area = coverage.alpha.iter().filter(|&&alpha| alpha >= COVERED).count() as u32;
                self.objects.push(Object { area, ..object });
                self.coverages.push(coverage);
                return;
            }
        }
    }

    /// The object that each pixel shows.
    fn owners(&self) -> Vec<u8> {
        let [width, height] = self.picture.map(|side| side as usize);
        let mut owners = vec![Scene::NOBODY; width * height];
        for (index, coverage) in self.coverages.iter().enumerate() {
            for (left, y, row) in coverage.rows() {
                for (owner, &alpha) in owners[y * width + left..].iter_mut().zip(row) {
                    if alpha >= COVERED {
                        *owner = index as u8;
                    }
                }
            }
        }
        owners
    }

    fn count_visible(&mut self) -> Vec<u8> {
        let owners = self.owners();
        self.objects.iter_mut().for_each(|object| object.visible = 0);
        for &owner in &owners {
            if let Some(object) = self.objects.get_mut(usize::from(owner)) {
                object.visible += 1;
            }
        }
        owners
    }

    /// Takes away what is hidden too much, which hides nothing else, until nothing is. A scene that
    /// is complete stays as it is.
    fn drop_hidden(&mut self, world: &World) {
        loop {
            self.count_visible();
            let hidden = |object: &Object| object.visible_share() < world.visible;
            let Some(index) = self.objects.iter().position(hidden) else { return };
            self.objects.remove(index);
            self.coverages.remove(index);
        }
    }

    fn into_scene(mut self, world: &World, rng: &mut Rng, origin: (u64, u64)) -> Scene {
        let owners = self.count_visible();
        let surface = |(object, coverage): (&Object, &Coverage)| {
            let side = coverage.width.max(coverage.height) as i32;
            Surface::object(rng, object.colour, side, world.texture)
        };
        let surfaces = self.objects.iter().zip(&self.coverages).map(surface).collect();
        let [width, height] = self.picture;
        let side = width.max(height) as i32;
        let background = Surface::background(rng, side, world.background);
        let grain = (rng.clone(), rng.between(0, i32::from(world.grain)) as u8);
        let Self { objects, coverages, .. } = self;
        Scene { width, height, objects, owners, coverages, surfaces, background, grain, origin }
    }
}

/// Whether two objects are far enough from each other.
fn apart(world: &World, a: &Object, b: &Object) -> bool {
    let [x, y] = [a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]];
    // Of one colour they would melt into one: corners reach beyond the disc, and a gap stays.
    let closest = if a.colour == b.colour { 1.25 } else { world.closest };
    let least = closest * (a.diameter + b.diameter) / 2.0 + 2.0;
    x * x + y * y >= least * least
}
