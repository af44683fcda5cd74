//! NumPy's numbers and arrays: plain data, which a pickle builds by a few functions.
//!
//! `numpy.core.multiarray.scalar(dtype, bytes)` is a number; `_reconstruct(ndarray, (0,), b'b')` is an array, whose
//! state `(version, shape, dtype, is_fortran, data)` follows. They become numbers and nested lists.

use std::borrow::Cow;

use crate::arena::{Node, NodeId};
use crate::error::Error;
use crate::kinds::{Dtype, Global};
use crate::machine::Machine;

/// The most arguments that a function here takes, and the most parts of a state.
const MAX_PARTS: usize = 16;
/// The most axes of an array.
const MAX_AXES: usize = 64;
/// Bytes that are worth one value of the machine's limit, where they are copied.
const BYTES_OF_VALUE: usize = 32;

/// A value, from exactly its bytes.
fn value<'a>(dtype: Dtype, bytes: &[u8]) -> Option<Node<'a>> {
    let ordered = |bytes: &[u8]| -> u64 {
        let step = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match dtype.big_endian {
            true => bytes.iter().fold(0, step),
            false => bytes.iter().rev().fold(0, step),
        }
    };
    let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    Some(match dtype.kind {
        b'b' => Node::Bool(bytes[0] != 0),
        b'i' => Node::Int((ordered(bytes) << unused) as i64 >> unused),
        b'u' => Node::Int(i64::try_from(ordered(bytes)).ok()?),
        b'f' if dtype.size == 4 => Node::Float(f32::from_bits(ordered(bytes) as u32).into()),
        b'f' => Node::Float(f64::from_bits(ordered(bytes))),
        b'S' => {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Node::Bytes(Cow::Owned(bytes[..end].to_vec()))
        }
        _ => {
            let codes = bytes.as_chunks::<4>().0.iter().map(|code| ordered(code) as u32);
            let text: Option<String> = codes.map(char::from_u32).collect();
            Node::Text(Cow::Owned(text?.trim_end_matches('\0').to_owned()))
        }
    })
}

impl<'a> Machine<'a> {
    /// What a call of one of the functions returns.
    pub(crate) fn call(&mut self, function: Global, arguments: NodeId) -> Result<NodeId, Error> {
        let arguments = &*self.parts(arguments)?;
        for &argument in arguments {
            let copied = match self.arena.node(argument) {
                Node::Text(text) => text.len(),
                Node::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            self.charge(copied / BYTES_OF_VALUE)?;
        }
        let nodes: Vec<&Node> = arguments.iter().map(|&id| self.arena.node(id)).collect();
        let node = match (function, &*nodes) {
            (Global::Encode, [Node::Text(text), ..]) => {
                // Latin-1, the only encoding that is used so.
                let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                bytes.map(|bytes| Node::Bytes(bytes.into()))
            }
            (Global::Bytes, []) => Some(Node::Bytes(Cow::Borrowed(b""))),
            (Global::OrderedDict, []) => Some(Node::Dict(self.container(Vec::new()))),
            (Global::Dtype, [Node::Text(text), ..]) => Dtype::from_text(text).map(Node::Dtype),
            (Global::Dtype, [Node::Bytes(text), ..]) => {
                std::str::from_utf8(text).ok().and_then(Dtype::from_text).map(Node::Dtype)
            }
            (Global::Scalar, [Node::Dtype(dtype), Node::Bytes(bytes)]) => Some(bytes)
                .filter(|bytes| bytes.len() == dtype.size)
                .and_then(|bytes| value(*dtype, bytes)),
            (Global::Reconstruct, [Node::Global(Global::NdArray), ..]) => {
                Some(Node::List(self.container(Vec::new())))
            }
            (Global::FromBuffer, _) => match *arguments {
                [data, dtype, shape, order] => return self.array(data, dtype, shape, order),
                _ => None,
            },
            _ => None,
        };
        let node = node.ok_or_else(|| {
            self.malformed(format!("{function:?}: a NumPy value of a kind that is not read"))
        })?;
        self.new_value(node)
    }

    /// Sets the state of a NumPy type or array.
    pub(crate) fn set_state(&mut self, object: NodeId, state: NodeId) -> Result<(), Error> {
        let state = self.parts(state)?;
        match (self.arena.node(object), &*state) {
            (Node::Dtype(dtype), [_, order, ..]) => {
                let big_endian = self.is_text(*order, b">");
                let dtype = Dtype { big_endian, ..*dtype };
                self.arena.nodes[object as usize] = Node::Dtype(dtype);
                Ok(())
            }
            (Node::List(_), [_, shape, dtype, is_fortran, data]) => {
                let array = self.array(*data, *dtype, *shape, *is_fortran)?;
                let Node::List(filled) = *self.arena.node(array) else {
                    return Err(self.malformed("an array without dimensions"));
                };
                self.arena.nodes[object as usize] = Node::List(filled);
                Ok(())
            }
            _ => Err(self.forbidden("an object of a class".to_owned())),
        }
    }

    /// The items of a short tuple.
    fn parts(&self, tuple: NodeId) -> Result<Vec<NodeId>, Error> {
        match self.arena.node(tuple) {
            Node::List(items) if self.arena.items(*items).len() <= MAX_PARTS => {
                Ok(self.arena.items(*items).to_vec())
            }
            _ => Err(self.forbidden("an object of a class".to_owned())),
        }
    }

    fn is_text(&self, id: NodeId, expected: &[u8]) -> bool {
        match self.arena.node(id) {
            Node::Text(text) => text.as_bytes() == expected,
            Node::Bytes(bytes) => &**bytes == expected,
            _ => false,
        }
    }

    /// Nested lists of an array's values. Columns come first if `order` is true or `F`.
    fn array(
        &mut self,
        data: NodeId,
        dtype: NodeId,
        shape: NodeId,
        order: NodeId,
    ) -> Result<NodeId, Error> {
        let unread = "an array of a kind that is not read";
        let (Node::Dtype(dtype), Node::List(shape)) =
            (self.arena.node(dtype), self.arena.node(shape))
        else {
            return Err(self.malformed(unread));
        };
        let dtype = *dtype;
        let side = |id: &NodeId| match self.arena.node(*id) {
            Node::Int(side) => usize::try_from(*side).ok(),
            _ => None,
        };
        let shape: Option<Vec<usize>> =
            self.arena.items(*shape).iter().take(MAX_AXES + 1).map(side).collect();
        let shape = shape.filter(|shape| (1..=MAX_AXES).contains(&shape.len()));
        let shape = shape.ok_or_else(|| self.malformed(unread))?;
        let worth = match self.arena.node(data) {
            Node::List(objects) => self.arena.items(*objects).len(),
            Node::Bytes(bytes) => bytes.len() / BYTES_OF_VALUE,
            _ => 0,
        };
        self.charge(worth)?;
        let values = match self.arena.node(data) {
            Node::List(objects) if dtype.kind == b'O' => self.arena.items(*objects).to_vec(),
            Node::Bytes(bytes) if dtype.kind != b'O' && bytes.len().is_multiple_of(dtype.size) => {
                let bytes = bytes.clone();
                let mut values = Vec::new();
                for bytes in bytes.chunks_exact(dtype.size) {
                    let node = value(dtype, bytes).ok_or_else(|| self.malformed(unread))?;
                    values.push(self.new_value(node)?);
                }
                values
            }
            _ => return Err(self.malformed(unread)),
        };
        let count = shape.iter().try_fold(1_usize, |count, side| count.checked_mul(*side));
        if count != Some(values.len()) {
            return Err(
                self.malformed(format!("an array of shape {shape:?} has {} values", values.len()))
            );
        }
        if values.is_empty() {
            let list = self.container(values);
            return self.new_value(Node::List(list));
        }
        let by_columns = matches!(self.arena.node(order), Node::Bool(true) | Node::Int(1))
            || self.is_text(order, b"F");
        let mut strides = vec![1; shape.len()];
        match by_columns {
            true => (1..shape.len())
                .for_each(|axis| strides[axis] = strides[axis - 1] * shape[axis - 1]),
            false => (1..shape.len())
                .rev()
                .for_each(|axis| strides[axis - 1] = strides[axis] * shape[axis]),
        }
        self.nested(&values, &shape, &strides, 0)
    }

    /// The lists of the axes from the first of `shape` on, whose values begin at `start`.
    fn nested(
        &mut self,
        values: &[NodeId],
        shape: &[usize],
        strides: &[usize],
        start: usize,
    ) -> Result<NodeId, Error> {
        let ([side, inner_shape @ ..], [stride, inner_strides @ ..]) = (shape, strides) else {
            return Ok(values[start]); // every index is below the product of the sides
        };
        let mut items = Vec::new();
        for index in 0..*side {
            items.push(self.nested(values, inner_shape, inner_strides, start + index * stride)?);
        }
        let list = self.container(items);
        self.new_value(Node::List(list))
    }
}
