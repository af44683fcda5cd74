//! The stack machine that a pickle is a program for, without the opcodes that reach outside it.
//!
//! CPython's `pickletools.py` describes every opcode.

use crate::arena::{Arena, Node, NodeId};
use crate::error::{Error, Limits};
use crate::text;

/// A place of the memo that was never set.
const UNSET: NodeId = NodeId::MAX;

/// The opcodes that are refused, with their names and what they ask for.
const REFUSED: [(u8, &str, &str); 18] = [
    (b'c', "GLOBAL", ""),
    (b'i', "INST", ""),
    (0x93, "STACK_GLOBAL", ""),
    (b'R', "REDUCE", "a call"),
    (b'b', "BUILD", "an object's state to be set"),
    (b'o', "OBJ", "an instance of a class"),
    (0x81, "NEWOBJ", "an instance of a class"),
    (0x92, "NEWOBJ_EX", "an instance of a class"),
    (b'P', "PERSID", "an object from outside the file"),
    (b'Q', "BINPERSID", "an object from outside the file"),
    (0x82, "EXT1", "a registered extension"),
    (0x83, "EXT2", "a registered extension"),
    (0x84, "EXT4", "a registered extension"),
    (0x8f, "EMPTY_SET", "a set"),
    (0x90, "ADDITEMS", "a set"),
    (0x91, "FROZENSET", "a frozen set"),
    (0x97, "NEXT_BUFFER", "a buffer from outside the file"),
    (0x98, "READONLY_BUFFER", "a buffer from outside the file"),
];

pub(crate) struct Machine<'a> {
    input: &'a [u8],
    /// Bytes read so far.
    at: usize,
    opcode: u8,
    opcode_at: usize,
    arena: Arena<'a>,
    stack: Vec<NodeId>,
    /// Heights of the stack at which a MARK stands: nothing below the last one may be taken.
    marks: Vec<usize>,
    memo: Vec<NodeId>,
    pushed: u32,
    limits: Limits,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(input: &'a [u8], limits: &Limits) -> Self {
        Self {
            input,
            at: 0,
            opcode: 0,
            opcode_at: 0,
            arena: Arena::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            pushed: 0,
            limits: *limits,
        }
    }

    pub(crate) fn run(mut self) -> Result<Arena<'a>, Error> {
        loop {
            self.opcode_at = self.at;
            self.opcode = self.take(1)?[0];
            if self.opcode == b'.' {
                self.arena.root = self.pop()?;
                return Ok(self.arena);
            }
            if let Some(node) = self.new_node()? {
                self.push_node(node)?;
            } else if !self.fill_container()? && !self.memo_or_stack()? {
                return Err(self.refusal());
            }
        }
    }

    /// The opcodes that push a new value.
    fn new_node(&mut self) -> Result<Option<Node<'a>>, Error> {
        Ok(Some(match self.opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Int(self.unsigned(1)? as i64),
            b'M' => Node::Int(self.unsigned(2)? as i64),
            b'J' => Node::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            b'I' => match self.line()? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                digits => Node::Int(self.parse(digits)?),
            },
            b'L' => {
                let line = self.line()?;
                Node::Int(self.parse(line.strip_suffix(b"L").unwrap_or(line))?)
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'F' => {
                let line = self.line()?;
                Node::Float(self.parse(line)?)
            }
            b'G' => Node::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            b'S' => {
                let text = text::from_literal(self.line()?);
                Node::Text(text.map_err(|detail| self.malformed(detail))?)
            }
            b'V' => {
                let text = text::from_raw_unicode_escape(self.line()?);
                Node::Text(text.map_err(|detail| self.malformed(detail))?)
            }
            b'U' | b'C' | 0x8c => self.text(1)?,
            b'T' | b'B' | b'X' => self.text(4)?,
            0x8d | 0x8e | 0x96 => self.text(8)?,
            b']' | b')' => Node::List(self.container(Vec::new())),
            b'}' => Node::Dict(self.container(Vec::new())),
            b'l' | b't' => {
                let items = self.pop_to_mark()?;
                Node::List(self.container(items))
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.check_pairs(&items)?;
                Node::Dict(self.container(items))
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..self.opcode - 0x84 {
                    items.insert(0, self.pop()?);
                }
                Node::List(self.container(items))
            }
            _ => return Ok(None),
        }))
    }

    /// The opcodes that add to the container on top; false if this is none of them.
    fn fill_container(&mut self) -> Result<bool, Error> {
        let items = match self.opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            b'e' | b'u' => self.pop_to_mark()?,
            _ => return Ok(false),
        };
        let container = match (self.opcode, self.arena.node(self.top()?)) {
            (b'a' | b'e', Node::List(container)) => *container,
            (b's' | b'u', Node::Dict(container)) => {
                let container = *container;
                self.check_pairs(&items)?;
                container
            }
            _ => return Err(self.malformed("a container of its kind expected below its items")),
        };
        self.arena.containers[container as usize].extend(items);
        Ok(true)
    }

    /// The opcodes that move references about; false if this is none of them.
    fn memo_or_stack(&mut self) -> Result<bool, Error> {
        match self.opcode {
            b'(' => {
                // A mark is closed by the container it opens, so marks nest no deeper than values.
                let limit = self.limits.max_depth;
                if self.marks.len() >= limit {
                    return Err(self.too_large("open marks", limit as u64));
                }
                self.marks.push(self.stack.len());
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => _ = self.marks.pop(),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'p' | b'q' | b'r' => {
                let index = self.memo_index()?;
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'g' | b'h' | b'j' => {
                let index = self.memo_index()?;
                match self.memo.get(index as usize) {
                    Some(&node) if node != UNSET => self.push(node)?,
                    _ => return Err(self.malformed(format!("memo {index} was never set"))),
                }
            }
            0x80 => {
                let protocol = self.unsigned(1)?;
                if protocol > 5 {
                    return Err(self.malformed(format!("protocol 0 to 5 expected, not {protocol}")));
                }
            }
            // FRAME only announces how much follows.
            0x95 => {
                let length = self.unsigned(8)?;
                self.require(length)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The error for an opcode that is none of the above, with the name of what it asks for.
    fn refusal(&mut self) -> Error {
        let (offset, byte) = (self.opcode_at, self.opcode);
        let Some((_, opcode, asked)) = REFUSED.iter().find(|(refused, ..)| *refused == byte) else {
            return Error::UnknownOpcode { offset, byte };
        };
        let name = match byte {
            b'c' | b'i' => {
                let mut part = || self.line().map(printable).unwrap_or_default();
                format!("`{}.{}`", part(), part())
            }
            0x93 => {
                let mut part = || match self.pop().map(|id| self.arena.node(id)) {
                    Ok(Node::Text(text)) => printable(text.as_bytes()),
                    _ => "?".to_owned(),
                };
                let name = part();
                format!("`{}.{name}`", part())
            }
            _ => (*asked).to_owned(),
        };
        Error::Forbidden { offset, opcode, name }
    }

    /// Checks that `length` more bytes are there, before anything is made of that length.
    fn require(&self, length: u64) -> Result<usize, Error> {
        let (offset, left) = (self.at, self.input.len() - self.at);
        let within = usize::try_from(length).ok().filter(|&length| length <= left);
        within.ok_or(Error::Truncated { offset, needed: length, left })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = self.require(length)?;
        let bytes = &self.input[self.at..self.at + length];
        self.at += length;
        Ok(bytes)
    }

    /// The bytes up to the next line feed, which is passed over.
    fn line(&mut self) -> Result<&'a [u8], Error> {
        let left = self.input.len() - self.at;
        let end = self.input[self.at..].iter().position(|&byte| byte == b'\n').unwrap_or(left);
        let line = self.take(end as u64 + 1)?;
        Ok(&line[..end])
    }

    /// A number of `size` bytes, at most 8, the lowest first.
    fn unsigned(&mut self, size: u64) -> Result<u64, Error> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A two's complement number, the lowest byte first, after its length in `size` bytes.
    fn long(&mut self, size: u64) -> Result<Node<'a>, Error> {
        let length = self.unsigned(size)?;
        let bytes = self.take(length)?;
        if length > 8 {
            let detail = format!("an integer of at most 8 bytes expected, found {length}");
            return Err(self.malformed(detail));
        }
        let negative = bytes.last().is_some_and(|high| high & 0x80 != 0);
        let mut filled = [if negative { 0xff } else { 0 }; 8];
        filled[..bytes.len()].copy_from_slice(bytes);
        Ok(Node::Int(i64::from_le_bytes(filled)))
    }

    /// Text after its length in `size` bytes.
    fn text(&mut self, size: u64) -> Result<Node<'a>, Error> {
        let length = self.unsigned(size)?;
        Ok(Node::Text(text::from_bytes(self.take(length)?)))
    }

    fn parse<T: std::str::FromStr>(&self, digits: &[u8]) -> Result<T, Error> {
        let text = std::str::from_utf8(digits).map(str::trim_ascii);
        text.ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let found = printable(digits);
            self.malformed(format!("a number of at most 64 bits expected, found `{found}`"))
        })
    }

    fn memo_index(&mut self) -> Result<u64, Error> {
        match self.opcode {
            b'q' | b'h' => self.unsigned(1),
            b'r' | b'j' => self.unsigned(4),
            _ => {
                let line = self.line()?;
                self.parse::<u32>(line).map(u64::from)
            }
        }
    }

    fn remember(&mut self, index: u64) -> Result<(), Error> {
        let (top, limit) = (self.top()?, u64::from(self.limits.max_values));
        if index >= limit {
            return Err(self.too_large("memo entries", limit));
        }
        let index = index as usize;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, UNSET);
        }
        self.memo[index] = top;
        Ok(())
    }

    /// Stores the items of a container. There are no more containers than values.
    fn container(&mut self, items: Vec<NodeId>) -> u32 {
        self.arena.containers.push(items);
        (self.arena.containers.len() - 1) as u32
    }

    fn check_pairs(&self, items: &[NodeId]) -> Result<(), Error> {
        let even = items.len().is_multiple_of(2);
        if even { Ok(()) } else { Err(self.malformed("a dict key without a value")) }
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<(), Error> {
        self.push(self.arena.nodes.len() as NodeId)?; // at most one node for each push
        self.arena.nodes.push(node);
        Ok(())
    }

    fn push(&mut self, id: NodeId) -> Result<(), Error> {
        if self.pushed >= self.limits.max_values {
            return Err(self.too_large("values", u64::from(self.limits.max_values)));
        }
        self.pushed += 1;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<NodeId, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.get(floor..).and_then(<[NodeId]>::last);
        above.copied().ok_or_else(|| self.malformed("the stack holds no value for it"))
    }

    fn pop(&mut self) -> Result<NodeId, Error> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, Error> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("no MARK before it"))?;
        Ok(self.stack.split_off(mark))
    }

    fn malformed(&self, detail: impl Into<String>) -> Error {
        Error::Malformed { offset: self.opcode_at, opcode: self.opcode, detail: detail.into() }
    }

    fn too_large(&self, what: &'static str, limit: u64) -> Error {
        Error::TooLarge { offset: self.opcode_at, what, limit }
    }
}

/// The beginning of untrusted bytes, fit for a message.
fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}
