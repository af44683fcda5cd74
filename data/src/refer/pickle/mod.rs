//! Reading a Python pickle from a stranger: plain containers and scalars, and nothing else.
//!
//! The published `refs(<split_by>).p` files are pickles that Python 2 wrote. A pickle is a small
//! program, and running it as Python does would run whatever its author wished. Here only the
//! opcodes that build
//! `None`, bools, integers, floats, text, lists, tuples and dicts are known (protocols 0 to 5); one
//! that would name a class or call something is an error that says which, and where.
//!
//! The crate `serde-pickle` is not used: its memo resolves by cloning, so a few nested references
//! in a small file expand without bound, it has no limit on depth or size, and it decodes Python 2
//! strings as UTF-8 or fails, where the published files hold some latin-1.
//!
//! Decoded values lie in one arena, so shared references cost four bytes, nothing recurses (a deep
//! nest cannot exhaust the stack, neither when it is read nor when it is dropped), and text without
//! escapes is borrowed from the input.

mod cursor;
mod machine;
mod text;

use std::borrow::Cow;

use thiserror::Error;

/// What a pickle may cost before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickleLimits {
    /// The largest file, in bytes. The published ones are below 100 MB.
    pub max_bytes: u64,
    /// The most values pushed while decoding, references to earlier ones included. The largest
    /// published file needs about 6 million; each costs up to 36 bytes.
    pub max_values: usize,
    /// The deepest nesting. The published files need 5.
    pub max_depth: usize,
}

impl Default for PickleLimits {
    fn default() -> Self {
        Self { max_bytes: 512 << 20, max_values: 1 << 25, max_depth: 64 }
    }
}

/// Why a pickle was refused. Offsets are in bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PickleError {
    /// The file ends in the middle of an opcode, or before its STOP.
    #[error(
        "cut short at byte {offset}: {needed} more bytes expected, {left} left; \
         download the file again"
    )]
    Truncated {
        /// Where the missing bytes should begin.
        offset: usize,
        /// How many bytes the opcode asks for.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// The pickle asks for a class, a call or an object from outside.
    #[error(
        "opcode {opcode} at byte {offset} asks for {name}; only plain containers and scalars are \
         read, so do not trust this file, or store it again as plain lists and dicts"
    )]
    Forbidden {
        /// Where the opcode stands.
        offset: usize,
        /// Its name in Python's `pickletools`.
        opcode: &'static str,
        /// What it wants: `module.name` for a global.
        name: String,
    },
    /// A byte that is no opcode of protocols 0 to 5.
    #[error("byte 0x{byte:02x} at offset {offset} is no pickle opcode; is this file a pickle?")]
    UnknownOpcode {
        /// Where the byte stands.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// An opcode's argument, or what it finds on the stack, makes no sense.
    #[error("opcode 0x{opcode:02x} at byte {offset}: {detail}")]
    Malformed {
        /// Where the opcode stands.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// What was expected and what was found.
        detail: String,
    },
    /// One of [`PickleLimits`] is exceeded.
    #[error("at byte {offset}: more than {limit} {what}; no published file comes near that")]
    TooLarge {
        /// Where the limit was passed.
        offset: usize,
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A container that holds itself.
    #[error("a container holds itself; a data set is a finite tree")]
    Cyclic,
}

type NodeId = u32;

/// A value in 16 bytes: containers and decoded text lie beside the nodes.
#[derive(Debug, Clone, Copy)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// UTF-8 in the input.
    Text {
        start: u32,
        length: u32,
    },
    /// Text that had to be decoded: an index into `decoded`.
    Decoded(u32),
    /// Indices into `containers`; in a dict, keys and values alternate.
    List(u32),
    Tuple(u32),
    Dict(u32),
}

/// A decoded pickle. Text without escapes is borrowed from the bytes it was read from.
#[derive(Debug, Default)]
pub struct Pickle<'a> {
    input: &'a [u8],
    nodes: Vec<Node>,
    containers: Vec<Vec<NodeId>>,
    decoded: Vec<Box<str>>,
    root: NodeId,
}

impl<'a> Pickle<'a> {
    /// Decodes the pickle that `input` begins with.
    ///
    /// # Errors
    /// Any [`PickleError`]; memory stays within `limits` whatever the input holds.
    pub fn decode(input: &'a [u8], limits: &PickleLimits) -> Result<Self, PickleError> {
        // Positions and indices are 32 bits wide, whatever the caller allows.
        let limits = PickleLimits {
            max_bytes: limits.max_bytes.min(u64::from(u32::MAX)),
            max_values: limits.max_values.min(u32::MAX as usize - 1),
            ..*limits
        };
        if input.len() as u64 > limits.max_bytes {
            let (offset, limit) = (input.len(), limits.max_bytes);
            return Err(PickleError::TooLarge { offset, what: "bytes", limit });
        }
        let pickle = machine::Machine::new(input, &limits).run()?;
        pickle.check_shape(limits.max_depth)?;
        Ok(pickle)
    }

    /// The value that the pickle holds.
    pub fn root(&self) -> Value<'_> {
        self.value(self.root)
    }

    fn value(&self, id: NodeId) -> Value<'_> {
        Value { pickle: self, id }
    }

    fn node(&self, id: NodeId) -> Node {
        // Every id was made by pushing the node that it names.
        self.nodes[id as usize]
    }

    /// The items of a container, or the keys and values of a dict; nothing for a scalar.
    fn children(&self, node: Node) -> &[NodeId] {
        match node {
            Node::List(index) | Node::Tuple(index) | Node::Dict(index) => {
                &self.containers[index as usize]
            }
            _ => &[],
        }
    }

    /// Stores the items of a container. There are no more containers than values and bytes.
    fn container(&mut self, items: Vec<NodeId>) -> u32 {
        self.containers.push(items);
        (self.containers.len() - 1) as u32
    }

    fn text(&mut self, text: Cow<'a, str>) -> Node {
        match text {
            // Borrowed from `input`, so its address says where.
            Cow::Borrowed(text) => {
                let start = text.as_ptr().addr() - self.input.as_ptr().addr();
                Node::Text { start: start as u32, length: text.len() as u32 }
            }
            Cow::Owned(text) => {
                self.decoded.push(text.into());
                Node::Decoded((self.decoded.len() - 1) as u32)
            }
        }
    }

    /// Refuses cycles and nests deeper than `max_depth`, visiting each shared node once.
    fn check_shape(&self, max_depth: usize) -> Result<(), PickleError> {
        const UNSEEN: u32 = 0;
        const OPEN: u32 = u32::MAX;
        let mut heights = vec![UNSEEN; self.nodes.len()];
        let mut path = vec![(self.root, 0_usize, 1_u32)]; // node, next child, height so far
        heights[self.root as usize] = OPEN;
        let too_deep = || PickleError::TooLarge {
            offset: self.input.len(),
            what: "nested containers",
            limit: max_depth as u64,
        };
        while let Some((id, next, height)) = path.last_mut() {
            let Some(child) = self.children(self.node(*id)).get(*next).copied() else {
                let (id, height) = (*id, *height);
                heights[id as usize] = height;
                path.pop();
                if let Some(parent) = path.last_mut() {
                    parent.2 = parent.2.max(height + 1);
                }
                continue;
            };
            *next += 1;
            match heights[child as usize] {
                OPEN => return Err(PickleError::Cyclic),
                UNSEEN => {
                    heights[child as usize] = OPEN;
                    path.push((child, 0, 1));
                    if path.len() > max_depth {
                        return Err(too_deep());
                    }
                }
                known => {
                    *height = (*height).max(known + 1);
                    if path.len() + known as usize > max_depth {
                        return Err(too_deep());
                    }
                }
            }
        }
        Ok(())
    }
}

/// One value of a [`Pickle`]: a cheap handle.
#[derive(Debug, Clone, Copy)]
pub struct Value<'p> {
    pickle: &'p Pickle<'p>,
    id: NodeId,
}

impl<'p> Value<'p> {
    fn node(self) -> Node {
        self.pickle.node(self.id)
    }

    /// The Python name of the value's type, for messages.
    pub fn type_name(self) -> &'static str {
        match self.node() {
            Node::None => "None",
            Node::Bool(_) => "bool",
            Node::Int(_) => "int",
            Node::Float(_) => "float",
            Node::Text { .. } | Node::Decoded(_) => "str",
            Node::List(_) => "list",
            Node::Tuple(_) => "tuple",
            Node::Dict(_) => "dict",
        }
    }

    /// Whether this is `None`.
    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// The value of a `bool`.
    pub fn as_bool(self) -> Option<bool> {
        if let Node::Bool(value) = self.node() { Some(value) } else { None }
    }

    /// The value of an `int`.
    pub fn as_int(self) -> Option<i64> {
        if let Node::Int(value) = self.node() { Some(value) } else { None }
    }

    /// The value of a `float`.
    pub fn as_float(self) -> Option<f64> {
        if let Node::Float(value) = self.node() { Some(value) } else { None }
    }

    /// The text of a `str` or `bytes`: UTF-8 where the bytes are that, latin-1 where not.
    pub fn as_str(self) -> Option<&'p str> {
        match self.node() {
            Node::Text { start, length } => {
                let bytes = self.pickle.input.get(start as usize..)?.get(..length as usize)?;
                std::str::from_utf8(bytes).ok()
            }
            Node::Decoded(index) => self.pickle.decoded.get(index as usize).map(|text| &**text),
            _ => None,
        }
    }

    /// The items of a list or a tuple.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Value<'p>>> {
        let node @ (Node::List(_) | Node::Tuple(_)) = self.node() else {
            return None;
        };
        Some(self.pickle.children(node).iter().map(move |&id| self.pickle.value(id)))
    }

    /// The keys and values of a dict, as written: of a key set twice, the later one counts.
    pub fn entries(self) -> Option<impl DoubleEndedIterator<Item = (Value<'p>, Value<'p>)>> {
        let node @ Node::Dict(_) = self.node() else {
            return None;
        };
        let (pairs, _) = self.pickle.children(node).as_chunks();
        let value = move |id| self.pickle.value(id);
        Some(pairs.iter().map(move |&[key, item]| (value(key), value(item))))
    }

    /// The entry of a dict under a text key.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        self.entries()?.rev().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }
}
