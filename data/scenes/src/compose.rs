//! Scenes whose objects somebody places.

use serde::Deserialize;

use crate::World;
use crate::error::ScenesError;
use crate::rng::Rng;
use crate::scene::{Layout, MAX_OBJECTS, Object, Scene, places, tilt};
use crate::vocabulary::{Colour, Shape, Size};

/// The purpose of their random streams.
const PURPOSE: u64 = 4;

/// An object to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Placed {
    /// Its shape.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// Its size.
    pub size: Size,
    /// Its centre in pixels, right and down. It is moved to where the object is not cut.
    pub centre: [f32; 2],
    /// What its tilt and its texture depend on.
    pub number: u32,
}

/// A scene of the objects, from back to front, in an image of `[width, height]`. All else is as in
/// [`generate`](crate::generate), but that objects may hide each other.
///
/// # Errors
/// [`ScenesError::ObjectCount`] for more than 12.
pub fn compose(
    world: &World,
    image_size: [u32; 2],
    seed: u64,
    placed: &[Placed],
) -> Result<Scene, ScenesError> {
    if placed.len() > MAX_OBJECTS {
        return Err(ScenesError::ObjectCount { found: placed.len(), limit: MAX_OBJECTS });
    }
    let mut layout = Layout::empty(image_size);
    let mut surfaces = Vec::with_capacity(placed.len());
    for (index, &Placed { shape, colour, size, centre, number }) in placed.iter().enumerate() {
        let mut rng = Rng::new(seed, 1 + u64::from(number), PURPOSE);
        let diameter = world.diameter(size, image_size);
        let [[left, right], [top, bottom]] = places(shape, diameter, image_size);
        let centre = [centre[0].clamp(left, right), centre[1].clamp(top, bottom)];
        let object = Object { shape, colour, size, centre, diameter, area: 0, visible: 0 };
        layout.place(object, tilt(world, shape, &mut rng));
        surfaces.push(layout.surface(index, world, &mut rng));
    }
    Ok(layout.into_scene(world, surfaces, &mut Rng::new(seed, 0, PURPOSE), (seed, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn star(colour: Colour, centre: [f32; 2], number: u32) -> Placed {
        Placed { shape: Shape::Star, colour, size: Size::Large, centre, number }
    }

    fn composed(placed: &[Placed]) -> Scene {
        compose(&World::small(), [160, 120], 5, placed).unwrap()
    }

    /// 45 pixels in an image of 112 x 112, times the root of 160 * 120 / 112 / 112.
    #[test]
    fn objects_are_where_they_were_placed_and_no_other_changes() {
        let (red, blue) =
            (star(Colour::Red, [50.0, 60.0], 7), star(Colour::Blue, [120.0, 60.0], 8));
        let both = composed(&[red, blue]);
        assert_eq!([both.width(), both.height()], [160, 120]);
        let object = both.objects()[0];
        assert_eq!((object.centre, object.visible), ([50.0, 60.0], object.area));
        assert!((object.diameter - 45.0 * 1.2372).abs() < 0.01, "{}", object.diameter);
        let pixel = both.draw().get_pixel(50, 60).0;
        assert!(pixel[0] > 170 && pixel[1] < 80, "{pixel:?} is red");

        let alone = composed(&[blue]);
        let at = |scene: &Scene| scene.draw().get_pixel(120, 60).0;
        assert_eq!(at(&alone), at(&both));
        assert_eq!(alone.mask(&[0]), both.mask(&[1]));
        // What is in front hides what is behind.
        let hidden = composed(&[red, star(Colour::Blue, [50.0, 60.0], 7)]);
        assert!(hidden.objects()[0].visible < object.area / 10);
    }

    #[test]
    fn no_object_is_cut_and_there_are_twelve_at_most() {
        let corner = composed(&[star(Colour::Red, [-40.0, 1e9], 1)]);
        let [xmin, ymin, xmax, ymax] = corner.mask(&[0]).bounding_box().unwrap();
        assert!(xmin >= 2 && ymin >= 2 && xmax <= 158 && ymax <= 118);
        assert!(composed(&[]).objects().is_empty());
        let many = [star(Colour::Red, [50.0, 60.0], 1); 13];
        let error = compose(&World::small(), [160, 120], 5, &many).unwrap_err().to_string();
        assert!(error.contains("13") && error.contains("12"), "{error}");
    }
}
