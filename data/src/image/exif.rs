//! How the stored pixels are to be turned, as Pillow's `ImageOps.exif_transpose` finds it: by the
//! orientation of the EXIF data, or without one by that of the XMP data.
//!
//! The containers are walked here because `image` reads an orientation of one type (SHORT) and PNG's
//! EXIF data only before the pixels.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use image::ImageFormat;
use image::metadata::Orientation as Turn;

/// The longest block of metadata that is read; longer ones are passed over.
const MAX_BLOCK: u64 = 16 << 20;
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const ORIENTATION_TAG: u16 = 0x0112;
const XMP_TAG: u16 = 700;

/// The turn that makes an image upright. Damaged metadata count as none, since the pixels may well be sound.
pub(super) fn turn(file: &mut (impl Read + Seek), format: ImageFormat) -> Turn {
    let mut found = Metadata::default();
    // What was found before the file breaks off counts.
    let _ = match format {
        ImageFormat::Jpeg => found.walk_jpeg(file),
        ImageFormat::Png => found.walk_png(file),
        ImageFormat::WebP => found.walk_webp(file),
        ImageFormat::Tiff => found.walk_tiff(file),
        _ => Ok(()),
    };
    let exif = found.exif.or(found.profile);
    let tiff =
        exif.as_deref().and_then(|exif| Directory::read(&mut Cursor::new(unprefixed(exif))).ok());
    let orientation = tiff.unwrap_or(found.directory).orientation;
    let orientation = orientation.or_else(|| in_xmp(found.xmp.as_deref()?));
    orientation.and_then(Turn::from_exif).unwrap_or(Turn::NoTransforms)
}

/// Some writers put JPEG's prefix before the EXIF data of other formats, or put it there twice.
fn unprefixed(mut exif: &[u8]) -> &[u8] {
    while let Some(rest) = exif.strip_prefix(EXIF_PREFIX) {
        exif = rest;
    }
    exif
}

/// The digit of `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn in_xmp(xmp: &[u8]) -> Option<u8> {
    const KEY: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    while let Some(at) = rest.windows(KEY.len()).position(|window| window == KEY) {
        rest = &rest[at + KEY.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"));
        if let Some([digit @ b'0'..=b'9', ..]) = value {
            return Some(digit - b'0');
        }
    }
    None
}

/// What a file says beside its pixels.
#[derive(Default)]
struct Metadata {
    exif: Option<Vec<u8>>,
    /// EXIF data as text: ImageMagick's way in PNG.
    profile: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
    /// Of a TIFF, which is itself what EXIF data are.
    directory: Directory,
}

impl Metadata {
    fn walk_jpeg(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        loop {
            if byte(file)? != 0xFF {
                continue;
            }
            let mut marker = byte(file)?;
            while marker == 0xFF {
                marker = byte(file)?;
            }
            match marker {
                0xD9 | 0xDA => return Ok(()), // the pixels begin, or the image ends
                0x00 | 0x01 | 0xD0..=0xD8 => continue, // no length
                _ => {}
            }
            let length = u16::from_be_bytes(array(file)?).saturating_sub(2).into();
            if marker != 0xE1 {
                skip(file, length)?;
                continue;
            }
            let segment = block(file, length)?;
            if let Some(xmp) = segment.strip_prefix(XMP_PREFIX) {
                self.xmp = Some(xmp.to_vec());
            } else if let Some(more) = segment.strip_prefix(EXIF_PREFIX) {
                self.exif.get_or_insert_default().extend(more); // long data take several segments
            }
        }
    }

    fn walk_png(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        const SIGNATURE: u64 = 8;
        const CHECKSUM: u64 = 4;
        skip(file, SIGNATURE)?;
        loop {
            let length = u32::from_be_bytes(array(file)?).into();
            match &array::<4>(file)? {
                b"IEND" => return Ok(()),
                b"eXIf" => self.exif = Some(block(file, length)?),
                kind @ (b"tEXt" | b"zTXt" | b"iTXt") => {
                    let text = block(file, length)?;
                    self.png_text(kind, &text);
                }
                _ => skip(file, length)?,
            }
            skip(file, CHECKSUM)?;
        }
    }

    fn png_text(&mut self, kind: &[u8; 4], chunk: &[u8]) {
        let Some((key, mut text)) = split_at_zero(chunk) else { return };
        let mut compressed = kind == b"zTXt";
        if kind == b"iTXt" {
            compressed = text.first() == Some(&1);
            // Two flags, a language and a translated key.
            let after_flags = text.get(2..).and_then(split_at_zero);
            let Some((_, after)) = after_flags.and_then(|(_, rest)| split_at_zero(rest)) else {
                return;
            };
            text = after;
        } else if compressed {
            text = text.get(1..).unwrap_or_default(); // the method, of which there is one
        }
        let mut inflated = Vec::new();
        if compressed {
            // What is damaged stays short.
            let _ = ZlibDecoder::new(text).take(MAX_BLOCK).read_to_end(&mut inflated);
            text = &inflated;
        }
        match key {
            b"XML:com.adobe.xmp" => self.xmp = Some(text.to_vec()),
            b"Raw profile type exif" => self.profile = from_hex_lines(text),
            _ => {}
        }
    }

    fn walk_webp(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        const HEADER: u64 = 12;
        let [has_exif, has_xmp] = [0x08, 0x04];
        let mut flags = 0;
        skip(file, HEADER)?;
        loop {
            let kind = array::<4>(file)?;
            let length = u64::from(u32::from_le_bytes(array(file)?));
            let padded = length + length % 2;
            match &kind {
                b"VP8X" => flags = block(file, padded)?.first().copied().unwrap_or(0),
                b"EXIF" if flags & has_exif != 0 => self.exif = Some(block(file, padded)?),
                b"XMP " if flags & has_xmp != 0 => self.xmp = Some(block(file, padded)?),
                _ => skip(file, padded)?,
            }
        }
    }

    fn walk_tiff(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        self.directory = Directory::read(file)?;
        if let Some((offset, length)) = self.directory.xmp {
            file.seek(SeekFrom::Start(offset))?;
            self.xmp = Some(block(file, length)?);
        }
        Ok(())
    }
}

/// What the first directory of TIFF data says.
#[derive(Default)]
struct Directory {
    /// 1 to 8, or 0 for a value that is none of them.
    orientation: Option<u8>,
    /// Where the XMP data are.
    xmp: Option<(u64, u64)>,
}

impl Directory {
    fn read(tiff: &mut (impl Read + Seek)) -> io::Result<Self> {
        let order = match &array::<4>(tiff)? {
            b"II*\0" => Order::Little,
            b"MM\0*" => Order::Big,
            _ => return Err(io::Error::other("no TIFF data")),
        };
        let mut found = Self::default();
        let start = order.u32(array(tiff)?);
        tiff.seek(SeekFrom::Start(start.into()))?;
        for _ in 0..order.u16(array(tiff)?) {
            let (tag, kind) = (order.u16(array(tiff)?), order.u16(array(tiff)?));
            let (count, value) = (order.u32(array(tiff)?), array::<4>(tiff)?);
            if tag == ORIENTATION_TAG && count > 0 {
                let next = tiff.stream_position()?;
                found.orientation = Some(order.orientation(tiff, kind, count, value).unwrap_or(0));
                tiff.seek(SeekFrom::Start(next))?;
            } else if tag == XMP_TAG && count > 4 {
                found.xmp = Some((order.u32(value).into(), count.into()));
            }
        }
        Ok(found)
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The first number of an entry, if it is a whole one below 256. Bytes and text are no numbers for Pillow.
    fn orientation(
        self,
        tiff: &mut (impl Read + Seek),
        kind: u16,
        count: u32,
        inline: [u8; 4],
    ) -> Option<u8> {
        let size = match kind {
            6 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        if u64::from(count) * size <= 4 {
            bytes[..4].copy_from_slice(&inline);
        } else {
            tiff.seek(SeekFrom::Start(self.u32(inline).into())).ok()?;
            tiff.read_exact(&mut bytes[..size as usize]).ok()?;
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        let [first, second] = [[a, b, c, d], [e, f, g, h]].map(|word| self.u32(word));
        let number = match kind {
            6 => f64::from(a as i8),
            3 => f64::from(self.u16([a, b])),
            8 => f64::from(self.u16([a, b]) as i16),
            4 | 13 => f64::from(first),
            9 => f64::from(first as i32),
            11 => f64::from(f32::from_bits(first)),
            5 => f64::from(first) / f64::from(second),
            10 => f64::from(first as i32) / f64::from(second as i32),
            12 => f64::from_bits(self.u64(bytes)),
            _ => self.u64(bytes) as f64,
        };
        (number.fract() == 0.0 && (0.0..256.0).contains(&number)).then_some(number as u8)
    }
}

fn byte(file: &mut impl Read) -> io::Result<u8> {
    array(file).map(|[byte]| byte)
}

fn array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The next `length` bytes; of more than [`MAX_BLOCK`], or at the end of the file, an error.
fn block(file: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(length.min(MAX_BLOCK)).read_to_end(&mut bytes)?;
    if read as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn skip(file: &mut impl Seek, length: u64) -> io::Result<()> {
    file.seek_relative(length as i64) // lengths have 32 bits
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// The bytes that the lines of a profile spell, after a blank line, its name and its length.
fn from_hex_lines(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').skip(3).flatten();
    let digits: Vec<u8> = lines
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    Some(digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect())
}
