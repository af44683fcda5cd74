//! Pictures decoded on all cores, ahead of the device.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;
use mllmseg_data::image::{ImageError, Orientation};
use mllmseg_data::refer::ImageInfo;

use super::EvalError;

/// Decoded pictures in the order asked for; a few more than there are cores are under way.
pub(super) struct ImagesAhead<I> {
    rest: I,
    orientation: Orientation,
    under_way: VecDeque<Receiver<Result<RgbImage, EvalError>>>,
}

impl<I: Iterator<Item = (PathBuf, ImageInfo)>> ImagesAhead<I> {
    pub(super) fn new(images: I, orientation: Orientation) -> Self {
        let mut ahead = Self { rest: images, orientation, under_way: VecDeque::new() };
        for _ in 0..rayon::current_num_threads() + 2 {
            ahead.start_one();
        }
        ahead
    }

    fn start_one(&mut self) {
        let Some((path, info)) = self.rest.next() else {
            return;
        };
        let (sender, receiver) = sync_channel(1);
        let orientation = self.orientation;
        rayon::spawn(move || {
            // A panic in a pool's task would end the program; what cannot be sent is not wanted.
            let _ = sender.send(
                catch_unwind(AssertUnwindSafe(|| read(&path, &info, orientation)))
                    .unwrap_or_else(|_| Err(decoder_failed(&path))),
            );
        });
        self.under_way.push_back(receiver);
    }
}

impl<I: Iterator<Item = (PathBuf, ImageInfo)>> Iterator for ImagesAhead<I> {
    type Item = Result<RgbImage, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.under_way.pop_front()?;
        self.start_one();
        let read = next.recv();
        Some(read.unwrap_or_else(|_| Err(decoder_failed(Path::new("an image")))))
    }
}

/// The pixels as the annotations lie on them ([`Dataset::orientation`]), and of the annotated size.
///
/// [`Dataset::orientation`]: mllmseg_data::refer::Dataset::orientation
pub(super) fn read(
    path: &Path,
    info: &ImageInfo,
    orientation: Orientation,
) -> Result<RgbImage, EvalError> {
    Ok(info.read(path, orientation)?)
}

fn decoder_failed(path: &Path) -> EvalError {
    EvalError::Image(ImageError::Damaged {
        name: path.display().to_string(),
        format: "image",
        reason: "the decoder gave up".into(),
    })
}
