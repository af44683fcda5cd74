//! The functions and classes that a pickle of NumPy values may name, and the kinds of the values.

/// A function or class that builds plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    Scalar,
    Dtype,
    Reconstruct,
    NdArray,
    FromBuffer,
    /// `_codecs.encode`: how Python 3 writes bytes for Python 2.
    Encode,
    Bytes,
    OrderedDict,
}

impl Global {
    /// The one of this name, in any version of NumPy and Python.
    pub fn named(module: &str, name: &str) -> Option<Self> {
        let module = module.replacen("numpy._core", "numpy.core", 1);
        Some(match (&*module, name) {
            ("numpy.core.multiarray", "scalar") => Self::Scalar,
            ("numpy", "dtype") => Self::Dtype,
            ("numpy.core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy.core.numeric", "_frombuffer") => Self::FromBuffer,
            ("_codecs", "encode") => Self::Encode,
            ("builtins" | "__builtin__", "bytes") => Self::Bytes,
            ("collections", "OrderedDict") => Self::OrderedDict,
            _ => return None,
        })
    }
}

/// The kind of a NumPy value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dtype {
    /// NumPy's letter: `i`, `u`, `f`, `b`, `S`, `U`, or `O` for Python objects.
    pub kind: u8,
    /// Bytes of a value; of text, the whole of them.
    pub size: usize,
    pub big_endian: bool,
}

impl Dtype {
    /// From text such as `i8`, `<f4` or `U5`.
    pub fn from_text(text: &str) -> Option<Self> {
        const LONGEST: usize = 16;
        let text = Some(text).filter(|text| text.len() <= LONGEST)?;
        let bare = text.trim_start_matches(['<', '>', '=', '|']);
        let (kind, size) = (bare.as_bytes().first()?, bare.get(1..)?.parse::<usize>().ok()?);
        let kind = *kind;
        let known = match kind {
            b'i' | b'u' => matches!(size, 1 | 2 | 4 | 8),
            b'f' => matches!(size, 4 | 8),
            b'b' => size == 1,
            b'S' | b'U' => size > 0,
            b'O' => true,
            _ => false,
        };
        let size = if kind == b'U' { size.checked_mul(4)? } else { size };
        known.then_some(Self { kind, size, big_endian: text.starts_with('>') })
    }
}
