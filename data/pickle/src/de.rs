//! Values of an arena as a serde deserializer.
//!
//! Reading out is where shared references multiply, so here depth and size are counted. A container
//! that holds itself nests without end, which both limits stop.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::arena::{Arena, Node, NodeId};
use crate::error::{Error, Limits};
use crate::text;

/// What a value counts beside its text, in bytes: about what it becomes in memory.
const VALUE_BYTES: usize = 32;
/// Bytes that may be read out of any input, however small.
const FREE_BYTES: usize = 16 << 20;

/// Reads the value that a pickle of `input_bytes` holds.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    arena: &Arena<'a>,
    limits: &Limits,
    input_bytes: usize,
) -> Result<T, Error> {
    let max_bytes = limits.max_expansion.saturating_mul(input_bytes).saturating_add(FREE_BYTES);
    let left = Cell::new(max_bytes);
    let max_depth = limits.max_depth;
    let reader = &Reader { arena, input_bytes, max_depth, max_bytes, left };
    serde_path_to_error::deserialize(Value { reader, id: arena.root, depth: 0 }).map_err(|error| {
        let place = error.path().to_string();
        match error.into_inner() {
            Error::Value { detail, .. } => Error::Value { place, detail },
            other => other,
        }
    })
}

/// The values, and what reading them out may still cost.
struct Reader<'r, 'a> {
    arena: &'r Arena<'a>,
    input_bytes: usize,
    max_depth: usize,
    max_bytes: usize,
    left: Cell<usize>,
}

impl Reader<'_, '_> {
    fn spend(&self, bytes: usize) -> Result<(), Error> {
        let what = "bytes of shared text and lists once they are written out";
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| self.too_large(what, self.max_bytes))?);
        Ok(())
    }

    fn too_large(&self, what: &'static str, limit: usize) -> Error {
        Error::TooLarge { offset: self.input_bytes, what, limit: limit as u64 }
    }
}

/// One value: a cheap handle.
#[derive(Clone, Copy)]
struct Value<'r, 'a> {
    reader: &'r Reader<'r, 'a>,
    id: NodeId,
    depth: usize,
}

impl Value<'_, '_> {
    /// Another value, one level down.
    fn below(self, id: NodeId) -> Self {
        Self { id, depth: self.depth + 1, ..self }
    }

    fn check_depth(self) -> Result<(), Error> {
        let limit = self.reader.max_depth;
        let within = self.depth < limit;
        if within { Ok(()) } else { Err(self.reader.too_large("nested containers", limit)) }
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'_, 'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.spend(VALUE_BYTES)?;
        let arena = self.reader.arena;
        match arena.node(self.id) {
            Node::None => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Int(number) => visitor.visit_i64(*number),
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Text(text) => {
                self.reader.spend(text.len())?;
                match text {
                    Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                    Cow::Owned(text) => visitor.visit_str(text),
                }
            }
            Node::Bytes(bytes) => {
                self.reader.spend(bytes.len())?;
                match bytes {
                    Cow::Borrowed(bytes) => match text::from_bytes(bytes) {
                        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                        Cow::Owned(text) => visitor.visit_string(text),
                    },
                    Cow::Owned(bytes) => visitor.visit_str(&text::from_bytes(bytes)),
                }
            }
            Node::Global(_) | Node::Dtype(_) => {
                Err(Error::custom("a NumPy type or a function, where a value is expected"))
            }
            Node::List(list) => {
                self.check_depth()?;
                let items = arena.items(*list).iter().map(|&id| self.below(id));
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Node::Dict(dict) => {
                self.check_depth()?;
                let (pairs, _) = arena.items(*dict).as_chunks();
                let pairs = pairs.iter().map(|&[key, value]| (self.below(key), self.below(value)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.arena.node(self.id) {
            Node::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Costs nothing, whatever the value holds.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier
    }
}
