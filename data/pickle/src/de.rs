//! Values of an arena as a serde deserializer.
//!
//! Reading out is where shared references multiply, so here depth and size are counted. A container
//! that holds itself is one without an end, which both limits stop.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::arena::{Arena, Node, NodeId};
use crate::error::{Error, Limits};

/// What a value counts beside its text, in bytes: about what it becomes in memory.
const VALUE_BYTES: usize = 32;

/// What reading out has cost so far.
struct Budget<'l> {
    limits: &'l Limits,
    input_bytes: usize,
    left: Cell<usize>,
}

impl Budget<'_> {
    fn spend(&self, bytes: usize) -> Result<(), Error> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| Error::TooLarge {
            offset: self.input_bytes,
            what: "bytes of shared text and lists once they are written out",
            limit: self.limits.max_read_out(self.input_bytes) as u64,
        })?;
        self.left.set(left);
        Ok(())
    }
}

/// One value: a cheap handle.
#[derive(Clone, Copy)]
pub(crate) struct Value<'v, 'a> {
    arena: &'v Arena<'a>,
    budget: &'v Budget<'v>,
    id: NodeId,
    depth: usize,
}

/// Reads the value that a pickle holds.
pub(crate) fn read<'a, T: serde::Deserialize<'a>>(
    arena: &Arena<'a>,
    limits: &Limits,
    input_bytes: usize,
) -> Result<T, Error> {
    let left = Cell::new(limits.max_read_out(input_bytes));
    let budget = &Budget { limits, input_bytes, left };
    T::deserialize(Value { arena, budget, id: arena.root, depth: 0 })
}

impl<'v, 'a> Value<'v, 'a> {
    /// The items of a container, one level down.
    fn items(self, container: u32) -> Result<Items<'v, 'a>, Error> {
        let max_depth = self.budget.limits.max_depth;
        if self.depth >= max_depth {
            let (offset, what) = (self.budget.input_bytes, "nested containers");
            return Err(Error::TooLarge { offset, what, limit: max_depth as u64 });
        }
        Ok(Items { parent: self, ids: self.arena.items(container), next: 0 })
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.budget.spend(VALUE_BYTES)?;
        match self.arena.node(self.id) {
            Node::None => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Int(number) => visitor.visit_i64(*number),
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Text(text) => {
                self.budget.spend(text.len())?;
                match text {
                    Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                    Cow::Owned(text) => visitor.visit_str(text),
                }
            }
            Node::List(container) => visitor.visit_seq(self.items(*container)?),
            Node::Dict(container) => visitor.visit_map(self.items(*container)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.arena.node(self.id) {
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

/// The items of a list, or the keys and values of a dict in turn.
struct Items<'v, 'a> {
    parent: Value<'v, 'a>,
    ids: &'v [NodeId],
    next: usize,
}

impl<'v, 'a> Items<'v, 'a> {
    fn value(&self, index: usize) -> Option<Value<'v, 'a>> {
        let id = *self.ids.get(index)?;
        Some(Value { id, depth: self.parent.depth + 1, ..self.parent })
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let index = self.next;
        let Some(value) = self.value(index) else { return Ok(None) };
        self.next += 1;
        let item = seed.deserialize(value).map_err(|error| error.within(format!("[{index}]")))?;
        Ok(Some(item))
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(key) = self.value(self.next) else { return Ok(None) };
        self.next += 2; // the machine builds no dict with a key alone
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        use serde::de::Error as _;
        let value = self.value(self.next - 1);
        let value = value.ok_or_else(|| Error::custom("a key without a value"))?;
        seed.deserialize(value).map_err(|error| {
            let key = self.value(self.next - 2).map(|key| self.parent.arena.node(key.id));
            let key = if let Some(Node::Text(text)) = key { &**text } else { "?" };
            error.within(format!(".{key}"))
        })
    }
}
