//! The fields of `sentencepiece_model.proto` (google/sentencepiece) that encoding and decoding need.
//!
//! A model file is one protobuf message. As protobuf says, unknown fields are skipped, the last of
//! equal fields counts, and messages of one field are merged.

/// The most pieces a model may have: ids stay far from overflow and memory stays bounded.
pub(super) const MAX_PIECES: usize = 1 << 22;

type Result<T> = std::result::Result<T, String>;

#[derive(Debug, Default)]
pub(super) struct ModelProto {
    pub pieces: Vec<Piece>,
    pub trainer: TrainerSpec,
    pub normalizer: NormalizerSpec,
}

#[derive(Debug)]
pub(super) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Debug)]
pub(super) struct TrainerSpec {
    pub model_type: u64,
    pub treat_whitespace_as_suffix: bool,
    pub byte_fallback: bool,
    pub unk_surface: String,
}

#[derive(Debug)]
pub(super) struct NormalizerSpec {
    pub precompiled_charsmap: Vec<u8>,
    pub add_dummy_prefix: bool,
    pub remove_extra_whitespaces: bool,
    pub escape_whitespaces: bool,
}

impl Default for TrainerSpec {
    fn default() -> Self {
        Self {
            model_type: 1,
            treat_whitespace_as_suffix: false,
            byte_fallback: false,
            unk_surface: " \u{2047} ".into(),
        }
    }
}

impl Default for NormalizerSpec {
    fn default() -> Self {
        Self {
            precompiled_charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl ModelProto {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, _) if model.pieces.len() == MAX_PIECES => {
                    return Err(format!("more than {MAX_PIECES} pieces"));
                }
                (1, value) => model.pieces.push(Piece::parse(value.bytes()?)?),
                (2, value) => model.trainer.merge(value.bytes()?)?,
                (3, value) => model.normalizer.merge(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(model)
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut piece = Self { text: String::new(), score: 0.0, kind: PieceKind::Normal };
        for field in Fields(bytes) {
            match field? {
                (1, value) => piece.text = value.text()?,
                (2, value) => piece.score = value.float()?,
                (3, value) => {
                    piece.kind = match value.number()? {
                        1 => PieceKind::Normal,
                        2 => PieceKind::Unknown,
                        3 => PieceKind::Control,
                        4 => PieceKind::UserDefined,
                        5 => PieceKind::Unused,
                        6 => PieceKind::Byte,
                        kind => return Err(format!("a piece of type {kind}")),
                    }
                }
                _ => {}
            }
        }
        Ok(piece)
    }
}

impl TrainerSpec {
    pub(super) const BPE: u64 = 2;

    /// The model type's name in the format.
    pub(super) fn model_type_name(&self) -> String {
        match self.model_type {
            1 => "UNIGRAM".into(),
            Self::BPE => "BPE".into(),
            3 => "WORD".into(),
            4 => "CHAR".into(),
            other => other.to_string(),
        }
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        for field in Fields(bytes) {
            match field? {
                (3, value) => self.model_type = value.number()?,
                (24, value) => self.treat_whitespace_as_suffix = value.number()? != 0,
                (35, value) => self.byte_fallback = value.number()? != 0,
                (44, value) => self.unk_surface = value.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl NormalizerSpec {
    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        for field in Fields(bytes) {
            match field? {
                (2, value) => self.precompiled_charsmap = value.bytes()?.to_vec(),
                (3, value) => self.add_dummy_prefix = value.number()? != 0,
                (4, value) => self.remove_extra_whitespaces = value.number()? != 0,
                (5, value) => self.escape_whitespaces = value.number()? != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The fields of a message, as number and value.
struct Fields<'a>(&'a [u8]);

/// What a field holds, by its wire type.
enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.array::<8>().map(|_| Value::Fixed64)?,
            2 => {
                let length = self.varint()?;
                let split = usize::try_from(length).ok().and_then(|n| self.0.split_at_checked(n));
                let (bytes, rest) = split.ok_or_else(|| {
                    format!("a field of {length} bytes where {} are left", self.0.len())
                })?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.array()?),
            other => return Err(format!("wire type {other}")),
        };
        Ok((tag >> 3, value))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("an end inside a field")?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Seven bits a byte, the low ones first.
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than 10 bytes".into())
    }
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64> {
        if let Self::Varint(number) = self { Ok(number) } else { Err(self.unlike("a number")) }
    }

    fn bytes(self) -> Result<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(self.unlike("bytes")) }
    }

    fn text(self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|error| error.to_string())
    }

    fn float(self) -> Result<f32> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.unlike("a float")),
        }
    }

    fn unlike(&self, expected: &str) -> String {
        let found = match self {
            Self::Varint(_) => "a number",
            Self::Fixed64 => "eight bytes",
            Self::Bytes(_) => "bytes",
            Self::Fixed32(_) => "four bytes",
        };
        format!("{found} in a field of {expected}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand from the encoding's description: protobuf.dev/programming-guides/encoding.
    #[test]
    fn fields_are_read_and_the_absent_have_the_formats_defaults() {
        let piece = [&[0x0a, 2, 0xc3, 0xa9, 0x15][..], &(-1.5f32).to_le_bytes(), &[0x18, 6]];
        let piece = piece.concat();
        let mut bytes = [&[0x0a, piece.len() as u8][..], &piece].concat();
        bytes.extend([0x12, 3, 0x98, 0x02, 1]); // trainer_spec: byte_fallback, field 35
        bytes.extend([0x12, 2, 0x18, 2]); // the same message again: model_type
        bytes.extend([0x1a, 2, 0x18, 0]); // normalizer_spec: no dummy prefix
        bytes.extend([0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x40, 0xff, 0x01]); // fields 7 and 8
        let model = ModelProto::parse(&bytes).unwrap();
        let Piece { text, score, kind } = &model.pieces[0];
        assert_eq!((text.as_str(), *score, *kind), ("é", -1.5, PieceKind::Byte));
        assert!(model.trainer.byte_fallback && model.trainer.model_type == TrainerSpec::BPE);
        assert_eq!(model.trainer.unk_surface, " ⁇ ");
        let normalizer = model.normalizer;
        assert!(!normalizer.add_dummy_prefix && normalizer.remove_extra_whitespaces);
        assert!(normalizer.escape_whitespaces && normalizer.precompiled_charsmap.is_empty());
    }

    #[test]
    fn what_is_no_message_is_named() {
        let cases: [(&[u8], &str); 6] = [
            (&[0x0a, 5, 1], "a field of 5 bytes where 1 are left"),
            (&[0x0b], "wire type 3"),
            (&[0xff; 11], "a number of more than 10 bytes"),
            (&[0x0a, 3, 0x0a, 1, 0xff], "invalid utf-8"),
            (&[0x0a, 2, 0x18, 7], "a piece of type 7"),
            (&[0x08, 1], "a number in a field of bytes"),
        ];
        for (bytes, wanted) in cases {
            let message = ModelProto::parse(bytes).unwrap_err();
            assert!(message.contains(wanted), "{bytes:?}: {message}");
        }
    }
}
