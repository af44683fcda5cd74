//! Images for people: masks over the original, with a legend below, and the paper's Figure 4.

mod colours;
mod figure;
mod heat;
mod item;
mod label;
mod legend;
mod masks;
mod png;
mod scale;
#[cfg(test)]
mod tests;
mod text;

pub use colours::colour_code;
pub use figure::{HeatMap, draw_figure};
pub use item::{OverlayError, OverlayItem};
#[cfg(not(target_family = "wasm"))]
pub(crate) use masks::paint;
pub use masks::{draw_overlay, draw_overlay_with_remarks, mask_image};
pub use png::write_png;
#[cfg(not(target_family = "wasm"))]
pub(crate) use scale::shrink;
